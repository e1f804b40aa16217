"""What may be logged of anything: bounded, without secrets, and fit for JSON.

Values in log lines come from clients, upstreams and other people's errors. What they hold must not fill the
disk, name a key, or break the line: here they become plain JSON values; `forms` writes those.
"""

from __future__ import annotations

import math
import re
import traceback
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from attrs import define

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"

HIDDEN = "(not shown)"

# Characters. What is longer ends in "…".
EVENT = 2_000
TEXT = 1_000
NAME = 64
EXCEPTION = 16_000
# Of one line's values together.
_CHARACTERS = 8_000
_VALUES = 100
_DEPTH = 4
_FRAMES = 60
# Read beyond a limit, so that a secret is seen whole before it is cut.
_MARGIN = 128

_SECRET_NAME = re.compile(
    r"authorization|authenticat|(api|access|private)[-_ ]?key|secret|token|passw(or)?d|passphrase|credential"
    r"|cookie|bearer",
    re.IGNORECASE,
)
_SECRET_TEXT = (
    r"(?i:\b(?:bearer|basic)\s+)(?=[a-z._~-]*[0-9A-Z=+/])[A-Za-z0-9._~+/=-]{8,}|(?<=//)[^/\s@]+(?=@)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Cleaner:
    """Makes log values of anything.

    Args:
        secrets: Texts that are hidden wherever they stand. Those of less than four characters are not: they
            would blot out half of every line, and protect nothing.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long = {secret for secret in secrets if len(secret) >= 4}
        # Errors quote what they complain of.
        known = sorted(long | {repr(secret)[1:-1] for secret in long}, key=len, reverse=True)
        self._secret = re.compile("|".join([*map(re.escape, known), _SECRET_TEXT]))
        self._margin = max([_MARGIN, *map(len, known)])

    def text(self, text: str, limit: int = TEXT) -> str:
        """*text*, at most *limit* characters and "…" of it, without secrets and lone surrogates."""
        if len(text) <= limit:
            return _whole(self._hide(text))
        # What was hidden moves the rest forward. The margin itself is never shown: a secret may be cut there.
        window = self._hide(text[: limit + self._margin])
        return _whole(window[: max(0, min(limit, len(window) - self._margin))]) + "…"

    def fields(self, raw: Mapping[str, Any]) -> dict[str, Json]:
        """*raw* as a JSON object; what its keys call a secret is hidden. Never raises."""
        return self._table(raw, _Room(_CHARACTERS, _VALUES), 0)

    def exception(self, error: ExcInfo) -> str:
        """The traceback of *error*; of a long one the beginning and, more of it, the end."""
        try:
            told = traceback.TracebackException(*error, limit=-_FRAMES, compact=True)
            text = "".join(told.format()).rstrip("\n")
        except Exception as fault:  # a boundary: other people's exceptions describe themselves
            text = f"{error[0].__name__}: its traceback failed with {type(fault).__name__}"
        return self.block(text)

    def block(self, text: str) -> str:
        """*text* of many lines, within the limit for exceptions."""
        half = 4 * EXCEPTION
        if len(text) <= 2 * half:
            text = _whole(self._hide(text))
        else:
            head, tail = self._hide(text[:half]), self._hide(text[-half:])
            # Where it was cut a secret may have been, too.
            text = _whole(f"{head[: -self._margin]}\n…\n{tail[self._margin :]}")
        if len(text) > EXCEPTION:
            text = f"{text[: EXCEPTION // 4]}…\n…\n…{text[-EXCEPTION * 3 // 4 :]}"
        return text

    def _hide(self, text: str) -> str:
        return self._secret.sub(HIDDEN, text)

    def _table(self, raw: Mapping[Any, Any], room: _Room, depth: int) -> dict[str, Json]:
        table: dict[str, Json] = {}
        for key, value in raw.items():
            if room.values <= 0:
                table["…"] = "more"
                break
            name = self.text(key if isinstance(key, str) else _said(key), NAME)
            table[name] = HIDDEN if _is_secret(name, value) else self._value(value, room, depth)
        return table

    def _list(self, raw: Iterable[Any], room: _Room, depth: int) -> list[Json]:
        made: list[Json] = []
        for value in raw:
            if room.values <= 0:
                made.append("…")
                break
            match value:
                # As headers are kept.
                case (str() | bytes() as name, secret) if _is_secret(_said(name), secret):
                    made.append([self._value(name, room, depth), HIDDEN])
                case _:
                    made.append(self._value(value, room, depth))
        return made

    def _value(self, value: Any, room: _Room, depth: int) -> Json:
        room.values -= 1
        try:
            match value:
                case None | bool():
                    return value
                case str():
                    return self._bounded(value, room)
                case int() if abs(value) < 2**63:
                    return int(value)
                case float() if math.isfinite(value):
                    return float(value)
                case Mapping() if depth < _DEPTH:
                    return self._table(value, room, depth + 1)
                case list() | tuple() | set() | frozenset() | deque() if depth < _DEPTH:
                    return self._list(value, room, depth + 1)
        except Exception as fault:  # a boundary: a value may be of any class, and no call that logs may fail
            return f"({type(value).__name__}: {type(fault).__name__})"
        return self._bounded(_said(value), room)

    def _bounded(self, text: str, room: _Room) -> str:
        text = self.text(text, min(TEXT, max(0, room.characters)))
        room.characters -= len(text)
        return text


@define
class _Room:
    """What is left for the values of one line."""

    characters: int
    values: int


def _is_secret(name: str, value: Any) -> bool:
    found = _SECRET_NAME.search(name)
    # A number of tokens is what a model's answer cost.
    return found is not None and not (found[0].lower() == "token" and isinstance(value, int | float))


def _said(value: Any) -> str:
    """What *value* says of itself, in whatever length."""
    try:
        match value:
            case bytes() | bytearray():
                return value[: 2 * TEXT].decode(errors="backslashreplace")
            case int():
                # In decimal, Python refuses beyond 4,300 digits.
                return hex(value)
            case BaseException():
                return f"{type(value).__name__}: {value}"
            case list() | tuple() | set() | frozenset() | deque() | Mapping():
                return f"({type(value).__name__} of {len(value)})"
            case _:
                return str(value)
    except Exception as fault:  # a boundary, as in `_value`
        return f"({type(value).__name__}: {type(fault).__name__})"


def _whole(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
