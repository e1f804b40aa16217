"""Every frame on the wire as a class, with the wire's own field names.

Fields that are `None` are left out of the JSON. Source: `protocol.md`.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, NewType

from attrs import frozen

from server.chat import Component, GapReason, Message, SessionType

Level = Literal[1, 2]
"""What a socket speaks: 1 is levels 0 and 1, between which no frame has to choose."""

ClientMessageId = NewType("ClientMessageId", str)
"""A client's own name for a frame of its, 1 to 64 code points."""

MessageId = NewType("MessageId", int)
"""What may be the id of a message: a whole number that every store can hold."""

# -- client → server


@frozen(kw_only=True)
class Request:
    """A frame that asks for something. On level 2 an `error` about it repeats its `client_msg_id`."""

    client_msg_id: ClientMessageId | None = None


@frozen
class MessageFrame(Request):
    """A chat message; without `stream` its reply is one final `response`."""

    type: ClassVar[str] = "message"
    message: tuple[Component, ...]
    stream: bool = True
    reply_to: MessageId | None = None
    expires_at: datetime | None = None


@frozen
class StopFrame(Request):
    """End the running reply; with `id` only that one."""

    type: ClassVar[str] = "stop"
    id: MessageId | None = None


@frozen
class RegenerateFrame(Request):
    """Answer the user's message `id` again."""

    type: ClassVar[str] = "regenerate"
    id: MessageId


@frozen
class EditFrame(Request):
    """Replace the chain of one's own message `id`."""

    type: ClassVar[str] = "edit"
    id: MessageId
    message: tuple[Component, ...]


@frozen
class RecallFrame(Request):
    """Erase one's own message `id`."""

    type: ClassVar[str] = "recall"
    id: MessageId


@frozen
class ReadFrame(Request):
    """Everything up to and with message `up_to` has been read."""

    type: ClassVar[str] = "read"
    up_to: MessageId


@frozen
class PingFrame:
    type: ClassVar[str] = "ping"


@frozen
class DisconnectFrame:
    type: ClassVar[str] = "disconnect"


@frozen
class AuthenticateFrame:
    """Tolerated and ignored where anonymous access is allowed."""

    type: ClassVar[str] = "authenticate"


@frozen
class IgnoredFrame:
    """A frame of which nothing comes: of a type that level 1 does not know, or `typing` on level 2."""


OrderFrame = StopFrame | RegenerateFrame | EditFrame | RecallFrame | ReadFrame
RequestFrame = MessageFrame | OrderFrame
ClientFrame = RequestFrame | PingFrame | DisconnectFrame | AuthenticateFrame | IgnoredFrame

# -- server → client


@frozen
class SenderData:
    id: str
    name: str


@frozen
class MessageData:
    """MESSAGE of `protocol.md`. With `stream=delta` a final reply has its last `delta` and `offset`, too."""

    message: Message
    delta: str | None = None
    offset: int | None = None


@frozen
class DeltaData:
    """What a running reply grew by: its text up to `offset` (in code points) stays, `delta` follows."""

    id: int
    delta: str
    offset: int


@frozen
class ConnectedFrame:
    """The first frame. `heartbeat` in seconds, `max_message_size` in bytes."""

    type: ClassVar[str] = "connected"

    connection_id: str
    pipeline_uuid: str
    session_type: SessionType
    timestamp: str
    session_id: str
    cursor: str
    resumed: bool
    heartbeat: float
    max_message_size: int
    user: SenderData


@frozen
class UserMessageFrame:
    type: ClassVar[str] = "user_message"
    session_type: SessionType
    data: MessageData


@frozen
class ResponseFrame:
    type: ClassVar[str] = "response"
    session_type: SessionType
    data: MessageData | DeltaData


@frozen
class PongFrame:
    type: ClassVar[str] = "pong"
    timestamp: str


@frozen
class BroadcastFrame:
    type: ClassVar[str] = "broadcast"
    message: str
    timestamp: str


@frozen
class ErrorFrame:
    """`retry` says whether the same frame may be accepted later; `id` is that of a reply that broke."""

    type: ClassVar[str] = "error"

    message: str
    code: str
    retry: bool = False
    client_msg_id: str | None = None
    id: int | None = None


@frozen
class AckFrame:
    """The client's message is durable. `duplicate` if it was before, with the same `id` and `seq`."""

    type: ClassVar[str] = "ack"

    client_msg_id: str
    id: int
    seq: int
    duplicate: bool


@frozen
class EditedFrame:
    type: ClassVar[str] = "edited"
    data: MessageData


@frozen
class RecalledFrame:
    type: ClassVar[str] = "recalled"
    id: int
    by: str
    seq: int
    timestamp: str


@frozen
class ResetFrame:
    type: ClassVar[str] = "reset"
    seq: int
    timestamp: str


@frozen
class UserHasReadFrame:
    """`user` is an id."""

    type: ClassVar[str] = "read"
    user: str
    up_to: int
    seq: int


@frozen
class GapFrame:
    """What happened before `cursor` can't be told: the client fetches the history, and goes on from there."""

    type: ClassVar[str] = "gap"
    cursor: str
    reason: GapReason


ServerFrame = (
    ConnectedFrame
    | UserMessageFrame
    | ResponseFrame
    | PongFrame
    | BroadcastFrame
    | ErrorFrame
    | AckFrame
    | EditedFrame
    | RecalledFrame
    | ResetFrame
    | UserHasReadFrame
    | GapFrame
)
