"""How long after a message the first word of its reply comes, at half the load that the server can take."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from .contestants import Contestant, Dialect
from .generator import Figures, Load, run
from .work import Metric, Pace


@frozen(kw_only=True)
class FirstChunk:
    """Ours alone: no peer keeps what it is told.

    First *ours* is run as it is, each connection asking again when it has its reply: what comes of that is
    the load that the server can take. Then a fresh server gets half as many messages a second, at even
    intervals, whatever it has answered; a latency counts from the moment at which the message was due.
    """

    name: str
    title: str
    ours: Load
    metrics: Sequence[Metric] = (
        Metric("first_p99_ms", "p99, ms", less_is_better=True, digits=1),
        Metric("first_p50_ms", "p50, ms", less_is_better=True, digits=1),
        Metric("messages_per_second", "messages a second, at most"),
        Metric("finals_per_cpu", "messages per CPU second"),
    )

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """What clients of a fresh server of *contestant* saw."""
        if contestant.dialect is not Dialect.TRIOLOGUE:
            return None
        load = evolve(self.ours, seconds=pace.seconds, warm_up=pace.warm_up)
        with contestant.running() as server:
            full = run(load, server)
        most = full["finals"] / full["elapsed_seconds"]
        with contestant.running() as server:
            half = run(evolve(load, rate=most / 2), server)
        return {**half, "messages_per_second": most, "finals_per_cpu": full["finals_per_cpu"]}
