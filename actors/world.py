"""What all actors of one system share, and its books."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Generic, TypeVar

from attrs import define, field

from .dead_letters import DeadLetters
from .deadlines import Deadlines
from .delivery import Delivery
from .inspection import Gone, Subject, Total, add_up, remember
from .tracing import Observer
from .views import KindTotals

KEPT = 200
"""How many actors are remembered after their end."""

C = TypeVar("C", bound=Subject)


@define
class World(Generic[C]):
    """The living by address, parents before their children; the latest of the gone; and the sums."""

    random: Random
    clock: Callable[[], float] = time.monotonic  # until the system runs, and brings trio's
    deadlines: Deadlines = field(factory=lambda: Deadlines(time.monotonic))
    turns: Iterator[int] = field(factory=count)
    """Counts what is told; of the system, and not of the process, so that a seeded run can be repeated."""
    deliveries: list[Delivery] = field(factory=list)
    """Those that go on in this moment, each within the one before."""
    pump: Callable[[], bool] | None = None
    """See `ActorSystem`."""
    dead_letters: DeadLetters = field(factory=DeadLetters)
    observers: list[Observer] = field(factory=list)
    cells: dict[str, C] = field(factory=dict)
    gone: deque[Gone] = field(factory=lambda: deque(maxlen=KEPT))
    _totals: dict[type, Total] = field(factory=dict)

    def enter(self, cell: C) -> None:
        """*cell* begins."""
        self.cells[cell.address] = cell
        total = self._totals.get(cell.kind)
        if total is None:
            total = self._totals[cell.kind] = Total()
        total.started += 1

    def leave(self, cell: C) -> None:
        """*cell* has ended for good."""
        if self.cells.pop(cell.address, None) is not None:
            self._totals[cell.kind].add(cell)
            self.gone.append(remember(cell, self.clock()))

    def totals(self) -> list[KindTotals]:
        """What the actors of each class have done since the system began."""
        living: dict[type, list[Subject]] = {kind: [] for kind in self._totals}
        for cell in self.cells.values():
            living[cell.kind].append(cell)
        return [add_up(kind, total, living[kind]) for kind, total in self._totals.items()]
