"""The Chrome trace format, from what a recorder wrote down: JSON that ui.perfetto.dev and others open.

Two processes. *actors*: a track for each actor with a slice for every message that it handled, an arrow from
the handling that sent it, and a counter for each mailbox. What was sent while its sender handled nothing, or
by a task beside, has a small slice of its own, on a track beside; an arrow leads there from the message that
was the cause, if there was one. *tasks*: a track for each trio task with a slice for every step. Of a slice
that was under way when the recording began or ended, the part in between is shown, and its `args` say so.

The format is Google's "Trace Event Format". Everything is in the order of time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from .frames import view
from .recorder import Changed, Exited, Handled, Recorded, Sent, Spawned, Step
from .step_sampler import Seen
from .trace_survey import Survey

_ACTORS, _TASKS = 1, 2
# Track numbers have to differ, and from the processes' too. A viewer shows them, so a task's ends in its own.
_OUTSIDE = 10
_FIRST_ACTOR = 12
_FIRST_TASK = 100_000_000
_SENDING = 500
"""Nanoseconds that sending is shown to take where it gets a slice: an arrow needs one to begin in."""
_CAUSES = 1 << 52
"""Where the numbers of arrows of the second kind begin; those of the first are the messages'."""
_PART = 300

TraceEvent = dict[str, Any]


def _no_rest() -> None:
    pass


def to_chrome(recorded: Recorded) -> dict[str, Any]:
    """The trace as a JSON object. Of half a million events that is seconds of work, and a gigabyte."""
    survey = Survey(recorded, rest=_no_rest, forget=False)
    return {**_about(recorded), "traceEvents": list(_Trace(survey, recorded.dropped).events())}


