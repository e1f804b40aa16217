"""The two forms of a log line: JSON for programs, and one for people to read in a terminal.

Neither can be forged: whatever a value holds, a record begins with its time at the beginning of a line, and
nothing else does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, LogLevelColumnFormatter

from .cleaning import Json

Form: TypeAlias = Callable[[dict[str, Json]], str]

# What stands before each line of a traceback.
INDENT = "    | "
_BLOCKS = ("stack", "exception")

_simple = re.compile(r"[^\s\"'=\\{}\[\]]+")


def as_json(fields: dict[str, Json]) -> str:
    """*fields* as one line of JSON, in ASCII: no terminal, pager or collector can be led astray."""
    return json.dumps(fields, ensure_ascii=True, allow_nan=False)


def for_people(*, colors: bool) -> Form:
    """A form for terminals: one line, and an indented block for what has many."""
    styles = ConsoleRenderer.get_default_column_styles(colors)
    levels = ConsoleRenderer.get_default_level_styles(colors)

    def plain(style: str, shown: Callable[[Any], str], **more: Any) -> KeyValueColumnFormatter:
        return KeyValueColumnFormatter(None, style, styles.reset, shown, **more)

    renderer = ConsoleRenderer(
        columns=[
            Column("timestamp", plain(styles.timestamp, str)),
            Column("level", LogLevelColumnFormatter(levels, styles.reset)),
            Column("event", plain(styles.bright, printable)),
            Column("logger", plain(styles.logger_name, printable, prefix="[", postfix="]")),
            Column("", KeyValueColumnFormatter(styles.kv_key, styles.kv_value, styles.reset, shown)),
        ],
        # Else structlog asks rich to format what we have formatted already, where that is installed.
        exception_formatter=lambda sio, exc_info: None,
        sort_keys=False,
    )

    def form(fields: dict[str, Json]) -> str:
        blocks = [indented(_lines(fields.pop(name))) for name in _BLOCKS if name in fields]
        named = {shown(name): value for name, value in fields.items()}
        return "\n".join([renderer(None, "", named), *blocks])

    return form


def _lines(block: Json) -> str:
    return "\n".join(map(str, block)) if isinstance(block, list) else str(block)


def plainly(event: str, fields: Mapping[str, Json]) -> str:
    """One line for a handler that is not ours, which adds time and level itself."""
    return " ".join([printable(event), *(f"{shown(name)}={shown(value)}" for name, value in fields.items())])


def shown(value: object) -> str:
    """*value* as it stands behind a `key=`: bare if nobody could take it for something else, else quoted."""
    if isinstance(value, str) and value.isprintable() and _simple.fullmatch(value):
        return value
    return printable(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """*text* with line ends, escape codes, invisible and direction-changing characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def indented(block: str) -> str:
    """The lines of *block*, each with a mark before it that no record begins with."""
    return "\n".join(INDENT + printable(line) for line in block.split("\n"))
