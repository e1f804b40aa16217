"""Stacks of tasks and threads as lines of text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from rich.text import Text

import server

from .answers import Frame
from .terminal import QUIET, clean, words

_HERE = os.path.dirname(os.path.dirname(server.__file__)) + os.sep
_library = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")


def place(frame: Frame) -> str:
    """Where *frame* is: `server/registry/actor.py:12`."""
    return f"{short(frame.file)}:{frame.line}"


def short(file: str) -> str:
    """*file* without where Triologue or its library lies; of another one the last three parts."""
    inside = _library.sub("", file).removeprefix(_HERE)
    return inside if inside != file else "/".join(file.split("/")[-3:])


def is_library(frame: Frame) -> bool:
    """Whether *frame* is of a library, the runtime among them, and not of Triologue or a pipeline."""
    inside = short(frame.file)
    return inside.startswith("actors/") or (
        _library.match(frame.file) is not None and not inside.startswith("server/")
    )


def frame_lines(stack: Iterable[Frame]) -> list[Text]:
    """A line for each frame: where, in which function, and its code. One without a file stands for a gap."""
    return [_line(frame) for frame in stack]


def _line(frame: Frame) -> Text:
    where = place(frame) if frame.file else ""
    # Of trio the function says enough.
    code = "" if where.startswith("trio/") else clean(frame.code.strip(), 120)
    return words((where, "cyan") if where else None, frame.function, (code, QUIET) if code else None)
