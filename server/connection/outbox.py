"""What one socket has been told, and so what an event means to it. Pure.

What happened comes to a connection from two sides, live and read from the store, and chunks of a reply may
have been left out on the way. Here it becomes one sequence without holes, doubles and chunks after the end.
"""

from __future__ import annotations

from server.chat import Cursor, Fact, Message
from server.messages import (
    Acked,
    Announced,
    Declined,
    Dialect,
    Event,
    Gap,
    Happened,
    Ponged,
    ReplyBroke,
    ReplyGrew,
    Welcomed,
)

from .transport import Frame
from .wire import Greeting, encoded, encoded_delta, reply_of

# Events that leave what the client knows as it is.
_ABOUT_NOTHING = frozenset({Announced, Ponged, Acked, Declined, ReplyBroke})


class Hole(Exception):
    """Something that happened was left out on the way here: our fault, and the client has to resume."""

    def __init__(self, last: int | None, seq: int) -> None:
        super().__init__(f"{seq} follows {'nothing' if last is None else last}")
        self.last = last
        self.seq = seq


class Outbox:
    """Makes the frames for one socket, in the order of the events.

    Args:
        dialect: How the socket wants them.
        greeting: What it is told of the server.
    """

    def __init__(self, dialect: Dialect, greeting: Greeting) -> None:
        self._dialect: Dialect = dialect
        self._greeting = greeting
        # The seq of the newest fact that the client knows; None before it was welcomed.
        self._last: int | None = None
        # The newest reply that it was told of: its id, the code points told, and whether it was the end.
        self._reply = 0
        self._told = 0
        self._ended = True

    def frame(self, event: Event) -> Frame | None:
        """The text frame to write for *event*; `None` if there is nothing to say.

        Raises:
            Hole: Something before it is missing.
        """
        if type(event) in _ABOUT_NOTHING:
            return encoded(event, self._dialect, self._greeting)
        match event:
            case Happened():
                if not self._follows(event.fact):
                    return None
            case Welcomed():
                if not self._enters(event.cursor):
                    return None
            case Gap():
                self._last = _seq_of(event.cursor)
        reply = reply_of(event)
        if reply is None:
            return encoded(event, self._dialect, self._greeting)
        assert isinstance(event, ReplyGrew | Happened)
        return self._reply_frame(event, reply)

    def _follows(self, fact: Fact) -> bool:
        if self._last is None or fact.seq > self._last + 1:
            raise Hole(self._last, fact.seq)
        if fact.seq <= self._last:
            return False
        self._last = fact.seq
        return True

    def _enters(self, cursor: str) -> bool:
        """Take note of where the client begins; false if it was welcomed before.

        It is a second time if the conversation crashed between its welcome and its answer.
        """
        seq = _seq_of(cursor)
        if self._last is None:
            self._last = seq
            return True
        if seq > self._last:
            raise Hole(self._last, seq)
        return False

    def _reply_frame(self, event: ReplyGrew | Happened, reply: Message) -> Frame | None:
        known = 0
        if reply.id == self._reply:
            known = self._told
        if not reply.is_final and (reply.id < self._reply or (reply.id == self._reply and self._ended)):
            return None  # it has had its end
        length = len(reply.content)
        # A conversation that crashed may have gone back to fewer than were told: then they are told again.
        others = min(event.told, length)
        offset = min(known, others)
        nothing_new = reply.id == self._reply and offset == length and not reply.is_final
        self._reply, self._told, self._ended = reply.id, length, reply.is_final
        if self._dialect != "delta":
            return encoded(event, self._dialect, self._greeting)
        if nothing_new:
            return None
        return encoded_delta(event, reply, offset, shared=offset == others)


def _seq_of(cursor: str) -> int:
    parsed = Cursor.parse(cursor)
    if parsed is None:
        raise ValueError("the server's own cursor can't be read")
    return parsed.seq
