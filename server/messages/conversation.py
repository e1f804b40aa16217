"""What a conversation is told: by its members, by its directory, and by the reply being written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from actors import Down, Question
from server.chat import Component, FinishReason, Sender

from .connection import ConnectionInfo


class ConversationMessage:
    """What a conversation is told."""


@frozen
class Receipt:
    """A user's message has its place in the conversation; *duplicate* if it had it before."""

    id: int
    seq: int
    duplicate: bool = False


@frozen
class CatchUp:
    """A newcomer has to be told the facts from `after + 1` to `upto` before it has `CaughtUp`."""

    after: int
    upto: int


@frozen(eq=False)
class Join(ConversationMessage, Question[ConversationMessage, CatchUp | None]):
    """Take the connection in as a member; it hears `Welcomed` first, and `Gap` if *cursor* leads nowhere.

    *cursor* is the client's own spelling of where it goes on. Answered with what whoever asks has to read
    from the store and deliver by himself: meanwhile what happens is kept for the newcomer.
    """

    info: ConnectionInfo
    cursor: str | None = None


@frozen
class CaughtUp(ConversationMessage):
    """The newcomer has been told all that its `CatchUp` said: let it have what was kept."""

    connection_id: str


@frozen
class MemberGone(ConversationMessage):
    connection_id: str
    down: Down


@frozen(eq=False)
class Say(ConversationMessage, Question[ConversationMessage, Receipt]):
    """A member's message, refused as `Post` is or with `Draining`. Without *stream* its reply comes whole."""

    chain: tuple[Component, ...]
    sender: Sender
    connection_id: str
    stream: bool = True
    scope: str = ""
    client_msg_id: str | None = None
    reply_to: int | None = None
    expires_at: datetime | None = None


@frozen(eq=False)
class StopReply(ConversationMessage, Question[ConversationMessage, None]):
    """End the running reply where it is; with *id* only if it is that one.

    Refused with `NoSuchMessage`, or `NotAllowed` in a group, where only who asked may.
    """

    by: str
    id: int | None = None


@frozen(eq=False)
class RegenerateReply(ConversationMessage, Question[ConversationMessage, None]):
    """Answer the user's message *id* again. Refused as `Regenerate` is."""

    id: int
    by: str


@frozen(eq=False)
class EditMessage(ConversationMessage, Question[ConversationMessage, None]):
    """Refused as `Edit` is."""

    id: int
    by: str
    chain: tuple[Component, ...]


@frozen(eq=False)
class RecallMessage(ConversationMessage, Question[ConversationMessage, None]):
    """Refused as `Recall` is."""

    id: int
    by: str


@frozen(eq=False)
class MarkAsRead(ConversationMessage, Question[ConversationMessage, None]):
    """Refused as `MarkRead` is."""

    by: str
    up_to: int


@frozen(eq=False)
class ResetHistory(ConversationMessage, Question[ConversationMessage, None]):
    """Stop the running reply, drop waiting messages and forget the history."""


@frozen
class HistoryTrimmed(ConversationMessage):
    """Retention has forgotten the facts up to *floor* and the messages up to *message_id*."""

    floor: int
    message_id: int


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
    """New text of a running reply; its *pieces*, if each of them is to be told in a frame of its own."""

    reply_id: int
    text: str
    pieces: tuple[str, ...] = ()


@frozen
class ReplyFinished(ConversationMessage):
    """The reply ends with *text*, which was in no chunk; *pieces* are as in `ReplyChunk`."""

    reply_id: int
    reason: FinishReason
    usage: Mapping[str, int] | None = None
    text: str = ""
    pieces: tuple[str, ...] = ()


@frozen
class ReplyFailed(ConversationMessage):
    """The reply breaks off after *text*, which was in no chunk; *said* stands in for it if it has none."""

    reply_id: int
    said: str
    text: str = ""
    pieces: tuple[str, ...] = ()


@frozen
class ReplyGone(ConversationMessage):
    """The actor that wrote the reply is gone, whether it said goodbye or not."""

    reply_id: int
    down: Down
