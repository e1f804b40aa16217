"""Every frame on the wire as a class, with the wire's own field names.

Fields that are `None` are left out of the JSON. Levels 0 and 1 of `protocol.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from attrs import frozen

from server.chat import Component, Role, SessionType

# -- client → server


@frozen
class MessageFrame:
    """A chat message; without `stream` its reply is one final `response`."""

    type: ClassVar[str] = "message"
    message: tuple[Component, ...]
    stream: bool = True


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
    """A frame of a type that levels 0 and 1 do not know."""


ClientFrame = MessageFrame | PingFrame | DisconnectFrame | AuthenticateFrame | IgnoredFrame

# -- server → client


@frozen
class SenderData:
    id: str
    name: str


@frozen
class MessageData:
    """MESSAGE of `protocol.md`."""

    id: int
    role: Role
    content: str
    message_chain: tuple[Component, ...]
    timestamp: str
    is_final: bool
    connection_id: str
    sender: SenderData
    seq: int | None = None
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None


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
    data: MessageData


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
    """`retry` says whether the same frame may be accepted later."""

    type: ClassVar[str] = "error"

    message: str
    code: str
    retry: bool = False


ServerFrame = ConnectedFrame | UserMessageFrame | ResponseFrame | PongFrame | BroadcastFrame | ErrorFrame
