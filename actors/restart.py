"""When a crashed actor is started again, and how soon."""

from __future__ import annotations

from collections import deque
from enum import Enum
from random import Random

from attrs import define, field, frozen


class Restart(Enum):
    """Which endings of a child lead to a new start."""

    PERMANENT = "permanent"
    """Always, however it ended."""
    TRANSIENT = "transient"
    """Only after a crash."""
    TEMPORARY = "temporary"
    """Never."""


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
        """The wait before restart number *attempt*, counted from 1 within the budget's window."""
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
