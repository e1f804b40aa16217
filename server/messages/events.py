"""What happened, for the sockets that should know."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import evolve, field, frozen

from server.chat import (
    ConversationKey,
    Fact,
    GapReason,
    Message,
    MessageAdded,
    MessageEdited,
    Plain,
    ReplyEnded,
    Sender,
    SessionType,
    weight_of,
)

# What an event of no content weighs.
SMALL = 256


@frozen(kw_only=True)
class Event:
    """Something to tell a client. One object is shared by all its receivers.

    `encodings` holds its wire form for each dialect, put there by the first connection that needs it;
    `weight` is roughly the bytes of memory it takes.
    """

    encodings: dict[str, Any] = field(factory=dict, init=False, eq=False, repr=False)
    weight: int = field(default=SMALL, init=False, eq=False, repr=False)


@frozen
class Welcomed(Event):
    """The socket is part of the conversation; always its first event.

    What follows comes after *cursor*: the client's own if it *resumed*, else the newest.
    """

    connection_id: str
    key: ConversationKey
    cursor: str
    user: Sender
    at: datetime
    resumed: bool = False


@frozen
class Gap(Event):
    """The client can't be told what it missed: it is to fetch the history, and goes on from *cursor*."""

    cursor: str
    reason: GapReason


@frozen
class Happened(Event):
    """A durable event. Of the end of a reply, *told* code points of its text were told in `ReplyGrew`.

    What came since are *pieces*, as there; in `delta`, each of them has a frame of its own before the end.
    """

    session_type: SessionType
    fact: Fact
    told: int = 0
    pieces: tuple[str, ...] = ()
    weight: int = field(init=False, eq=False, repr=False, kw_only=True)

    @weight.default
    def _weigh(self) -> int:
        match self.fact:
            case MessageAdded(message=message) | ReplyEnded(message=message) | MessageEdited(message=message):
                return SMALL * (1 + len(self.pieces)) + weight_of(message.chain)
            case _:
                return SMALL


@frozen(eq=False)
class RunningReply:
    """What all states of one reply have in common: all but the text of *blank*.

    `encodings` keeps what helps to encode them one after another, put there by the first that does.
    """

    blank: Message
    encodings: dict[str, Any] = field(factory=dict, init=False, repr=False)

    @property
    def id(self) -> int:
        return self.blank.id


@frozen
class ReplyGrew(Event):
    """A reply that says *text* by now, of which *told* code points were told before.

    What came since is told in one frame, or, to who knows what was told before, in one for each of *pieces*,
    if there are any. Of several events the newest is enough.
    """

    session_type: SessionType
    reply: RunningReply
    text: str
    told: int = 0
    pieces: tuple[str, ...] = ()
    weight: int = field(init=False, eq=False, repr=False, kw_only=True)

    @weight.default
    def _weigh(self) -> int:
        return SMALL * max(1, len(self.pieces)) + self.text.__sizeof__()

    @property
    def message(self) -> Message:
        """The reply as it stands."""
        return evolve(self.reply.blank, chain=(Plain(self.text),))


@frozen
class ReplyBroke(Event):
    """A reply ends because something failed; it still has its end of its own. For level 2."""

    reply_id: int
    text: str


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
class Acked(Event):
    """A client's message is durable. For level 2."""

    client_msg_id: str
    id: int
    seq: int
    duplicate: bool


@frozen
class Declined(Event):
    """A client's own frame was not accepted."""

    code: str
    text: str
    retry: bool = False
    client_msg_id: str | None = None
