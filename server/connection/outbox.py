"""What one socket has been told, and so what an event means to it. Pure.

What happened comes to a connection from two sides, live and read from the store, and chunks of a reply may
have been left out on the way. Here it becomes one sequence without holes, doubles and chunks after the end.
"""

from __future__ import annotations

from typing import Any

from server.chat import Cursor, ReplyEnded
from server.messages import (
    Dialect,
    Event,
    Gap,
    Happened,
    ReplyGrew,
    Welcomed,
)

from .wire import WHOLE, Greeting, encoded, encoded_delta


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

    __slots__ = ("_dialect", "_ended", "_greeting", "_last", "_reply", "_told")

    def __init__(self, dialect: Dialect, greeting: Greeting) -> None:
        self._dialect: Dialect = dialect
        self._greeting = greeting
        # The seq of the newest fact that the client knows; None before it was welcomed.
        self._last: int | None = None
        # The newest reply that it was told of: its id, whether that was the end, and for `delta` how much of
        # it was told, in code points.
        self._reply = 0
        self._told = 0
        self._ended = True

    def frames(self, event: Event) -> bytes | None:
        """What to write for *event*, one text frame or several; `None` if there is nothing to say.

        Raises:
            Hole: Something before it is missing.
        """
        # The most frequent first, and by `is`, which costs a third of `isinstance` but tells mypy nothing.
        kind = type(event)
        it: Any = event
        if kind is Happened:
            seq, last = it.fact.seq, self._last
            if last is None or seq != last + 1:
                if last is not None and seq <= last:
                    return None
                raise Hole(last, seq)
            self._last = seq
            if type(it.fact) is ReplyEnded:
                message = it.fact.message
                return self._reply_frames(it, message.id, len(message.content), final=True)
        elif kind is ReplyGrew:
            return self._reply_frames(it, it.reply.id, len(it.text), final=False)
        elif isinstance(event, Welcomed):
            if not self._enters(event.cursor):
                return None
        elif isinstance(event, Gap):
            self._last = _seq_of(event.cursor)
        made: bytes | None = event.encodings.get(WHOLE)  # nearly always, in a fan-out
        return encoded(event, self._dialect, self._greeting) if made is None else made

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

    def _reply_frames(
        self, event: ReplyGrew | Happened, reply: int, length: int, *, final: bool
    ) -> bytes | None:
        if not final and (reply < self._reply or (reply == self._reply and self._ended)):
            return None  # it has had its end
        if self._dialect != "delta":
            self._reply, self._ended = reply, final
            made: bytes | None = event.encodings.get(WHOLE)
            return encoded(event, self._dialect, self._greeting) if made is None else made
        known = self._told if reply == self._reply else 0
        # A conversation that crashed may have gone back to fewer than were told: then they are told again.
        others = min(event.told, length)
        offset = min(known, others)
        nothing_new = reply == self._reply and offset == length and not final
        self._reply, self._told, self._ended = reply, length, final
        if nothing_new:
            return None
        return encoded_delta(event, offset, shared=offset == others)


def _seq_of(cursor: str) -> int:
    parsed = Cursor.parse(cursor)
    if parsed is None:
        raise ValueError("the server's own cursor can't be read")
    return parsed.seq
