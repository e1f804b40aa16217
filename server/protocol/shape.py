"""JSON as far as anybody may make us read it: neither too deep nor too wide.

orjson already refuses what JSON does not allow: NaN, lone surrogates, infinite numbers.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from .errors import BadFrame

Text = str | bytes | bytearray

INVALID_JSON = "Invalid JSON format"
# Deeper than any honest message, shallow enough for every encoder and every recursion below.
MAX_DEPTH = 32
# Every value counts: the frame itself, items, what is in the fields. An honest message has some dozens;
# without a bound, 8 MB of the smallest components would hold up everybody else for seconds.
MAX_VALUES = 10_000
TOO_MANY_VALUES = f"A frame must not have more than {MAX_VALUES} values"
# A value has at most one opening bracket and one comma to its name; there may be more within text.
MOST_MARKS = 2 * MAX_VALUES
# A string, whole or cut off, or one of the marks between values. Possessive, so that it never looks back.
_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)


def parse(text: Text) -> Any:
    """The JSON value that *text* spells.

    Raises:
        BadFrame: It spells none, or a monster.
    """
    # Lone surrogates become bytes that are no UTF-8, and so no JSON.
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    brackets = marks = 0
    if len(data) > MAX_DEPTH:  # shorter ones can't be monsters
        brackets = data.count(b"[") + data.count(b"{")
        if len(data) >= MAX_VALUES:
            marks = brackets + data.count(b",")
            if marks > MOST_MARKS:
                _check_tokens(data)
    try:
        value = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        raise BadFrame(INVALID_JSON) from None
    if brackets > MAX_DEPTH or marks >= MAX_VALUES:
        _check_shape(value)
    return value


def _check_tokens(data: bytes | bytearray) -> None:
    """Refuse a monster at its first hundred kilobytes: only to parse 8 MB of values takes a quarter second.

    Raises:
        BadFrame: It has more values, or nests deeper, than `_check_shape` lets pass.
    """
    depth = marks = 0
    for number, token in enumerate(_token.finditer(data)):
        mark = data[token.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        marks += mark in b"[{,"
        if depth > MAX_DEPTH:
            raise BadFrame(INVALID_JSON)
        # With more strings than its marks can separate it is no JSON, and as long.
        if marks > MOST_MARKS or number > 4 * MOST_MARKS:
            raise BadFrame(TOO_MANY_VALUES)


def _check_shape(frame: Any) -> None:
    """Refuse what is too deep or too wide; for frames with brackets or commas enough to be so.

    Raises:
        BadFrame: It is.
    """
    values = 1
    level = [frame] if isinstance(frame, dict | list) else []
    for _ in range(MAX_DEPTH):
        values += sum(map(len, level))
        if values > MAX_VALUES:
            raise BadFrame(TOO_MANY_VALUES)
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise BadFrame(INVALID_JSON)
