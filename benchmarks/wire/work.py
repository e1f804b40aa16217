"""What a kind of work is to the runner and to the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import evolve, field, frozen

from .contestants import Contestant, Dialect
from .generator import Figures, Load, run


@frozen(kw_only=True)
class Pace:
    """How long to measure."""

    seconds: float = 3.0
    warm_up: float = 1.0


@frozen
class Metric:
    """A figure that is reported."""

    key: str
    title: str
    less_is_better: bool = False
    digits: int = 0
    """Behind the decimal point."""

    def told(self, figures: Figures) -> str:
        """Its value in *figures*, in words."""
        return f"{figures[self.key]:,.{self.digits}f} {self.title}"


RATE = Metric("messages_per_cpu", "frames per CPU second")
STREAMS = Metric("finals_per_cpu", "replies per CPU second")
P50 = Metric("final_p50_ms", "p50, ms", less_is_better=True, digits=1)
P99 = Metric("final_p99_ms", "p99, ms", less_is_better=True, digits=1)


class Work(Protocol):
    """One kind of work."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def metrics(self) -> Sequence[Metric]:
        """What is reported of it; the first is what contestants are compared by."""

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """What a fresh server of *contestant* did; `None` if this is not for it."""


@frozen(kw_only=True)
class Loaded:
    """A load for each dialect; one without takes no part."""

    name: str
    title: str
    ours: Load
    plain: Load | None = None
    document: Load | None = None

    def load_for(self, contestant: Contestant) -> Load | None:
        """In its dialect."""
        return {Dialect.TRIOLOGUE: self.ours, Dialect.PLAIN: self.plain, Dialect.DOCUMENT: self.document}[
            contestant.dialect
        ]


@frozen(kw_only=True)
class Driven(Loaded):
    """Work that is one run of the load generator."""

    settings: str = ""
    """Of our server: lines of `triologue.toml`."""
    metrics: Sequence[Metric] = field(default=(RATE, P50, P99))

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """What a fresh server of *contestant* did; `None` if this is not for it."""
        load = self.load_for(contestant)
        if load is None:
            return None
        with contestant.running(self.settings) as server:
            return run(evolve(load, seconds=pace.seconds, warm_up=pace.warm_up), server)
