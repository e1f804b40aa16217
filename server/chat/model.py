"""Who says what to whom: the nouns of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from attrs import field, frozen

from .components import Component, Plain
from .text import text_of

Role = Literal["user", "assistant"]
SessionType = Literal["person", "group"]
FinishReason = str
"""Why a reply ended: `stop`, `error`, `stopped`, `interrupted`, or what the upstream said (`length` …)."""


@frozen
class ConversationKey:
    """Which conversation: one for each pipeline, session type and session id."""

    pipeline: str
    session_type: SessionType
    session_id: str

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.session_type}/{self.session_id}"


@frozen
class Sender:
    """Who wrote a message."""

    id: str
    name: str


@frozen
class Message:
    """One message of a conversation, or one state of a reply that is still growing.

    `id` counts up from 1 within a conversation, over both roles. `seq` is the message's place among the
    conversation's durable events, `None` while a reply is still streaming. `timestamp` is in UTC.
    A reply's `reply_to` is its question; `alternative_of` is the earlier answer that it is another of.
    """

    id: int
    role: Role
    chain: tuple[Component, ...]
    timestamp: datetime
    connection_id: str
    sender: Sender
    is_final: bool = True
    seq: int | None = None
    finish_reason: FinishReason | None = None
    usage: Mapping[str, Any] | None = None
    client_msg_id: str | None = None
    reply_to: int | None = None
    edited_at: datetime | None = None
    alternative_of: int | None = None
    content: str = field(init=False)

    @content.default
    def _text_form(self) -> str:
        if len(self.chain) == 1 and isinstance(only := self.chain[0], Plain):
            return only.text  # nearly always
        return text_of(self.chain)


@frozen
class Turn:
    """One question put to a pipeline: everything it may look at to answer.

    Attributes:
        message: The user's message to answer. Inline images are still in its chain.
        so_far: What was said already, of a reply that another process began: go on from there.
        history: Earlier messages of the conversation, oldest first, both roles, without *message*.
            Inline data in them is blanked.
        sender: Who wrote *message*.
        pipeline_uuid, session_type, session_id: Where the conversation takes place.
    """

    message: Message
    history: tuple[Message, ...]
    sender: Sender
    pipeline_uuid: str
    session_type: SessionType
    session_id: str
    so_far: str = ""

    @property
    def text(self) -> str:
        """The user's message as plain text."""
        return self.message.content
