"""From JSON values to classes, strictly: nothing is coerced, and what is wrong is named by its path.

Types and shapes are checked by cattrs, with hooks of our own: by a converter that only finds out whether
something is wrong, and then by one that finds out what. Honest clients pay for the first alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from operator import eq, is_
from typing import Any, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter, IterableValidationError, IterableValidationNote, transform_error

from server.chat import Component, Forward, ForwardNode, Unknown

from .errors import BadFrame
from .frames import ClientMessageId, MessageId

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

COMPONENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Component)}
"""The classes of components, by the `type` that names them on the wire."""

LONGEST_CLIENT_MSG_ID = 64
# What every database takes for a whole number.
LARGEST_ID = 2**63 - 1

_expected = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_moment = re.compile(
    r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def structure(value: dict[str, Any], kind: type[T]) -> T:
    """*value* as a *kind*; fields that it does not have are ignored.

    Raises:
        BadFrame: It is none; the first thing that is wrong is told.
    """
    try:
        return quick_converter.structure(value, kind)
    except Exception:  # whatever it is, the thorough one says it better
        pass
    try:
        return thorough_converter.structure(value, kind)
    except Exception as error:  # cattrs raises groups of whatever its hooks raised
        raise BadFrame(_first_complaint(error)) from None


def is_client_msg_id(value: Any) -> bool:
    """Whether *value* is one that an error can repeat."""
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_CLIENT_MSG_ID


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


def _display(value: Any, _: Any) -> Any:
    if not isinstance(value, dict | str):
        raise TypeError("must be an object or a string")
    return value


def _optional(hook: Any) -> Any:
    return lambda value, kind: None if value is None else hook(value, kind)


def _client_msg_id(value: Any, _: Any) -> ClientMessageId:
    if not is_client_msg_id(value):
        raise TypeError(f"must be a string of 1 to {LONGEST_CLIENT_MSG_ID} characters")
    return ClientMessageId(value)


def _message_id(value: Any, _: Any) -> MessageId:
    if type(value) is not int or abs(value) > LARGEST_ID:
        raise TypeError("must be a whole number")
    return MessageId(value)


def _timestamp(value: Any, _: Any) -> datetime:
    if isinstance(value, str) and _moment.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # the 30th of February, or the year 0
    raise TypeError("must be a timestamp like 2026-01-31T12:00:00.000Z")


def _is_tuple(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is tuple


def _component(hooks: dict[str, Hook], value: Any, _: Any) -> Component:
    if not isinstance(value, dict):
        raise TypeError("must be an object")
    name = value.get("type")
    if not isinstance(name, str):
        raise TypeError("needs a type, which is a string")
    hook = hooks.get(name)
    if hook is None:
        return Unknown(f"Unknown component type: {name}")
    component: Component = hook(value, COMPONENTS[name])
    return component


def _node(hook: Hook, value: Any, kind: Any) -> ForwardNode:
    if not isinstance(value, dict):
        raise TypeError("must be an object")
    node: ForwardNode = hook(value, kind)
    return node


def _lists(kind: Any, converter: Converter) -> Hook:
    """Structures lists, up to the first item that is wrong: a frame can have millions, and one is told."""
    (item, _) = get_args(kind)
    structure = converter.get_structure_hook(item)

    def quickly(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError("must be a list")
        return tuple([structure(one, item) for one in value])

    def thoroughly(value: Any, _: Any) -> Any:
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

    return thoroughly if converter.detailed_validation else quickly


def _strict_converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _strictly(kind))
    components: dict[str, Hook] = {}
    unions = {
        int | str | None: _optional(_one_of(int, str)),
        int | float | None: _optional(_one_of(int, float)),
        int | float | str | None: _optional(_one_of(int, float, str)),
        attrs.fields(attrs.resolve_types(Forward)).display.type: _optional(_display),
        Component: partial(_component, components),
    }
    for union, hook in unions.items():
        converter.register_structure_hook_func(partial(eq, union), hook)
    converter.register_structure_hook(datetime, _timestamp)
    for new_type, check in ((ClientMessageId, _client_msg_id), (MessageId, _message_id)):
        converter.register_structure_hook_func(partial(is_, new_type), check)
    converter.register_structure_hook_factory(_is_tuple, _lists)
    node = converter.get_structure_hook(ForwardNode)
    converter.register_structure_hook(ForwardNode, partial(_node, node))
    # Last of all: components hold chains and nodes.
    components.update({name: converter.get_structure_hook(kind) for name, kind in COMPONENTS.items()})
    return converter


quick_converter = _strict_converter(detailed=False)
thorough_converter = _strict_converter(detailed=True)
