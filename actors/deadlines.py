"""The deadlines of all asks of a system, and its actors' timers, watched by one task.

Almost all asks are answered in time, and a cancel scope around each would cost a third of its time; an actor
with a timer would need one for each message it waits for. Here a deadline is one entry in a heap, forgotten
when it was not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

import trio

# Entries that are not worth tidying up.
FEW = 64


class Expiring(Protocol):
    """What has a deadline; or had one, once it is settled."""

    settled: bool

    def expire(self) -> None: ...


class Deadlines:
    """Lets what is not settled in time expire.

    An entry that was settled stays until its time comes, or until such entries are the most.

    Args:
        clock: Seconds, as trio counts them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Expiring]] = []
        self._number = count().__next__
        self._open = 0
        self._next = math.inf
        self._scope = trio.CancelScope()

    def add(self, deadline: float, expiring: Expiring) -> None:
        """Let it expire at *deadline*; `remove` tells that it need not any more."""
        heappush(self._heap, (deadline, self._number(), expiring))
        self._open += 1
        if deadline < self._next:
            self._next = self._scope.deadline = deadline

    def remove(self) -> None:
        """One was settled, or has expired."""
        self._open -= 1
        if self._open == 0:
            # The time itself stays set: waking up once in vain costs less than setting it for every ask.
            self._heap.clear()
        elif len(self._heap) > FEW + 2 * self._open:
            self._heap = [entry for entry in self._heap if not entry[2].settled]
            heapify(self._heap)

    async def run(self) -> None:
        """Watch, until cancelled."""
        while True:
            with self._scope:
                await trio.sleep_forever()
            now = self._clock()
            # Whoever is called back when one expires may add others, and lets the heap be tidied up.
            while self._heap and (self._heap[0][0] <= now or self._heap[0][2].settled):
                heappop(self._heap)[2].expire()
            self._next = self._heap[0][0] if self._heap else math.inf
            self._scope = trio.CancelScope(deadline=self._next)
