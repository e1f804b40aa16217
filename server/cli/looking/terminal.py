"""How things look on a terminal: text of others made harmless, durations, colours, the console."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from server.cli.output import drop_output
from server.cli.view import harmless

_uuid = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8}([0-9a-f]{4})\b")

UNBOUNDED = 1000
"""Columns of what is no terminal: a file or a pipe shall get whole lines."""

STATES = {
    "starting": "cyan",
    "idle": "green",
    "handling": "bold blue",
    "waiting": "bold magenta",
    "restarting": "bold yellow",
    "stopping": "yellow",
    "gone": "dim",
}
WARN = "bold yellow"
ALARM = "bold red"
QUIET = "dim"


def clean(text: str, limit: int = 300) -> str:
    """*text* on one line of at most *limit* characters, with nothing in it that a terminal would obey."""
    line = harmless(text[: limit + 1].replace("\n", " ").replace("\t", " "))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def short(address: str) -> str:
    """*address* without the root's name and the middles of UUIDs; `triologue tree` finds the actor by it."""
    return brief(address.partition("/")[2] or address)


def brief(text: str) -> str:
    """*text* without the middles of the UUIDs in it."""
    return clean(_uuid.sub(r"\1…\2", text))


def pattern(name: str) -> str:
    """*name* without what only tells it from others of its kind: words with a digit in them, but for `v1`."""
    return re.sub(r"(?<![^\s/])(?!v\d+(?:/|\s|$))[^\s/]*\d[^\s/]*", "*", name)


def words(*parts: str | tuple[str, str] | Text | None) -> Text:
    """The *parts*, each a text or a text and its style, cleaned, a space between; `None` is left out."""
    line = Text()
    for part in parts:
        if part is None:
            continue
        if line:
            line.append(" ")
        if isinstance(part, Text):
            line.append_text(part)
        elif isinstance(part, str):
            line.append(clean(part))
        else:
            line.append(clean(part[0]), style=part[1])
    return line


def duration(seconds: float) -> str:
    """*seconds*, short enough for a column: `340 ms`, `3.2 s`, `45 s`, `12 min`, `5.0 h`, `3.1 d`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def fill_style(queued: int, capacity: int) -> str:
    """How a mailbox with so many messages in it looks: quiet, noticed, full."""
    if queued == 0:
        return QUIET
    if queued >= capacity > 0:
        return ALARM
    return WARN if queued * 2 >= capacity else ""


def make_console() -> Console:
    """Standard output: in colour and as wide as the terminal, or plain and with whole lines if it is none."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNBOUNDED
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def printing(work: Callable[[], int]) -> int:
    """The status that *work* returns; 0 if who reads what it prints has seen enough, as `head` has."""
    status = 0
    try:
        status = work()
        sys.stdout.flush()
    except* (BrokenPipeError, SystemExit):  # rich makes one of the other
        drop_output()
    return status
