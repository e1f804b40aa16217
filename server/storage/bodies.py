"""What of a message is sealed: its chain and whatever else is nobody's business, as JSON.

This is the form on the disk, and not the wire's: it may not change when that does, and takes whatever is in
the objects, which were checked when they came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard, get_args

import attrs
import orjson
from attrs import define

from server.chat import Component, Forward, ForwardNode, Plain, Quote, Unknown

Chain = tuple[Component, ...]

_kinds: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Component)}
_fields = {kind: attrs.fields_dict(kind).keys() for kind in (*_kinds.values(), ForwardNode)}


@define
class Body:
    """What is sealed of a message. `name` is the sender's; `stream`, of an open reply, its question's."""

    chain: Chain = ()
    name: str = ""
    connection_id: str = ""
    client_msg_id: str | None = None
    reply_to: int | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    stream: bool = True


def dump_chain(chain: Chain) -> bytes:
    """*chain* as JSON, always in the same way: equal chains are equal bytes."""
    if is_text(chain):
        return orjson.dumps([{"text": chain[0].text, "type": "Plain"}])
    return orjson.dumps([_shape(component) for component in chain], option=orjson.OPT_SORT_KEYS)


def is_text(chain: Chain) -> TypeGuard[tuple[Plain]]:
    """Whether it is what most chains are: one text."""
    return len(chain) == 1 and type(chain[0]) is Plain


def load_chain(data: bytes) -> Chain:
    return _chain(orjson.loads(data))


def dump_body(body: Body, chain: bytes | None = None) -> bytes:
    """*body* as JSON; *chain* is its chain if that was dumped already."""
    shape: dict[str, Any] = {"chain": orjson.Fragment(dump_chain(body.chain) if chain is None else chain)}
    if body.name:
        shape["name"] = body.name
    if body.connection_id:
        shape["connection_id"] = body.connection_id
    if body.client_msg_id is not None:
        shape["client_msg_id"] = body.client_msg_id
    if body.reply_to is not None:
        shape["reply_to"] = body.reply_to
    if body.finish_reason is not None:
        shape["finish_reason"] = body.finish_reason
    if body.usage is not None:
        shape["usage"] = dict(body.usage)
    if not body.stream:
        shape["stream"] = False
    return orjson.dumps(shape)


def load_body(data: bytes) -> Body:
    shape = orjson.loads(data)
    shape["chain"] = _chain(shape["chain"])
    return Body(**shape)


def _shape(value: Any) -> dict[str, Any]:
    kind = type(value)
    shape = {name: getattr(value, name) for name in _fields[kind]}
    shape = {name: item for name, item in shape.items() if item is not None}
    match value:
        case Quote():
            shape["origin"] = [_shape(item) for item in value.origin]
        case Forward():
            shape["node_list"] = [_shape(node) for node in value.node_list]
        case ForwardNode():
            shape["message_chain"] = [_shape(item) for item in value.message_chain]
            return shape
    shape["type"] = kind.__name__
    return shape


def _chain(shapes: list[dict[str, Any]]) -> Chain:
    return tuple(map(_component, shapes))


def _component(shape: dict[str, Any]) -> Component:
    name = shape.pop("type")
    kind = _kinds.get(name)
    if kind is None:
        # Of a newer release; `protocol.md` says what becomes of unknown types.
        return Unknown(f"Unknown component type: {name}")
    if kind is Plain:
        return Plain(shape["text"])
    if kind is Quote:
        shape["origin"] = _chain(shape["origin"])
    elif kind is Forward:
        shape["node_list"] = tuple(map(_node, shape["node_list"]))
    made: Component = kind(**shape)
    return made


def _node(shape: dict[str, Any]) -> ForwardNode:
    shape["message_chain"] = _chain(shape["message_chain"])
    return ForwardNode(**shape)
