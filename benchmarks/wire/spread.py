"""What several rounds say together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from attrs import frozen


@frozen
class Spread:
    """The rounds' median, with the lowest and the highest beside it."""

    median: float
    lowest: float
    highest: float

    def text(self, digits: int = 0) -> str:
        """As it stands in a table."""
        one, low, high = (f"{value:,.{digits}f}" for value in (self.median, self.lowest, self.highest))
        return one if low == high else f"{one} ({low}–{high})"


def spread(values: Sequence[float]) -> Spread:
    """Of *values*, of which there is at least one."""
    return Spread(median(values), min(values), max(values))


def paired(ours: dict[int, float], theirs: dict[int, float]) -> Spread | None:
    """Ours ÷ theirs, of each round in which both were measured; `None` if there is none.

    Two figures of one round saw the same machine, so their ratio means more than that of two medians.
    """
    ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
    return spread(ratios) if ratios else None
