"""What a run has in memory of messages, questions and `client_msg_id`s, be they in the tables or not yet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, frozen

from server.chat import Message, Sender

from .bodies import Body, dump_body
from .moments import ticks
from .sql_ledger import Conversation
from .sql_sealing import name_of, seal_body
from .vault import DataKey


@define(eq=False)
class Draft:
    """A message that is new, or an open reply that changes."""

    conversation: Conversation
    id: int
    at: datetime
    sender: str
    body: Body
    seq: int | None = None
    question: int | None = None
    alternative_of: int | None = None
    new: bool = True
    changed: bool = False
    key: DataKey | None = None
    chain: bytes | None = None
    """The body's chain as JSON, if that is known already."""

    def message(self) -> Message:
        body = self.body
        return Message(
            self.id,
            "user" if self.question is None else "assistant",
            body.chain,
            self.at,
            body.connection_id,
            Sender(self.sender, body.name),
            self.seq is not None,
            self.seq,
            body.finish_reason,
            body.usage,
            body.client_msg_id,
            body.reply_to if self.question is None else self.question,
            None,
            self.alternative_of,
        )

    def sealed(self) -> bytes:
        assert self.key is not None
        body = dump_body(self.body, self.chain)
        return seal_body(self.key, body, self.conversation.key, self.id) if self.key.id else body

    def row(self) -> tuple[Any, ...]:
        """Its row in `messages`, once it is new."""
        assert self.key is not None
        return (
            self.conversation.row,
            self.id,
            self.seq,
            self.question,
            self.alternative_of,
            False,
            False,
            self.sender,
            ticks(self.at),
            None,
            name_of(self.key),
            self.sealed(),
        )


@frozen(eq=False)
class Waiting:
    """A question that waits; `inline` is its chain as JSON if it has inline data."""

    stream: bool
    again: bool = False
    answer: int | None = None
    inline: bytes | None = None
    draft: Draft | None = None
    """Its message, if that is new."""


@frozen(eq=False)
class Known:
    """What a `client_msg_id` stands for."""

    digest: bytes
    message: int
    seq: int
    at: int
