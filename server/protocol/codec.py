"""Frames to JSON and back. Strict inwards: a client is told what is wrong with its frame, by path.

orjson already refuses what JSON does not allow (NaN, lone surrogates, infinite numbers); types and shapes are
checked by cattrs, with hooks that never coerce.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from operator import eq
from typing import Any, get_args, get_origin

import attrs
import orjson
from cattrs import Converter, IterableValidationError, IterableValidationNote, transform_error
from cattrs.gen import make_dict_unstructure_fn

from server.chat import Component, Forward, ForwardNode, Message, Unknown

from .errors import BadFrame
from .frames import (
    AuthenticateFrame,
    ClientFrame,
    DisconnectFrame,
    IgnoredFrame,
    MessageData,
    MessageFrame,
    PingFrame,
    SenderData,
    ServerFrame,
)

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
_token = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)

_components: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Component)}
_expected = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def timestamp(moment: datetime) -> str:
    """*moment*, which is in UTC, as `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def message_data(message: Message) -> MessageData:
    """*message* as the wire shows it."""
    return MessageData(
        id=message.id,
        role=message.role,
        content=message.content,
        message_chain=message.chain,
        timestamp=timestamp(message.timestamp),
        is_final=message.is_final,
        connection_id=message.connection_id,
        sender=SenderData(message.sender.id, message.sender.name),
        seq=message.seq,
        finish_reason=message.finish_reason,
        usage=message.usage,
    )


def encode(value: ServerFrame | MessageData) -> str:
    """One text frame, or one MESSAGE, as JSON."""
    return orjson.dumps(_outwards.unstructure(value)).decode()


def decode(text: str) -> ClientFrame:
    """What a client's text frame says.

    Raises:
        BadFrame: It can't be used; the error says why.
    """
    brackets = text.count("[") + text.count("{")
    marks = brackets + text.count(",")
    if marks > MOST_MARKS:
        _check_tokens(text)
    try:
        frame = orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        raise BadFrame(INVALID_JSON) from None
    if brackets > MAX_DEPTH or marks >= MAX_VALUES:
        _check_shape(frame)
    if not isinstance(frame, dict):
        raise BadFrame("A frame must be a JSON object")
    match frame.get("type", "message"):
        case "message":
            return _message(frame)
        case "ping":
            return PingFrame()
        case "disconnect":
            return DisconnectFrame()
        case "authenticate":
            return AuthenticateFrame()
        case str():
            return IgnoredFrame()
        case _:
            raise BadFrame("type must be a string")


def _message(frame: dict[str, Any]) -> MessageFrame:
    if not frame.get("message"):
        raise BadFrame("message is required")
    if not isinstance(frame["message"], list):
        raise BadFrame("message must be a list of components")
    try:
        return _inwards.structure(frame, MessageFrame)
    except Exception as error:  # cattrs raises groups of whatever its hooks raised
        raise BadFrame(_first_complaint(error)) from None


def _first_complaint(error: Exception) -> str:
    complaints = transform_error(error, path="$", format_exception=_complaint)
    text = complaints[0] if complaints else "$ can't be read"
    complaint, _, path = text.rpartition(" @ ")
    return f"{(path or text).removeprefix('$').removeprefix('.')} {complaint}".strip()


def _complaint(error: BaseException, expected: type | None) -> str:
    match error:
        case KeyError():
            return "is missing"
        case TypeError():
            return str(error)
        case _:
            return "can't be read"


def _check_tokens(text: str) -> None:
    """Refuse a monster at its first hundred kilobytes: only to parse 8 MB of values takes a quarter second.

    Raises:
        BadFrame: It has more values, or nests deeper, than `_check_shape` lets pass.
    """
    depth = marks = 0
    for number, token in enumerate(_token.finditer(text)):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        marks += mark in "[{,"
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


def _strictly(kind: type[Any]) -> Any:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"must be {_expected[kind]}")
        return value

    return hook


def _one_of(*kinds: type[Any]) -> Any:
    expectation = " or ".join(_expected[kind] for kind in kinds if not (kind is int and float in kinds))

    def hook(value: Any, _: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"must be {expectation}")
        return value

    return hook


def _component(value: Any, _: Any) -> Component:
    if not isinstance(value, dict):
        raise TypeError("must be an object")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise TypeError("needs a type, which is a string")
    if kind not in _components:
        return Unknown(f"Unknown component type: {kind}")
    component: Component = _inwards.structure(value, _components[kind])
    return component


def _display(value: Any, _: Any) -> Any:
    if not isinstance(value, dict | str):
        raise TypeError("must be an object or a string")
    return value


def _is_tuple(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is tuple


def _list_of(kind: Any) -> Any:
    """Structures lists, up to the first item that is wrong: a frame can have millions, and one is told."""
    (item, _) = get_args(kind)
    structure = _inwards.get_structure_hook(item)

    def hook(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise TypeError("must be a list")
        items = []
        for index, one in enumerate(value):
            try:
                items.append(structure(one, item))
            except Exception as error:
                error.add_note(IterableValidationNote("in a list", index, item))
                raise IterableValidationError("a bad item", [error], kind) from None
        return tuple(items)

    return hook


def _node(value: Any, _: Any) -> ForwardNode:
    if not isinstance(value, dict):
        raise TypeError("must be an object")
    node: ForwardNode = _structure_node(value, ForwardNode)
    return node


def _optional(hook: Any) -> Any:
    return lambda value, kind: None if value is None else hook(value, kind)


def _strict_converter() -> Converter:
    converter = Converter(detailed_validation=True)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _strictly(kind))
    unions = {
        int | str | None: _optional(_one_of(int, str)),
        int | float | None: _optional(_one_of(int, float)),
        int | float | str | None: _optional(_one_of(int, float, str)),
        attrs.fields(attrs.resolve_types(Forward)).display.type: _optional(_display),
        Component: _component,
    }
    for union, hook in unions.items():
        converter.register_structure_hook_func(partial(eq, union), hook)
    converter.register_structure_hook_factory(_is_tuple, _list_of)
    return converter


def _compact_converter() -> Converter:
    """Leaves out fields that are `None`, and puts the type of a frame or component first."""
    converter = Converter()

    def compact(kind: type[Any]) -> Any:
        whole = make_dict_unstructure_fn(kind, converter)
        optional = [a.name for a in attrs.fields(kind) if a.default is None]
        tag = kind.__name__ if kind in _components.values() else getattr(kind, "type", None)

        def unstructure(value: Any) -> dict[str, Any]:
            result = whole(value) if tag is None else {"type": tag, **whole(value)}
            for name in optional:
                if result[name] is None:
                    del result[name]
            return result

        return unstructure

    converter.register_unstructure_hook_factory(attrs.has, compact)
    converter.register_unstructure_hook_func(lambda kind: kind == Component, converter.unstructure)
    return converter


_inwards = _strict_converter()
_structure_node = _inwards.get_structure_hook(ForwardNode)
_inwards.register_structure_hook(ForwardNode, _node)
_outwards = _compact_converter()
