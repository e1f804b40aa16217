"""The Chrome trace format, from what a recorder wrote down: JSON that ui.perfetto.dev and others open.

Two processes. *actors*: a track for each actor with a slice for every message that it handled, arrows from
the handling that sent it (or from a small slice of its own, if none did), and a counter for each mailbox.
*tasks*: a track for each trio task with a slice for every step. Of a slice that was under way when the
recording began or ended, the part in between is shown, and its `args` say so.

The format is Google's "Trace Event Format". Everything is in the order of time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from .frames import view
from .recorder import KINDS, Changed, Event, Exited, Handled, Recorded, Sent, Spawned, Step
from .step_sampler import Seen

_ACTORS, _TASKS = 1, 2
# Track numbers have to differ, and from the processes' too. A viewer shows them, so a task's ends in its own.
_OUTSIDE = 10
_FIRST_ACTOR = 12
_FIRST_TASK = 100_000_000
_SENDING = 500
"""Nanoseconds that sending is shown to take where it gets a slice: an arrow needs one to begin in."""
_PART = 300
_REST_AFTER = 2000
_BUCKETS = 1000

TraceEvent = dict[str, Any]


def _no_rest() -> None:
    pass


def to_chrome(recorded: Recorded) -> dict[str, Any]:
    """The trace as a JSON object. Of half a million events that is seconds of work, and a gigabyte."""
    return {**_about(recorded), "traceEvents": list(_Trace(recorded).events())}


def to_chrome_json(
    recorded: Recorded, *, rest: Callable[[], object] = _no_rest, forget: bool = False
) -> Iterator[bytes]:
    """The same as JSON text, in parts of some 40 kB.

    Args:
        rest: Called after every few milliseconds of work.
        forget: Take *recorded* to pieces on the way. To free half a million events in one go would let no
            thread run for a tenth of a second.
    """
    yield json.dumps(_about(recorded)).encode()[:-1] + b', "traceEvents": [\n'
    events = _Trace(recorded, rest, forget).events()
    part = [next(events)]
    for event in events:
        if len(part) == _PART:
            yield _dump(part) + b",\n"
            part.clear()
            rest()
        part.append(event)
    yield _dump(part) + b"\n]}\n"


def _dump(part: list[TraceEvent]) -> bytes:
    # Not all at once: Python's encoder lets no other thread run until it is done.
    return json.dumps(part, separators=(",", ":")).encode()[1:-1]


def _about(recorded: Recorded) -> dict[str, Any]:
    return {
        "displayTimeUnit": "ms",
        "otherData": {
            "began": datetime.fromtimestamp(recorded.wall_clock, UTC).isoformat(),
            "seconds": (recorded.ended - recorded.began) / 1e9,
            "events": len(recorded.events),
            "dropped": recorded.dropped,
        },
    }


class _Trace:
    def __init__(
        self, recorded: Recorded, rest: Callable[[], object] = _no_rest, forget: bool = False
    ) -> None:
        self.recorded = recorded
        self.rest = rest
        self.forget = forget
        self.began, self.ended = recorded.began, recorded.ended
        self.task_names = dict(recorded.tasks)
        self.tracks: dict[str, int] = {}
        self.beside: set[int] = set()
        self.sent: set[int] = set()
        self.handled: dict[int, Event] = {}
        self.buckets: list[list[Event]] = [[] for _ in range(_BUCKETS)]

    def events(self) -> Iterator[TraceEvent]:
        self._survey()
        yield from self._names()
        if self.recorded.dropped:
            text = f"{self.recorded.dropped} older events were dropped"
            yield {"ph": "i", "s": "g", "pid": _ACTORS, "tid": _OUTSIDE, "ts": 0, "name": text}
        write: tuple[Callable[[Any], Iterator[TraceEvent]], ...] = (
            self._sent,
            self._handled,
            self._changed,
            self._step,
            self._spawned,
            self._exited,
        )
        for bucket in self.buckets:
            # One sort of everything would let no other thread run for a tenth of a second.
            bucket.sort(key=self._begin)
            for kind, *fields in bucket:
                yield from write[kind](KINDS[kind]._make(fields))
            bucket.clear()
        while self.handled:
            self.handled.popitem()
            if len(self.handled) % _REST_AFTER == 0:
                self.rest()

    # -- what has to be known before the first event is written

    def _begin(self, event: Event) -> int:
        began: int = event[1]
        return began or self.began

    def _survey(self) -> None:
        addresses: set[str] = set()
        span = max(1, self.ended - self.began)
        for index, event in enumerate(self.recorded.events):
            match KINDS[event[0]]._make(event[1:]):
                case Handled(message=message, address=address):
                    self.handled[message] = event
                    addresses.add(address)
                case Sent(message=message, sender=sender, address=address):
                    self.sent.add(message)
                    addresses.update((address, sender))
                case Changed(address=address):
                    addresses.add(address)
                case Spawned(task=number, name=name) | Exited(task=number, name=name):
                    self.task_names[number] = name
                case Step(task=number):
                    self.task_names.setdefault(number, "?")  # it ended, and that was dropped
            bucket = (self._begin(event) - self.began) * _BUCKETS // span
            self.buckets[min(max(bucket, 0), _BUCKETS - 1)].append(event)
            if index % _REST_AFTER == 0:
                self.rest()
        if self.forget:
            self.recorded.events.clear()
        addresses.discard("")
        for index, address in enumerate(sorted(addresses)):
            self.tracks[address] = _FIRST_ACTOR + 2 * index  # and the next is for what it does beside

    def _names(self) -> Iterator[TraceEvent]:
        for pid, name in ((_ACTORS, "actors"), (_TASKS, "tasks")):
            yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
        yield _named(_ACTORS, _OUTSIDE, "outside")
        for address, track in self.tracks.items():
            yield _named(_ACTORS, track, address)
        for number, name in self.task_names.items():
            yield _named(_TASKS, _FIRST_TASK + number, f"{name} ({number})")

    # -- actors

    def _sent(self, sent: Sent) -> Iterator[TraceEvent]:
        yield self._depth(sent.at, sent.address, sent.queued)
        handled = self.handled.get(sent.message)
        begins = handled is not None and handled[1] != 0
        at = {"pid": _ACTORS, "tid": self._track_within(sent), "ts": self._microseconds(sent.at)}
        what = {"message": sent.message, "to": sent.address, "cause": sent.cause, **_origin(sent)}
        if at["tid"] is None:
            at["tid"], names = self._track_beside(sent.sender)
            yield from names
            yield {"ph": "X", "name": sent.kind, **at, "dur": _SENDING / 1000, "args": what}
        elif not begins:
            yield {"ph": "i", "s": "t", "name": f"{sent.kind}, not handled yet", **at, "args": what}
        if begins:
            yield {"ph": "s", "id": sent.message, "cat": "message", "name": sent.kind, **at}

    def _handled(self, handled: Handled) -> Iterator[TraceEvent]:
        began, ended = handled.began or self.began, handled.ended or self.ended
        args: dict[str, Any] = {
            "message": handled.message,
            "cause": handled.cause,
            **_origin(handled),
            "sender": handled.sender,
            "waited_us": round(handled.waited * 1e6, 1),
        }
        if handled.error is not None:
            args["error"] = handled.error
        at = {"pid": _ACTORS, "tid": self.tracks[handled.address], "ts": self._microseconds(began)}
        yield _slice(handled.kind, at, began, ended, args, handled.began, handled.ended)
        if handled.began and handled.message in self.sent:
            yield {"ph": "f", "bp": "e", "id": handled.message, "cat": "message", "name": handled.kind, **at}
        if handled.queued is not None:
            yield self._depth(began, handled.address, handled.queued)

    def _changed(self, changed: Changed) -> Iterator[TraceEvent]:
        at = {"pid": _ACTORS, "tid": self.tracks[changed.address], "ts": self._microseconds(changed.at)}
        yield {"ph": "i", "s": "t", "name": changed.state, **at}

    def _depth(self, at: int, address: str, queued: int) -> TraceEvent:
        when = {"pid": _ACTORS, "ts": self._microseconds(at)}
        return {"ph": "C", "name": f"mailbox of {address}", **when, "args": {"queued": queued}}

    def _track_within(self, sent: Sent) -> int | None:
        """The track of the handling that sent it, if it was sent in the middle of one."""
        cause = self.handled.get(sent.cause)
        if cause is None:
            return None
        _, began, ended, address, *_ = cause
        if address != sent.sender or not began < sent.at < (ended or self.ended):
            return None
        return self.tracks[address]

    def _track_beside(self, sender: str) -> tuple[int, list[TraceEvent]]:
        """The track for what an actor sends while it handles nothing, or by a task beside; named when new."""
        if not sender:
            return _OUTSIDE, []
        track = self.tracks[sender] + 1
        if track in self.beside:
            return track, []
        self.beside.add(track)
        return track, [_named(_ACTORS, track, f"{sender}: beside its messages")]

    # -- tasks

    def _step(self, step: Step) -> Iterator[TraceEvent]:
        began, ended = step.began or self.began, step.ended or self.ended
        args: dict[str, Any] = {}
        if step.waker:
            args["woken_by"] = self._task(step.waker)
        if step.woken:
            args["ready_us"] = max(0, began - step.woken) / 1000
        name = "step"
        if step.seen is not None:
            name, args["stack"], args["seen"] = _long_step(step.seen)
        at = {"pid": _TASKS, "tid": _FIRST_TASK + step.task, "ts": self._microseconds(began)}
        yield _slice(name, at, began, ended, args, step.began, step.ended)

    def _spawned(self, spawned: Spawned) -> Iterator[TraceEvent]:
        at = {"pid": _TASKS, "tid": _FIRST_TASK + spawned.task, "ts": self._microseconds(spawned.at)}
        yield {"ph": "i", "s": "t", "name": "spawned", **at, "args": {"by": self._task(spawned.spawner)}}

    def _exited(self, exited: Exited) -> Iterator[TraceEvent]:
        at = {"pid": _TASKS, "tid": _FIRST_TASK + exited.task, "ts": self._microseconds(exited.at)}
        yield {"ph": "i", "s": "t", "name": "exited", **at}

    def _task(self, number: int) -> str:
        return f"{self.task_names.get(number, '?')} ({number})" if number else ""

    def _microseconds(self, at: int) -> float:
        return (at - self.began) / 1000


def _slice(
    name: str, at: TraceEvent, began: int, ended: int, args: dict[str, Any], begin_seen: int, end_seen: int
) -> TraceEvent:
    if not begin_seen:
        args["begun_before"] = True
    if not end_seen:
        args["unfinished"] = True
    return {"ph": "X", "name": name, **at, "dur": (ended - began) / 1000, "args": args}


def _long_step(seen: Seen) -> tuple[str, list[str], str]:
    """Its name, its stack with the outermost frame first, and how sure that is."""
    frames = [view(place) for place in seen.places]
    if not frames:
        return "long step", [], "nothing"
    lines = [f"{frame.file}:{frame.line} {frame.function}: {frame.code}" for frame in frames]
    held = frames[-1]
    name = f"{os.path.basename(held.file)}:{held.line} {held.function}"
    return name, lines, f"{seen.times} of {seen.looks} times"


def _origin(event: Sent | Handled) -> dict[str, Any]:
    origin = {"origin": event.origin, "origin_name": event.origin_name}
    return {**origin, "labels": dict(event.labels)} if event.labels else origin


def _named(pid: int, tid: int, name: str) -> TraceEvent:
    return {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}}
