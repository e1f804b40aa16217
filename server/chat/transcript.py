"""The order of a conversation: which ids and sequence numbers its messages take, and what is kept.

Pure: the caller brings the time. A conversation has at most one reply open at a time.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from attrs import define, evolve, field, frozen

from .components import Component, Plain, weight_of, without_inline_data
from .model import FinishReason, Message, Sender

SHORTENED = " […]"
"""Ends the text of a message that was too large to keep whole."""
ASSISTANT = Sender(id="assistant", name="Assistant")

_by_id = attrgetter("id")


@frozen
class Limits:
    """What a transcript keeps: the newest `messages`, as long as they weigh less than `size` bytes or so.

    A message that alone weighs more is kept shortened to the beginning of its text.
    """

    messages: int = 100
    size: int = 2**20


@define
class OpenReply:
    """A reply that is being written; `id` and `timestamp` stay the same until it is final."""

    id: int
    timestamp: datetime
    connection_id: str
    sender: Sender
    text: str = ""

    def so_far(self) -> Message:
        """The reply as it stands, for a client to show: not final, and without a `seq`."""
        return Message(
            id=self.id,
            role="assistant",
            chain=(Plain(self.text),),
            timestamp=self.timestamp,
            connection_id=self.connection_id,
            sender=self.sender,
            is_final=False,
        )


@define
class Transcript:
    """The messages of one conversation and the counters behind them.

    `epoch` is opaque and names this history: a new one means that the history before it is gone.
    """

    epoch: str
    limits: Limits = field(factory=Limits)
    assistant: Sender = ASSISTANT
    open_reply: OpenReply | None = None
    last_id: int = 0
    last_seq: int = 0
    _kept: list[Message] = field(factory=list)
    _size: int = 0

    @property
    def cursor(self) -> str:
        """The place after the newest durable event."""
        return f"{self.epoch}.{self.last_seq}"

    def add(
        self, chain: tuple[Component, ...], *, sender: Sender, connection_id: str, now: datetime
    ) -> Message:
        """Take in a user's message; the returned one still holds its inline data, the kept one does not."""
        message = Message(
            id=self._next_id(),
            role="user",
            chain=chain,
            timestamp=now,
            connection_id=connection_id,
            sender=sender,
            seq=self._next_seq(),
        )
        self._keep(message)
        return message

    def begin_reply(self, *, connection_id: str, now: datetime) -> OpenReply:
        """Reserve the id of the reply that begins now.

        Raises:
            ValueError: A reply is open already.
        """
        if self.open_reply is not None:
            raise ValueError(f"reply {self.open_reply.id} is still open")
        self.open_reply = OpenReply(self._next_id(), now, connection_id, self.assistant)
        return self.open_reply

    def end_reply(
        self, *, reason: FinishReason, otherwise: str = "", usage: Mapping[str, Any] | None = None
    ) -> Message:
        """Close the open reply and keep it, saying *otherwise* if it has no text so far.

        Raises:
            ValueError: No reply is open.
        """
        reply = self.open_reply
        if reply is None:
            raise ValueError("no reply is open")
        self.open_reply = None
        message = Message(
            id=reply.id,
            role="assistant",
            chain=(Plain(reply.text or otherwise),),
            timestamp=reply.timestamp,
            connection_id=reply.connection_id,
            sender=reply.sender,
            seq=self._next_seq(),
            finish_reason=reason,
            usage=usage,
        )
        self._keep(message)
        return message

    def reset(self) -> int:
        """Forget every message; ids go on from where they were. Returns the `seq` of the reset.

        Raises:
            ValueError: A reply is open: end it first.
        """
        if self.open_reply is not None:
            raise ValueError(f"reply {self.open_reply.id} is still open")
        self._kept.clear()
        self._size = 0
        return self._next_seq()

    def messages(self) -> tuple[Message, ...]:
        """What is kept, oldest first, by id."""
        return tuple(self._kept)

    def before(self, question: Message) -> tuple[Message, ...]:
        """The conversation up to *question*: earlier messages and every finished reply, oldest first."""
        return tuple(m for m in self._kept if m.id < question.id or m.role == "assistant")

    def _next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def _next_seq(self) -> int:
        self.last_seq += 1
        return self.last_seq

    def _keep(self, message: Message) -> None:
        chain = without_inline_data(message.chain)
        if weight_of(chain) > self.limits.size:
            chain = (Plain(_beginning(message.content, self.limits.size // 2)),)
        kept = message if chain is message.chain else evolve(message, chain=chain)
        # A reply's id is older than those of the questions that came while it was being written.
        insort(self._kept, kept, key=_by_id)
        self._size += weight_of(kept.chain)
        while len(self._kept) > 1 and (
            len(self._kept) > self.limits.messages or self._size > self.limits.size
        ):
            self._size -= weight_of(self._kept.pop(0).chain)


def _beginning(text: str, size: int) -> str:
    """As much of *text* as takes *size* bytes of memory; a character takes four at most."""
    return text[: size if text.isascii() else size // 4] + SHORTENED
