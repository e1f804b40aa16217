"""Writes down what actors and trio's scheduler do, while it is attached to a running system.

As little as possible is done at the time: an event is a plain tuple of numbers and names in a ring, made
sense of later (see `chrome_trace`). It holds no message, task or frame, and nothing for the garbage collector
to walk through.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol

import trio
from attrs import define, frozen

from actors.envelope import Envelope
from actors.lifecycle import State
from actors.tracing import Observer

from .step_sampler import Seen, StepSampler
from .tasks import number_of


class Sent(NamedTuple):
    """A message was put in a mailbox. Moments here are in nanoseconds of `time.perf_counter_ns`."""

    at: int
    message: int
    kind: str
    cause: int
    origin: int
    origin_name: str
    labels: Mapping[str, str]
    sender: str
    address: str
    queued: int


class Handled(NamedTuple):
    """A message was handled. It `began` at 0 if that was before the recording, and `ended` at 0 if after."""

    began: int
    ended: int
    address: str
    message: int
    kind: str
    cause: int
    origin: int
    origin_name: str
    labels: Mapping[str, str]
    sender: str
    waited: float
    queued: int | None
    error: str | None


class Changed(NamedTuple):
    """An actor came into another state."""

    at: int
    address: str
    state: str


class Step(NamedTuple):
    """A task ran until it had to wait. The task `waker` had made it ready at `woken`; 0: none, or unknown."""

    began: int
    ended: int
    task: int
    waker: int
    woken: int
    seen: Seen | None


class Spawned(NamedTuple):
    """A task began."""

    at: int
    task: int
    name: str
    spawner: int


class Exited(NamedTuple):
    """A task ended."""

    at: int
    task: int
    name: str


KINDS = (Sent, Handled, Changed, Step, Spawned, Exited)
Event = tuple[Any, ...]
"""The index of one of `KINDS`, and its fields."""
_SENT, _HANDLED, _CHANGED, _STEP, _SPAWNED, _EXITED = range(len(KINDS))


@frozen
class Recorded:
    """What was written down. `tasks` are the names of the tasks that had not ended."""

    began: int
    ended: int
    wall_clock: float
    events: list[Event]
    dropped: int
    tasks: dict[int, str]


class Observed(Protocol):
    """A system of actors."""

    def attach(self, observer: Observer) -> None: ...
    def detach(self, observer: Observer) -> None: ...


@define(eq=False)
class _Task:
    number: int
    name: str
    waker: int = 0
    woken: int = 0


class Recorder(Observer, trio.abc.Instrument):
    """Records what happens while it is `attached`, once.

    Args:
        limit: How many events are kept, the newest: some 0.3 KiB each.
        long_step: A task's step of more seconds than this is a long one: where it is, is looked up.
    """

    def __init__(self, *, limit: int = 500_000, long_step: float = 0.05) -> None:
        self._long_step = int(long_step * 1e9)
        self._events: deque[Event] = deque(maxlen=limit)
        self._add = self._events.append
        self._count = 0
        self._open: dict[str, tuple[Any, ...]] = {}
        self._tasks: dict[trio.lowlevel.Task, _Task] = {}
        self._running: _Task | None = None
        self._step_began = 0
        self._woken = 0, 0
        self._sampler = StepSampler(self._long_step)
        self._began = self._ended = 0
        self._wall_clock = 0.0
        self._recorded: Recorded | None = None

    @contextmanager
    def attached(self, system: Observed, handling: Iterable[tuple[str, Envelope]] = ()) -> Iterator[None]:
        """Record *system*, and the trio run of the calling task, to the end of the block.

        *handling* is what its actors are handling as this begins, by their addresses.
        """
        self._wall_clock = time.time()
        with ExitStack() as detaching:
            detaching.callback(self._finish)
            self._sampler.start(self._running_since)
            detaching.callback(self._sampler.stop)
            system.attach(self)
            detaching.callback(system.detach, self)
            trio.lowlevel.add_instrument(self)
            detaching.callback(self._remove_from_trio)
            self._running = self._meet(trio.lowlevel.current_task())
            self._began = self._step_began = perf_counter_ns()
            for address, envelope in handling:
                self._open[address] = (0, *self._described(envelope, address), None)
            yield

    def hand_over(self) -> Recorded:
        """All that was recorded; once, for it may be much, and a recorder that was attached is soon forgotten
        but not at once by all.
        """
        recorded, self._recorded = self._recorded, None
        assert recorded is not None
        return recorded

    # -- told by the actors

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        origin = envelope.origin
        self._count += 1
        self._add(
            (
                _SENT,
                perf_counter_ns(),
                envelope.id,
                envelope.kind,
                envelope.cause,
                origin.id,
                origin.name,
                origin.labels,
                envelope.sender,
                address,
                queued,
            )
        )

    def began(self, envelope: Envelope, address: str, queued: int) -> None:
        self._open[address] = (perf_counter_ns(), *self._described(envelope, address), queued)

    def ended(self, envelope: Envelope, address: str, error: BaseException | None) -> None:
        now = perf_counter_ns()
        # It may have begun before the recording.
        began, *described = self._open.pop(address, None) or (0, *self._described(envelope, address), None)
        self._count += 1
        self._add((_HANDLED, began, now, *described, None if error is None else type(error).__name__))

    def declined(self, envelope: Envelope, address: str) -> None:
        self._open.pop(address, None)

    def changed(self, address: str, state: State) -> None:
        self._count += 1
        self._add((_CHANGED, perf_counter_ns(), address, state.value))

    def _described(self, envelope: Envelope, address: str) -> tuple[Any, ...]:
        origin = envelope.origin
        return (
            address,
            envelope.id,
            envelope.kind,
            envelope.cause,
            origin.id,
            origin.name,
            origin.labels,
            envelope.sender,
            envelope.began_at - envelope.sent_at,
        )

    # -- told by trio

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        spawned, spawner = self._meet(task), 0 if self._running is None else self._running.number
        self._count += 1
        self._add((_SPAWNED, perf_counter_ns(), spawned.number, spawned.name, spawner))

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        scheduled, waker = self._tasks.get(task) or self._meet(task), self._running
        scheduled.waker = 0 if waker is None else waker.number
        scheduled.woken = perf_counter_ns()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._running = running = self._tasks.get(task) or self._meet(task)
        # Now, for a task may be made ready for its next step within this one.
        self._woken = running.waker, running.woken
        self._step_began = perf_counter_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        ended, began, ran = perf_counter_ns(), self._step_began, self._running
        self._step_began = 0
        self._running = None
        if ran is not None:
            seen = self._sampler.take(began) if ended - began > self._long_step else None
            self._count += 1
            self._add((_STEP, began, ended, ran.number, *self._woken, seen))

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        exited = self._tasks.get(task) or self._meet(task)
        del self._tasks[task]
        self._count += 1
        self._add((_EXITED, perf_counter_ns(), exited.number, exited.name))

    def _meet(self, task: trio.lowlevel.Task) -> _Task:
        met = self._tasks[task] = _Task(number_of(task), task.name)
        return met

    def _running_since(self) -> int:
        return self._step_began

    # -- the end

    def _remove_from_trio(self) -> None:
        # Trio has removed it already if one of the methods above raised.
        with suppress(KeyError):
            trio.lowlevel.remove_instrument(self)

    def _finish(self) -> None:
        """Keep what is needed to tell of it, and let go of everything else."""
        events = list(self._events)
        dropped = self._count - len(events)
        events += [(_HANDLED, began, 0, *described, None) for began, *described in self._open.values()]
        if self._running is not None:
            events.append((_STEP, self._step_began, 0, self._running.number, *self._woken, None))
        names = {task.number: task.name for task in self._tasks.values()}
        self._recorded = Recorded(self._began, perf_counter_ns(), self._wall_clock, events, dropped, names)
        self._events.clear()
        self._open.clear()
        self._tasks.clear()
        self._running = None
