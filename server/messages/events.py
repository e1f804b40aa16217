"""What happened, for the sockets that should know."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from server.chat import ConversationKey, Message, Sender, SessionType, weight_of

# What an event of no content weighs.
SMALL = 256


@frozen(kw_only=True)
class Event:
    """Something to tell a client. One object is shared by all its receivers.

    `encodings` holds its wire form for each dialect, put there by the first connection that needs it;
    `weight` is roughly the bytes of memory it takes.
    """

    encodings: dict[str, str] = field(factory=dict, init=False, eq=False, repr=False)
    weight: int = field(default=SMALL, init=False, eq=False, repr=False)


@frozen
class Welcomed(Event):
    """The socket is part of the conversation; always its first event."""

    connection_id: str
    key: ConversationKey
    cursor: str
    user: Sender
    at: datetime


@frozen
class Said(Event):
    """A message, whole or growing."""

    session_type: SessionType
    message: Message
    weight: int = field(init=False, eq=False, repr=False, kw_only=True)

    @weight.default
    def _weigh(self) -> int:
        return SMALL + weight_of(self.message.chain)


@frozen
class MessagePosted(Said):
    """A user's message took its place in the conversation."""


@frozen
class ReplyGrew(Said):
    """A reply as it stands. Of several for one reply only the newest matters."""


@frozen
class ReplyEnded(Said):
    """A reply is final."""


@frozen
class Announced(Event):
    text: str
    at: datetime
    weight: int = field(init=False, eq=False, repr=False, kw_only=True)

    @weight.default
    def _weigh(self) -> int:
        return SMALL + self.text.__sizeof__()


@frozen
class Ponged(Event):
    at: datetime


@frozen
class Declined(Event):
    """A client's own frame was not accepted."""

    code: str
    text: str
    retry: bool = False
