"""What happened, for the sockets that should know."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from server.chat import ConversationKey, Message, Sender, SessionType


@frozen(kw_only=True)
class Event:
    """Something to tell a client. One object is shared by all its receivers.

    `encodings` holds its wire form for each dialect, put there by the first connection that needs it.
    """

    encodings: dict[str, str] = field(factory=dict, init=False, eq=False, repr=False)


@frozen
class Welcomed(Event):
    """The socket is part of the conversation; always its first event."""

    connection_id: str
    key: ConversationKey
    cursor: str
    user: Sender
    at: datetime


@frozen
class MessagePosted(Event):
    session_type: SessionType
    message: Message


@frozen
class ReplyGrew(Event):
    """A reply as it stands. Of several for one reply only the newest matters."""

    session_type: SessionType
    message: Message


@frozen
class ReplyEnded(Event):
    session_type: SessionType
    message: Message


@frozen
class Announced(Event):
    text: str
    at: datetime


@frozen
class Ponged(Event):
    at: datetime


@frozen
class Declined(Event):
    """A client's own frame was not accepted."""

    code: str
    text: str
    retry: bool = False
