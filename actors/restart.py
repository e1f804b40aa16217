"""When an actor that has ended is started again, how soon, and who with it."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from random import Random

from attrs import define, field, frozen


class Restart(Enum):
    """Which endings of a child lead to a new start."""

    PERMANENT = "permanent"
    """Whatever ended it, its own `stop` too; only the `stop` of its ref or its parent's end is for good."""
    TRANSIENT = "transient"
    """A crash; who stops itself is gone."""
    TEMPORARY = "temporary"
    """None."""


class Strategy(Enum):
    """Which children are restarted when one of them is."""

    ONE_FOR_ONE = "one for one"
    """That one."""
    ONE_FOR_ALL = "one for all"
    """All: they can't do without each other."""
    REST_FOR_ONE = "rest for one"
    """That one and those started after it: they depend on it."""


@frozen
class Backoff:
    """How long to wait before a restart, in seconds: `first`, then doubled up to `longest`.

    `jitter` is the share of each wait that is random, so that actors that crashed together don't come
    back together.
    """

    first: float = 0.01
    longest: float = 1.0
    jitter: float = 0.5

    def delay(self, attempt: int, random: Random) -> float:
        """The wait before restart number *attempt* in a row, counted from 1."""
        wait: float = min(self.longest, self.first * 2.0 ** min(attempt - 1, 62))
        return wait * (1 - self.jitter * random.random())


@define
class RestartBudget:
    """At most `restarts` restarts `within` seconds, over all children of one supervisor (OTP's intensity)."""

    restarts: int = 10
    within: float = 10.0
    _spent: deque[float] = field(factory=deque)

    def allows(self, now: float) -> bool:
        """Spend one restart at the time *now*; false if the budget has none left."""
        while self._spent and now - self._spent[0] >= self.within:
            self._spent.popleft()
        if len(self._spent) >= self.restarts:
            return False
        self._spent.append(now)
        return True


@define
class Streak:
    """The crashes of one actor in a row: each waits longer, until one life was long enough to begin anew.

    Long enough is ten times the longest wait.
    """

    backoff: Backoff
    _attempt: int = 0
    _last: float = -math.inf

    def next_delay(self, now: float, random: Random) -> float:
        """The wait before the restart that is due at the time *now*."""
        if now - self._last > 10 * self.backoff.longest:
            self._attempt = 0
        self._attempt += 1
        delay = self.backoff.delay(self._attempt, random)
        self._last = now + delay
        return delay
