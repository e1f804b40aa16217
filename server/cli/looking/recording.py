"""A trace that a server recorded, read back: the messages that were handled, and the steps that took long.

The trace is Chrome's JSON as `actors` writes it. What is not understood of it is left out: it may be of
another version, or have been through other programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import field, frozen

_BESIDE = ": beside its messages"
_OUTSIDE = "outside"


class NoTrace(Exception):
    """Something else than a trace."""


@frozen
class Handling:
    """One message: when its handling began, how long it had waited, and how long that took.

    Seconds; `at` since the recording began. Of a message that was not handled yet, `at` is when it was sent,
    and the others are `None`.
    """

    at: float
    waited: float | None
    took: float | None
    kind: str
    message: int
    cause: int
    sender: str
    actor: str
    origin: int
    origin_name: str
    labels: Mapping[str, Any] = field(factory=dict)
    error: str | None = None

    @property
    def end(self) -> float:
        return self.at + (self.took or 0.0)


@frozen
class LongStep:
    """A time in which a task let no other run, where it was most of the time, and how sure that is."""

    at: float
    took: float
    task: str
    where: str
    seen: str


@frozen
class Recording:
    """What is looked at of a trace. `handled` has every message, in the order of `at`."""

    seconds: float
    events: int
    dropped: int
    handled: tuple[Handling, ...]
    long_steps: tuple[LongStep, ...]

    def follow(self, origin: int) -> list[Handling]:
        """All messages that came of *origin*, in order of time."""
        return [one for one in self.handled if one.origin == origin]


def read(content: bytes) -> Recording:
    """The trace in *content*.

    Raises:
        NoTrace: There is none.
    """
    try:
        trace = orjson.loads(content)
    except ValueError:
        raise NoTrace from None
    match trace:
        case {"traceEvents": list(events)}:
            told = trace.get("otherData")
        case _:
            raise NoTrace
    events = [event for event in events if isinstance(event, dict)]
    tracks = dict(_tracks(events))
    handled = list(_handled(events, tracks))
    known = {one.message for one in handled}
    handled += (one for one in _sent(events, tracks) if one.message not in known)
    numbers = told if isinstance(told, dict) else {}
    return Recording(
        seconds=_number(numbers.get("seconds")),
        events=int(_number(numbers.get("events"))),
        dropped=int(_number(numbers.get("dropped"))),
        handled=tuple(sorted(handled, key=lambda one: one.at)),
        long_steps=tuple(_long_steps(events, tracks)),
    )


Track = tuple[Any, Any]


def _tracks(events: list[Any]) -> Iterator[tuple[Track, str]]:
    """The names of the tracks: actors' addresses and tasks' names."""
    for event in events:
        match event:
            case {"ph": "M", "name": "thread_name", "tid": tid, "args": {"name": str(name)}}:
                yield (str(event.get("pid")), str(tid)), name


def _track(event: Mapping[str, Any], tracks: Mapping[Track, str]) -> str:
    return tracks.get((str(event.get("pid")), str(event.get("tid"))), "?")


def _handled(events: list[Any], tracks: Mapping[Track, str]) -> Iterator[Handling]:
    for event in events:
        match event:
            case {"ph": "X", "name": str(), "args": {"message": int(), "waited_us": waited}}:
                error = event["args"].get("error")
                yield _handling(
                    event,
                    waited=_number(waited) / 1e6,
                    took=_number(event.get("dur")) / 1e6,
                    sender=str(event["args"].get("sender", "")),
                    actor=_track(event, tracks),
                    error=None if error is None else str(error),
                )


def _sent(events: list[Any], tracks: Mapping[Track, str]) -> Iterator[Handling]:
    """Messages of which the trace tells that they were sent: some of them had not been handled at its end."""
    for event in events:
        match event:
            case {"ph": "X" | "i", "name": str(), "args": {"message": int(), "to": str(address)}}:
                sender = _track(event, tracks).removesuffix(_BESIDE)
                sender = "" if sender == _OUTSIDE else sender
                yield _handling(event, waited=None, took=None, sender=sender, actor=address)


def _handling(event: Mapping[str, Any], **more: Any) -> Handling:
    args = event["args"]
    labels = args.get("labels")
    return Handling(
        at=_number(event.get("ts")) / 1e6,
        kind=str(args.get("kind", event["name"])),
        message=args["message"],
        cause=int(_number(args.get("cause"))),
        origin=int(_number(args.get("origin"))),
        origin_name=str(args.get("origin_name", "")),
        labels=labels if isinstance(labels, dict) else {},
        **more,
    )


def _long_steps(events: list[Any], tracks: Mapping[Track, str]) -> Iterator[LongStep]:
    for event in events:
        match event:
            case {"ph": "X", "name": str(where), "args": {"stack": list()}}:
                yield LongStep(
                    at=_number(event.get("ts")) / 1e6,
                    took=_number(event.get("dur")) / 1e6,
                    task=_track(event, tracks),
                    where=where,
                    seen=str(event["args"].get("seen", "")),
                )


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0
