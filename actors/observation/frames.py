"""Where code is: frames as plain data, of a task that waits or of a thread that runs.

Looking is done in two steps, because the first may happen at a bad moment: taking the `Place`s of a stack
touches no file and keeps no frame; `view` finds the source line of a place, once, and reads files for it.
"""

from __future__ import annotations

import linecache
import os
import sys
from functools import lru_cache
from inspect import CO_OPTIMIZED
from itertools import islice
from types import FrameType
from typing import Any

import trio
from attrs import frozen

Place = tuple[str, int, str]
"""File, line, function."""

_DEEP = 50
"""How many frames of a stack are told; of a deeper one the outermost few and the innermost."""
_OUTERMOST = 10
_DEEPEST = 1000
_TRIO = os.path.dirname(trio.__file__) + os.sep


@frozen
class FrameView:
    """One frame of a stack. `code` is its source line, empty if there is no source."""

    file: str
    line: int
    function: str
    code: str


@lru_cache(maxsize=4096)
def view(place: Place) -> FrameView:
    """The frame at *place*, with its source line. Reads the file when it is new: up to some milliseconds."""
    file, line, function = place
    return FrameView(file, line, function, linecache.getline(file, line).strip()[:200])


def waiting_places(task: trio.lowlevel.Task) -> tuple[Place, ...]:
    """Where *task* waits, outermost first: our code, and the trio primitive that it called.

    What that primitive does inside is left out.
    """
    places = [place_of(frame, line) for frame, line in islice(task.iter_await_frames(), _DEEPEST)]
    ours = next((at for at in range(len(places) - 1, -1, -1) if not _is_trio(places[at])), None)
    return _bounded(places if ours is None else places[: ours + 2])


def running_places(frame: FrameType | None) -> tuple[Place, ...]:
    """Where a thread is that is in *frame* just now, outermost first; if it runs trio, its task only."""
    places: list[Place] = []
    while frame is not None and len(places) < _DEEPEST and not (places and runs_trio(frame)):
        places.append(place_of(frame, frame.f_lineno))
        frame = frame.f_back
    places.reverse()
    return _bounded(places)


def frame_of(thread: int) -> FrameType | None:
    """The frame that the thread of that ident is in just now. Don't keep it: all its locals live in it."""
    return sys._current_frames().get(thread)


def local(frame: FrameType, name: str) -> Any:
    """The value of a local variable of a running function; `None` if there is none."""
    if not frame.f_code.co_flags & CO_OPTIMIZED:
        return None
    variables = frame.f_locals
    value = variables.get(name)
    if sys.version_info < (3, 13):
        # A snapshot, which Python leaves in the frame: what the function lets go of would live on in it.
        variables.clear()
    return value


def runs_trio(frame: FrameType) -> bool:
    """Whether *frame* is trio's loop itself: what it called is a task, what called it is of no interest."""
    code = frame.f_code
    return code.co_name == "unrolled_run" and code.co_filename.startswith(_TRIO)


def place_of(frame: FrameType, line: int | None) -> Place:
    """Where *frame* is, which stands at *line* as far as is known."""
    code = frame.f_code
    # A frame has no line while it stands between two.
    return code.co_filename, line or code.co_firstlineno, code.co_qualname


def _is_trio(place: Place) -> bool:
    return place[0].startswith(_TRIO)


def _bounded(places: list[Place]) -> tuple[Place, ...]:
    left_out = len(places) - _DEEP
    if left_out <= 0:
        return tuple(places)
    gap: Place = ("", 0, f"… {left_out} frames left out")
    return (*places[:_OUTERMOST], gap, *places[_OUTERMOST - _DEEP :])
