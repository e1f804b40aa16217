"""A large group, told in turns: whoever's turn it is, is told all that it has not been told yet.

To tell a thousand sockets takes milliseconds, in which more happens: a reply begins, grows and ends while its
question is still on its way to most. So the turns go round for as long as there is something to tell. What
comes later joins in where they are, and goes to all before they are there again: who had not been told the
earlier gets both in one write, and nothing waits until everybody was told the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from actors import ActorRef
from server.messages import ConnectionMessage, tell_each_nowait

Refs = Sequence[ActorRef[ConnectionMessage]]

# A write costs as much as making four frames, and a turn takes as long as 32 writes of one frame each.
WRITE = 4
TURN = 32 * (WRITE + 1)
# So much may be on its way. More has to wait, and with it whoever brings it.
MOST = 64


@define
class _Part:
    """A message, and how many are still to be told it."""

    message: ConnectionMessage
    left: int


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
        told = self.refs[self.at : self.at + few]
        untold = tell_each_nowait(told, *(part.message for part in self.parts))
        self.at = (self.at + few) % len(self.refs)
        for part in self.parts:
            part.left -= few
        self.parts = [part for part in self.parts if part.left]
        return untold


class Telling:
    """What is on its way to the members of one conversation, in order.

    Args:
        give_up: Called with those that could not be told.
    """

    def __init__(self, give_up: Callable[[list[ActorRef[ConnectionMessage]]], None]) -> None:
        self._give_up = give_up
        # One for each time that the members had changed.
        self._rounds: deque[_Round] = deque()

    def __bool__(self) -> bool:
        return bool(self._rounds)

    async def add(self, refs: Refs, message: ConnectionMessage) -> None:
        """Have `run` tell *message* to *refs*, after all that was added before; helps it if that is too much.

        Args:
            refs: The same object as before, if they are the same.
        """
        while sum(len(each.parts) for each in self._rounds) >= MOST:
            await self._tell_some()
        if not refs:
            return
        if not self._rounds or self._rounds[-1].refs is not refs:
            self._rounds.append(_Round(refs))
        self._rounds[-1].parts.append(_Part(message, len(refs)))

    async def run(self) -> None:
        """Tell all of it; what was told is not forgotten when this is cancelled."""
        while self._rounds:
            await self._tell_some()

    async def _tell_some(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._rounds:
            self._give_up(self._rounds[0].turn())
            if not self._rounds[0].parts:
                self._rounds.popleft()
