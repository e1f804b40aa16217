"""Messages that an actor has sent itself for later. They cost no task, and are forgotten with the life."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from .causality import Origin
from .deadlines import Deadlines


class Timer:
    """A message to oneself that is still to come."""

    __slots__ = ("_timers", "cause", "due", "message", "origin")

    def __init__(self, due: float, message: Any, cause: int, origin: Origin | None, timers: Timers) -> None:
        self.due = due
        self.message = message
        self.cause = cause
        self.origin = origin
        self._timers: Timers | None = timers

    @property
    def pending(self) -> bool:
        return self._timers is not None

    def cancel(self) -> None:
        """Don't send it. Does nothing if it was sent already."""
        timers, self._timers = self._timers, None
        if timers is not None:
            self.message = None
            timers.forget_one()

    def take(self) -> Any:
        """The message, once it is due."""
        message, self.message, self._timers = self.message, None, None
        return message


class Alarm:
    """Wakes an actor at a moment, for a timer that may be due then."""

    __slots__ = ("_deadlines", "_wake", "at", "settled")

    def __init__(self, at: float, deadlines: Deadlines, wake: Callable[[], None]) -> None:
        self.at = at
        self.settled = False
        self._deadlines = deadlines
        self._wake: Callable[[], None] | None = wake
        deadlines.add(at, self)

    def expire(self) -> None:
        """Its moment has come."""
        wake = self._wake
        self.cancel()
        if wake is not None:
            wake()

    def cancel(self) -> None:
        """Don't wake anybody. Does nothing if that was done."""
        if not self.settled:
            self.settled = True
            self._wake = None  # the heap of deadlines may keep this for a while
            self._deadlines.remove()


class Timers:
    """The timers of one life, the next one first; of two for the same moment, the one that was set first."""

    __slots__ = ("_cancelled", "_heap", "_set")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._set = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, due: float, message: Any, cause: int, origin: Origin | None) -> Timer:
        timer = Timer(due, message, cause, origin, self)
        self._set += 1
        heappush(self._heap, (due, self._set, timer))
        return timer

    def next_due(self) -> float:
        """When the next one is due; never, if there is none."""
        heap = self._heap
        while heap and not heap[0][2].pending:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else math.inf

    def pop_due(self, now: float) -> Timer | None:
        """The one that has been due longest, if any is."""
        return heappop(self._heap)[2] if self.next_due() <= now else None

    def clear(self) -> None:
        """Cancel all of them."""
        for _, _, timer in self._heap:
            timer._timers = timer.message = None
        self._heap.clear()
        self._cancelled = 0

    def forget_one(self) -> None:
        self._cancelled += 1
        # An idle timer that is set anew with every message must not leave a trail.
        if self._cancelled > 16 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].pending]
            heapify(self._heap)
            self._cancelled = 0
