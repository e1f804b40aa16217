"""When the replies of a pipeline tell what they have: one clock for all of them instead of one each."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol

import trio

# So many times within an interval the clock ticks while anything is held back.
TICKS = 4
# What telling took, so many times, is left to others before it goes on: to those who write the replies, above
# all. When very many are written at once, each is told less often, but all are done sooner.
SHARE = 15
# Intervals that it waits at most: what told so long was a stop of the whole process.
LONGEST = 10
# The same without an interval, and how often the clock ticks then, in seconds.
LONGEST_REST, TICK = 0.2, 0.001


class Holding(Protocol):
    """A reply that holds back text until a moment on trio's clock."""

    tells_at: float

    def tell(self, now: float) -> bool:
        """Tell it; false if that can't be done now."""


class Teller:
    """Has replies told: a quarter of the interval late at most, unless a sixteenth of the time goes into it.

    Args:
        interval: Seconds between two chunks of one reply. At 0 each piece is told at once, as long as telling
            takes no more than a sixteenth of all time, and otherwise together with those after it; what
            many members are told in turns, beside it, is not counted.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        # By the moment from which each may tell; those of the same, as they came.
        self._holding: list[tuple[float, int, Holding]] = []
        self._number = count()
        self._news = trio.Event()
        # Without an interval: when what was told last was told, and when all of it has had its rest.
        self._told_at = self._rested_at = -inf

    def rest_after(self, since: float) -> float:
        """Until when a reply rests that has just told something, which it began at *since*."""
        if self.interval:
            return since + self.interval
        now = trio.current_time()
        began, self._told_at = max(since, self._told_at), now
        rested_at = max(self._rested_at, began) + (1 + SHARE) * (now - began)
        self._rested_at = min(rested_at, now + LONGEST_REST)
        return self._rested_at

    def hold(self, reply: Holding) -> None:
        """Have *reply* tell when its moment has come."""
        self._hold_until(reply.tells_at, reply)
        self._news.set()

    def _hold_until(self, moment: float, reply: Holding) -> None:
        heappush(self._holding, (moment, next(self._number), reply))

    async def run(self) -> None:
        """Look after them, for ever."""
        rests_until, tick = -inf, self.interval / TICKS or TICK
        while True:
            await self._news.wait()
            while self._holding:
                await trio.sleep_until(max(trio.current_time() + tick, rests_until))
                now = trio.current_time()
                self._tell_due(now)
                took = trio.current_time() - now
                rests_until = now + took + min(SHARE * took, LONGEST * self.interval or LONGEST_REST)
            self._news = trio.Event()

    def _tell_due(self, now: float) -> None:
        holding, again = self._holding, []
        while holding and holding[0][0] <= now:
            reply = heappop(holding)[2]
            # It may have told since, as it had too much; and its conversation may have no room.
            if reply.tells_at > now or not reply.tell(now):
                again.append(reply)
        for reply in again:
            self._hold_until(max(now, reply.tells_at), reply)
