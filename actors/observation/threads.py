"""What the threads of the process do: the one that runs trio, and those that block in its stead."""

from __future__ import annotations

import sys
import threading
from types import FrameType

import trio
from attrs import frozen

from .frames import FrameView, Place, place_of, view

# Frames of a stack that are told; beyond lies a recursion.
DEEPEST = 100


@frozen
class ThreadView:
    """One thread and where it is just now, outermost frame first."""

    name: str
    stack: tuple[FrameView, ...]


async def survey_threads(limiter: trio.CapacityLimiter) -> list[ThreadView]:
    """Every thread but the one that looks; the one that runs trio too."""
    # From a thread, because source files may have to be read.
    return await trio.to_thread.run_sync(_look, limiter=limiter)  # noqa: TID251 - a limiter of its own


def _look() -> list[ThreadView]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    me = threading.get_ident()
    # All frames first: while files are read for one, another thread would be somewhere else.
    found = [(ident, _places(frame)) for ident, frame in sys._current_frames().items() if ident != me]
    return [
        ThreadView(names.get(ident, f"thread {ident}"), tuple(map(view, places))) for ident, places in found
    ]


def _places(frame: FrameType | None) -> list[Place]:
    places: list[Place] = []
    while frame is not None and len(places) < DEEPEST:
        places.append(place_of(frame, frame.f_lineno))
        frame = frame.f_back
    return places[::-1]
