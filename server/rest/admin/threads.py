"""What the process's threads do: the server's own, and those that block in its stead."""

from __future__ import annotations

import linecache
import sys
import threading
from types import FrameType

import trio
from attrs import frozen

from actors import FrameView

# Frames of a stack that are told; beyond lies a recursion.
DEEPEST = 100


@frozen
class ThreadView:
    """One thread and where it is just now, outermost frame first."""

    name: str
    stack: tuple[FrameView, ...]


async def threads(limiter: trio.CapacityLimiter) -> list[ThreadView]:
    """Every thread but the one that looks; the one that runs trio too."""
    # From a thread, because source files may have to be read.
    return await trio.to_thread.run_sync(_look, limiter=limiter)  # noqa: TID251 - a limiter of its own


def _look() -> list[ThreadView]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    me = threading.get_ident()
    # All frames first: while files are read for one, another thread would be somewhere else.
    found = [(ident, _places(frame)) for ident, frame in sys._current_frames().items() if ident != me]
    return [
        ThreadView(names.get(ident, f"thread {ident}"), tuple(map(_view, places))) for ident, places in found
    ]


def _places(frame: FrameType | None) -> list[tuple[str, int, str]]:
    places: list[tuple[str, int, str]] = []
    while frame is not None and len(places) < DEEPEST:
        code = frame.f_code
        # A frame has no line while it stands between two.
        places.append((code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname))
        frame = frame.f_back
    return places[::-1]


def _view(place: tuple[str, int, str]) -> FrameView:
    file, line, function = place
    return FrameView(file, line, function, linecache.getline(file, line).strip()[:200])
