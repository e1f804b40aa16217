"""What a conversation is told: by its members, by its directory, and by the reply being written."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from actors import Down, Question
from server.chat import Component, FinishReason, Message, Sender

from .connection import ConnectionInfo


class ConversationMessage:
    """What a conversation is told."""


@frozen
class Receipt:
    """A user's message has its place in the conversation."""

    id: int
    seq: int


@frozen(eq=False)
class Join(ConversationMessage, Question[ConversationMessage, None]):
    """Take the connection in as a member; it hears `Welcomed` first."""

    info: ConnectionInfo


@frozen
class MemberGone(ConversationMessage):
    connection_id: str
    down: Down


@frozen(eq=False)
class Say(ConversationMessage, Question[ConversationMessage, Receipt]):
    """A member's message; refused with `Busy` or `Draining`. Without *stream* its reply comes whole."""

    chain: tuple[Component, ...]
    sender: Sender
    connection_id: str
    stream: bool = True


@frozen(eq=False)
class Reset(ConversationMessage, Question[ConversationMessage, None]):
    """Stop the running reply, drop waiting messages and forget the history."""


@frozen(eq=False)
class GetMessages(ConversationMessage, Question[ConversationMessage, tuple[Message, ...]]):
    """The newest *limit* messages, oldest first."""

    limit: int


@frozen(eq=False)
class LeaveIfUnused(ConversationMessage, Question[ConversationMessage, bool]):
    """End, unless somebody is there or a reply is running."""


@frozen(eq=False)
class FinishReplies(ConversationMessage, Question[ConversationMessage, None]):
    """Take no more messages; give the running reply *seconds*, then interrupt it. Answered at its end."""

    seconds: float


@frozen
class TimeIsUp(ConversationMessage):
    """The reply has had all the time a drain, or its pipeline, gives it."""

    reply_id: int
    reason: FinishReason


@frozen
class ReplyChunk(ConversationMessage):
    """New text of a running reply."""

    reply_id: int
    text: str


@frozen
class ReplyFinished(ConversationMessage):
    reply_id: int
    reason: FinishReason
    usage: Mapping[str, int] | None = None


@frozen
class ReplyFailed(ConversationMessage):
    """The reply ends where it is; *said* stands in for it if it has no text yet."""

    reply_id: int
    said: str


@frozen
class ReplyGone(ConversationMessage):
    """The actor that wrote the reply is gone, whether it said goodbye or not."""

    reply_id: int
    down: Down
