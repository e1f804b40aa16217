"""The lines of an export: which there are, what is in them, and whether a line is one.

Each is an object with one key, that says of what kind it is. Rows become records as they are, but for times
(ISO 8601, UTC), the kinds of events (words) and bodies (JSON in clear).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from .moments import moment, ticks
from .schema import EDITED, READ, RECALLED, RESET

FORMAT = 1
"""The number of this format, which the first line tells."""

Record = dict[str, Any]

_EVENTS = {EDITED: "edited", RECALLED: "recalled", READ: "read", RESET: "reset"}


class BadRecord(Exception):
    """A line is not what it should be. Its text is part of one line for the operator, without content."""


class Moment:
    """A time in a record."""


class Json:
    """A body or a chain in a record."""


# What each kind of line holds; more than one type where it may be null.
_FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "export": {"format": (int,), "at": (Moment,)},
    "conversation": {
        **dict.fromkeys(("pipeline", "session_type", "session_id"), (str,)),
        **dict.fromkeys(("last_id", "last_seq", "floor", "gone"), (int,)),
    },
    "message": {
        "id": (int,),
        **{name: (int, type(None)) for name in ("seq", "question", "alternative_of")},
        **dict.fromkeys(("superseded", "recalled"), (bool,)),
        "sender": (str,),
        "at": (Moment,),
        "edited_at": (Moment, type(None)),
        "body": (Json, type(None)),
    },
    "event": {
        "seq": (int,),
        "kind": (str,),
        "message": (int, type(None)),
        "user": (str, type(None)),
        "at": (Moment,),
    },
    "receipt": {"user": (str,), "up_to": (int,)},
    "question": {
        "message": (int,),
        **dict.fromkeys(("stream", "again"), (bool,)),
        "answer": (int, type(None)),
        "chain": (Json, type(None)),
    },
    "end": dict.fromkeys(("conversations", "messages"), (int,)),
}
_NAMES: Mapping[type, str] = {
    int: "a whole number from 0 on",
    str: "text",
    bool: "true or false",
    Moment: "a time in ISO 8601 with its zone",
    Json: "a table or list",
    type(None): "null",
}


def spell(kind: str, /, **record: Any) -> bytes:
    """The line for *record*, with its end: integers for times, `orjson.Fragment` for JSON."""
    shape = {}
    for name, kinds in _FIELDS[kind].items():
        value = record[name]
        if Moment in kinds and value is not None:
            value = moment(value).isoformat(timespec="microseconds").replace("+00:00", "Z")
        elif (kind, name) == ("event", "kind"):
            value = _EVENTS[value]
        shape[name] = value
    return orjson.dumps({kind: shape}, option=orjson.OPT_APPEND_NEWLINE)


def parse(line: bytes) -> tuple[str, Record]:
    """The kind of a line and its record, as `spell` takes it but for JSON, which is parsed.

    Raises:
        BadRecord: It is no line that `spell` could have made.
    """
    try:
        raw = orjson.loads(line)
    except ValueError:
        raise BadRecord("expected JSON") from None
    if not isinstance(raw, dict) or len(raw) != 1:
        raise BadRecord("expected an object with one key")
    ((kind, shape),) = raw.items()
    if kind not in _FIELDS:
        raise BadRecord(f"expected {', '.join(_FIELDS)}")
    fields = _FIELDS[kind]
    if not isinstance(shape, dict) or shape.keys() != fields.keys():
        raise BadRecord(f"{kind}: expected the keys {', '.join(fields)}")
    record = {name: _value(f"{kind}.{name}", shape[name], kinds) for name, kinds in fields.items()}
    if kind == "event":
        record["kind"] = _event(record["kind"])
    return kind, record


def _value(name: str, raw: Any, kinds: tuple[type, ...]) -> Any:
    for kind in kinds:
        if kind is Moment and isinstance(raw, str):
            when = _moment(raw)
            if when is not None:
                return when
        if kind is Json and isinstance(raw, dict | list):
            return raw
        if kind is int and type(raw) is int and 0 <= raw < 2**63:
            return raw
        if kind in (str, bool, type(None)) and type(raw) is kind:
            return raw
    raise BadRecord(f"{name}: expected {' or '.join(_NAMES[kind] for kind in kinds)}")


def _moment(text: str) -> int | None:
    try:
        said = datetime.fromisoformat(text)
        return None if said.tzinfo is None else ticks(said.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _event(word: str) -> int:
    for kind, name in _EVENTS.items():
        if name == word:
            return kind
    raise BadRecord(f"event.kind: expected {', '.join(_EVENTS.values())}")
