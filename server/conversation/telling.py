"""A large group, told in turns: whoever's turn it is, is told all that it has not been told yet.

To tell a thousand sockets takes milliseconds, in which more happens: a reply begins, grows and ends while its
question is still on its way to most. So the turns go round for as long as there is something to tell. What
comes later joins in where they are, and goes to all before they are there again: who had not been told the
earlier gets both in one write, and nothing waits until everybody was told the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from actors import ActorRef, Cause, FanOut, cause, resume
from server.messages import ConnectionMessage, Deliver, stop_too_slow

Refs = Sequence[ActorRef[ConnectionMessage]]

# A write costs as much as making four frames, and a turn takes as long as 32 writes of one frame each.
WRITE = 4
TURN = 32 * (WRITE + 1)
# So many, and so many bytes, may be on their way: whoever brings more has to wait. A member that comes last
# in a round may get all of them at a time, so it is less than the smallest mailbox takes.
MOST = 16
BEARING = 2**20


@define
class _Part:
    """A message, what it is told because of, and how many are still to be told it."""

    message: Deliver
    cause: Cause
    left: int

    @property
    def weight(self) -> int:
        return self.message.event.weight


@define
class _Round:
    """The same receivers, whose turn it is, and what goes round."""

    refs: Refs
    at: int = 0
    parts: list[_Part] = field(factory=list)

    def turn(self) -> list[ActorRef[ConnectionMessage]]:
        """Tell the next few; who could not be told."""
        few = max(1, TURN // (WRITE + len(self.parts)))
        few = min(few, len(self.refs) - self.at, *(part.left for part in self.parts))
        with FanOut(self.refs[self.at : self.at + few]) as out:
            for part in self.parts:
                with resume(part.cause):
                    out.tell(part.message)
        self.at = (self.at + few) % len(self.refs)
        for part in self.parts:
            part.left -= few
        self.parts = [part for part in self.parts if part.left]
        return out.untold


class Telling:
    """What is on its way to the members of one conversation, in order."""

    def __init__(self) -> None:
        # One for each time that the members had changed.
        self._rounds: list[_Round] = []
        self._untold: list[ActorRef[ConnectionMessage]] = []

    def __bool__(self) -> bool:
        return bool(self._rounds)

    @property
    def is_full(self) -> bool:
        """Whether no more should be added before a turn."""
        parts = [part for each in self._rounds for part in each.parts]
        return len(parts) >= MOST or sum(part.weight for part in parts) >= BEARING

    def add(self, refs: Refs, message: Deliver) -> None:
        """Have *message* told to *refs* in turns, after all that was added before, and because of the same.

        Args:
            refs: At least one; the same object as before, if they are the same.
        """
        if not self._rounds or self._rounds[-1].refs is not refs:
            self._rounds.append(_Round(refs))
        self._rounds[-1].parts.append(_Part(message, cause(), len(refs)))

    def turn(self) -> list[ActorRef[ConnectionMessage]]:
        """Tell the next few.

        Those that could not be told are stopped as too slow; they are handed back at the end of each round.
        """
        current = self._rounds[0]
        self._untold += stop_too_slow(current.turn())
        if current.parts and current.at:
            return []
        if not current.parts:
            del self._rounds[0]
        untold, self._untold = self._untold, []
        return untold
