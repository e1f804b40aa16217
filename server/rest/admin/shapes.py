"""What the runtime's views look like in JSON. Pure; all times in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors import (
    ActorView,
    CrashView,
    DeadLetter,
    FrameView,
    GoneView,
    Hold,
    MessageView,
    ThreadView,
    WaitView,
)

Shape = dict[str, Any]


def actor_json(view: ActorView) -> Shape:
    """A living actor."""
    return {
        "address": view.address,
        "kind": view.kind,
        "state": view.state.value,
        "since": view.since,
        "handling": None if view.handling is None else message_json(view.handling),
        "queued": view.queued,
        "capacity": view.capacity,
        "peak": view.peak,
        "oldest": view.oldest,
        "dropped": view.dropped,
        "conflated": view.conflated,
        "rejected": view.rejected,
        "expired": view.expired,
        "handled": view.handled,
        "busy": view.busy,
        "counts": dict(view.counts),
        "restarts": view.restarts,
        "crashes": [crash_json(crash) for crash in view.crashes],
        "waits": [wait_json(wait) for wait in view.waits],
    }


def message_json(view: MessageView) -> Shape:
    """A message that is being handled, or was. Never what it says."""
    origin = view.origin
    return {
        "kind": view.kind,
        "id": view.id,
        "cause": view.cause,
        "origin": {"id": origin.id, "name": origin.name, "labels": dict(origin.labels)},
        "sender": view.sender,
        "age": view.age,
        "waited": view.waited,
        "seconds": view.seconds,
    }


def crash_json(view: CrashView) -> Shape:
    return {"ago": view.ago, "error": view.error, "kind": view.kind, "cause": view.cause}


def wait_json(view: WaitView) -> Shape:
    return {
        "waiter": view.waiter,
        "address": view.address,
        "what": view.what,
        "kind": view.kind,
        "seconds": view.seconds,
    }


def gone_json(view: GoneView) -> Shape:
    """An actor that was."""
    return {
        "address": view.address,
        "kind": view.kind,
        "ago": view.ago,
        "reason": view.reason,
        "handled": view.handled,
        "restarts": view.restarts,
        "lived": view.lived,
    }


def dead_letter_json(letter: DeadLetter) -> Shape:
    return {"address": letter.address, "kind": letter.message_type, "why": letter.why}


def hold_json(hold: Hold, now: float) -> Shape:
    """A time for which one task kept all others from running; *now* is on the clock of `hold.began`."""
    return {
        "ago": now - hold.began,
        "seconds": hold.seconds,
        "actor": hold.actor,
        "note": hold.note,
        "stack": stack_json(hold.stack),
    }


def stack_json(stack: Iterable[FrameView]) -> list[Shape]:
    """Outermost first."""
    return [
        {"file": frame.file, "line": frame.line, "function": frame.function, "code": frame.code}
        for frame in stack
    ]


def thread_json(view: ThreadView) -> Shape:
    return {"name": view.name, "stack": stack_json(view.stack)}
