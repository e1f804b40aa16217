"""What is measured, as a collector for prometheus_client: the sums of the system, by class of actor.

Counters grow over the system's life, actors that are gone among them; gauges tell of the moment.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field, frozen
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors import ActorSystem, Hold, KindTotals, Watchdog


@define
class Sums:
    """All actors whose classes have the same name."""

    living: int = 0
    started: int = 0
    handled: Counter[str] = field(factory=Counter)
    busy: float = 0.0
    queued: int = 0
    longest_queue: int = 0
    dropped: int = 0
    conflated: int = 0
    rejected: int = 0
    expired: int = 0
    restarts: int = 0
    crashes: int = 0

    def add(self, totals: KindTotals) -> None:
        self.living += totals.living
        self.started += totals.started
        self.handled.update(totals.handled)
        self.busy += totals.busy
        self.queued += totals.queued
        self.longest_queue = max(self.longest_queue, totals.longest_queue)
        self.dropped += totals.dropped
        self.conflated += totals.conflated
        self.rejected += totals.rejected
        self.expired += totals.expired
        self.restarts += totals.restarts
        self.crashes += totals.crashes


def sum_up(totals: Iterable[KindTotals]) -> dict[str, Sums]:
    """*totals* by name of class: two classes of one name would else be one time series twice."""
    sums: dict[str, Sums] = {}
    for one in totals:
        sums.setdefault(one.kind, Sums()).add(one)
    return sums


@frozen
class Snapshot:
    """The numbers of one moment."""

    totals: Sequence[KindTotals] = ()
    connections: int = 0
    dead_letters: int = 0
    holds: int = 0
    held: float = 0.0


class Meter:
    """Reads the numbers of *system*, and of the *watchdog* of its loop."""

    def __init__(self, system: ActorSystem, watchdog: Watchdog | None) -> None:
        self._system = system
        self._watchdog = watchdog
        self._held = Held()

    def read(self) -> Snapshot:
        """The numbers of now."""
        system, watchdog = self._system, self._watchdog
        addresses = system.addresses()
        door = f"{addresses[0]}/connections/" if addresses else "/"
        return Snapshot(
            totals=system.totals(),
            connections=sum(address.startswith(door) for address in addresses),
            dead_letters=system.dead_letters.total,
            holds=0 if watchdog is None else watchdog.total,
            held=0.0 if watchdog is None else self._held.add_up(watchdog.holds),
        )


class Held:
    """For how long the loop was held since the beginning, though a watchdog keeps only the newest holds.

    Too little if it forgets some between two looks: it keeps five seconds' worth at the least.
    """

    def __init__(self) -> None:
        self._kept: dict[float, float] = {}
        self._forgotten = 0.0

    def add_up(self, holds: Iterable[Hold]) -> float:
        """The sum of *holds*, which may have been told of as still going on, and all that were before."""
        # By when they began: a hold that goes on is told again when it is over.
        now = {hold.began: hold.seconds for hold in holds}
        self._forgotten += sum(seconds for began, seconds in self._kept.items() if began not in now)
        self._kept = now
        return self._forgotten + sum(now.values())


class Measures(Collector):
    """Turns its `snapshot` into metrics."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def collect(self) -> Iterable[Metric]:
        snapshot = self.snapshot
        sums = sum_up(snapshot.totals)
        yield from _of_actors(sums)
        yield from _of_messages(sums)
        yield GaugeMetricFamily(
            "triologue_connections", "WebSockets that have an actor.", value=snapshot.connections
        )
        yield CounterMetricFamily(
            "triologue_dead_letters", "Messages that could not be delivered.", value=snapshot.dead_letters
        )
        yield CounterMetricFamily(
            "triologue_loop_holds", "Times that one task kept all others from running.", value=snapshot.holds
        )
        yield CounterMetricFamily(
            "triologue_loop_held_seconds",
            "Seconds that one task kept all others from running.",
            value=snapshot.held,
        )
        yield GaugeMetricFamily(
            "python_threads", "Threads of the interpreter that are alive.", value=threading.active_count()
        )


def _of_actors(sums: dict[str, Sums]) -> Iterable[Metric]:
    yield _gauge("triologue_actors", "Living actors.", sums, lambda one: one.living)
    yield _counter("triologue_actors_started", "Actors ever started.", sums, lambda one: one.started)
    yield _counter(
        "triologue_actor_restarts",
        "Restarts, for whatever reason.",
        sums,
        lambda one: one.restarts,
    )
    yield _counter("triologue_actor_crashes", "Lives ended by an error.", sums, lambda one: one.crashes)
    yield _counter(
        "triologue_actor_busy_seconds", "Seconds of handling messages.", sums, lambda one: one.busy
    )
    yield _gauge(
        "triologue_mailbox_messages", "Messages that wait, in all mailboxes.", sums, lambda one: one.queued
    )
    yield _gauge(
        "triologue_mailbox_messages_max",
        "Messages that wait in the fullest mailbox.",
        sums,
        lambda one: one.longest_queue,
    )


def _of_messages(sums: dict[str, Sums]) -> Iterable[Metric]:
    handled = CounterMetricFamily(
        "triologue_messages_handled", "Messages handled, by their class.", labels=["actor", "message"]
    )
    for kind, one in sums.items():
        for message, number in one.handled.items():
            handled.add_metric([kind, message], number)
    yield handled
    yield _counter("triologue_messages_dropped", "Dropped by a full mailbox.", sums, lambda one: one.dropped)
    yield _counter("triologue_messages_conflated", "Replaced by newer ones.", sums, lambda one: one.conflated)
    yield _counter(
        "triologue_messages_rejected", "Refused by a full mailbox.", sums, lambda one: one.rejected
    )
    yield _counter(
        "triologue_messages_expired", "Not handled: nobody waited any more.", sums, lambda one: one.expired
    )


def _gauge(name: str, text: str, sums: dict[str, Sums], measure: Callable[[Sums], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["actor"])
    for kind, one in sums.items():
        family.add_metric([kind], measure(one))
    return family


def _counter(name: str, text: str, sums: dict[str, Sums], measure: Callable[[Sums], float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["actor"])
    for kind, one in sums.items():
        family.add_metric([kind], measure(one))
    return family