def to_chrome_json(
    recorded: Recorded, *, rest: Callable[[], object] = _no_rest, forget: bool = False
) -> Iterator[bytes]:
    """The same as JSON text, in parts of some 40 kB.

    Args:
        rest: Called after every few milliseconds of work.
        forget: Take *recorded* to pieces on the way (see `Survey`).
    """
    yield json.dumps(_about(recorded)).encode()[:-1] + b', "traceEvents": [\n'
    events = _Trace(Survey(recorded, rest=rest, forget=forget), recorded.dropped).events()
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
    def __init__(self, survey: Survey, dropped: int) -> None:
        self.survey = survey
        self.dropped = dropped
        # Every second number is for what the actor does beside.
        self.tracks = {address: _FIRST_ACTOR + 2 * index for index, address in enumerate(survey.addresses)}
        self.beside: set[int] = set()

    def events(self) -> Iterator[TraceEvent]:
        yield from self._names()
        if self.dropped:
            text = f"{self.dropped} older events were dropped"
            yield {"ph": "i", "s": "g", "pid": _ACTORS, "tid": _OUTSIDE, "ts": 0, "name": text}
        write: tuple[Callable[[Any], Iterator[TraceEvent]], ...] = (
            self._sent,
            self._handled,
            self._changed,
            self._step,
            self._spawned,
            self._exited,
        )
        for kind, event in self.survey.in_order():
            yield from write[kind](event)

    def _names(self) -> Iterator[TraceEvent]:
        for pid, name in ((_ACTORS, "actors"), (_TASKS, "tasks")):
            yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
        yield _named(_ACTORS, _OUTSIDE, "outside")
        for address, track in self.tracks.items():
            yield _named(_ACTORS, track, address)
        for number in self.survey.task_names:
            yield _named(_TASKS, _FIRST_TASK + number, self._task(number))

    # -- actors

    def _sent(self, sent: Sent) -> Iterator[TraceEvent]:
        yield self._depth(sent.at, sent.address, sent.queued)
        handled = sent.message in self.survey.handled
        name = sent.kind if handled else f"{sent.kind}, not handled"
        what = {
            "kind": sent.kind,
            "message": sent.message,
            "to": sent.address,
            "cause": sent.cause,
            **_origin(sent),
        }
        if self.survey.is_within_cause(sent):
            at = self._at(_ACTORS, self.tracks[sent.sender], sent.at)
            if not handled:
                yield {"ph": "i", "s": "t", "name": name, **at, "args": what}
        else:
            track, names = self._track_beside(sent.sender)
            yield from names
            at = self._at(_ACTORS, track, sent.at)
            yield {"ph": "X", "name": name, **at, "dur": _SENDING / 1000, "args": what}
            if sent.message in self.survey.effects:
                yield _arrow("f", _CAUSES + sent.message, "cause", "cause", at)
        if handled:
            yield _arrow("s", sent.message, "message", sent.kind, at)

    def _handled(self, handled: Handled) -> Iterator[TraceEvent]:
        args: dict[str, Any] = {
            "message": handled.message,
            "cause": handled.cause,
            **_origin(handled),
            "sender": handled.sender,
            "waited_us": round(handled.waited * 1e6, 1),
        }
        if handled.error is not None:
            args["error"] = handled.error
        at = self._at(_ACTORS, self.tracks[handled.address], handled.began)
        yield self._slice(handled.kind, at, handled, args)
        for message in self.survey.caused.get(handled.message, ()):
            yield _arrow("s", _CAUSES + message, "cause", "cause", at)
        if handled.message in self.survey.sent:
            yield _arrow("f", handled.message, "message", handled.kind, at)
        if handled.queued is not None:
            yield self._depth(handled.began, handled.address, handled.queued)

    def _changed(self, changed: Changed) -> Iterator[TraceEvent]:
        at = self._at(_ACTORS, self.tracks[changed.address], changed.at)
        yield {"ph": "i", "s": "t", "name": changed.state, **at}

    def _depth(self, at: int, address: str, queued: int) -> TraceEvent:
        counter = self._at(_ACTORS, None, at)
        return {"ph": "C", "name": f"mailbox of {address}", **counter, "args": {"queued": queued}}

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
        args: dict[str, Any] = {}
        if step.waker:
            args["woken_by"] = self._task(step.waker)
        if step.woken:
            args["ready_us"] = max(0, (step.began or self.survey.began) - step.woken) / 1000
        name = "step"
        if step.seen is not None:
            name, args["stack"], args["seen"] = _long_step(step.seen)
        yield self._slice(name, self._at(_TASKS, _FIRST_TASK + step.task, step.began), step, args)

    def _spawned(self, spawned: Spawned) -> Iterator[TraceEvent]:
        at = self._at(_TASKS, _FIRST_TASK + spawned.task, spawned.at)
        by = self._task(spawned.spawner) if spawned.spawner else ""
        yield {"ph": "i", "s": "t", "name": "spawned", **at, "args": {"by": by}}

    def _exited(self, exited: Exited) -> Iterator[TraceEvent]:
        at = self._at(_TASKS, _FIRST_TASK + exited.task, exited.at)
        yield {"ph": "i", "s": "t", "name": "exited", **at}

    def _task(self, number: int) -> str:
        return f"{self.survey.task_names.get(number, '?')} ({number})"

    # -- both

    def _at(self, process: int, track: int | None, moment: int) -> TraceEvent:
        at: TraceEvent = {"pid": process, "ts": ((moment or self.survey.began) - self.survey.began) / 1000}
        if track is not None:
            at["tid"] = track
        return at

    def _slice(self, name: str, at: TraceEvent, event: Handled | Step, args: dict[str, Any]) -> TraceEvent:
        began, ended = event.began or self.survey.began, event.ended or self.survey.ended
        if not event.began:
            args["begun_before"] = True
        if not event.ended:
            args["unfinished"] = True
        return {"ph": "X", "name": name, **at, "dur": (ended - began) / 1000, "args": args}


def _arrow(end: str, number: int, category: str, name: str, at: TraceEvent) -> TraceEvent:
    """One end of an arrow, in the slice that is open there: its start ("s") or its finish ("f")."""
    return {"ph": end, "bp": "e", "id": number, "cat": category, "name": name, **at}


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
