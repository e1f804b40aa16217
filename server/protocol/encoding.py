"""What the server says, as JSON: how each class looks there is settled here.

orjson writes what it knows, and asks about every object of ours that it meets, at any depth, for a dict of
its fields. The functions that make those are written by cattrs, but for the one that needs more than fields.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

import attrs
import orjson
from cattrs import Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override

from server.chat import ForwardNode, Message

from .frames import DeltaData, MessageData, SenderData, ServerFrame
from .structure import COMPONENTS

Shape = Callable[[Any], dict[str, Any]]

_converter = Converter()


def encode(value: ServerFrame | MessageData) -> bytes:
    """One text frame, or one MESSAGE, as JSON in UTF-8."""
    return orjson.dumps(_shape(value), _shape)


def message_data(message: Message, offset: int | None = None) -> MessageData:
    """*message* as the wire shows it; with *offset* for a client that knows so many code points of it."""
    return MessageData(message) if offset is None else MessageData(message, message.content[offset:], offset)


def timestamp(moment: datetime) -> str:
    """*moment*, which is in UTC, as `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    # A third of what `isoformat` takes. orjson leaves out microseconds if there are none.
    text = orjson.dumps(moment).decode()
    return f"{text[1:24]}Z" if moment.microsecond else f"{text[1:20]}.000Z"


def _shape(value: Any) -> dict[str, Any]:
    """The fields of *value* as the wire names them; what is in them orjson asks about by itself."""
    return _shapes[type(value)](value)


def _message(data: MessageData) -> dict[str, Any]:
    message = data.message
    shape: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "message_chain": message.chain,
        "timestamp": timestamp(message.timestamp),
        "is_final": message.is_final,
        "connection_id": message.connection_id,
        "sender": {"id": message.sender.id, "name": message.sender.name},
    }
    if message.seq is not None:
        shape["seq"] = message.seq
    if message.client_msg_id is not None:
        shape["client_msg_id"] = message.client_msg_id
    if message.reply_to is not None:
        shape["reply_to"] = message.reply_to
    if message.edited_at is not None:
        shape["edited_at"] = timestamp(message.edited_at)
    if message.alternative_of is not None:
        shape["alternative_of"] = message.alternative_of
    if message.finish_reason is not None:
        shape["finish_reason"] = message.finish_reason
    if message.usage is not None:
        shape["usage"] = dict(message.usage)
    if data.delta is not None:
        shape["delta"] = data.delta
    if data.offset is not None:
        shape["offset"] = data.offset
    return shape


def _shaping(kind: type[Any], tag: str | None = None) -> Shape:
    """Makes a dict of all fields but those that are `None`, because nobody gave them; *tag* comes first."""
    as_they_are: dict[str, Any] = {a.name: override(unstruct_hook=identity) for a in attrs.fields(kind)}
    fields: Shape = make_dict_unstructure_fn(kind, _converter, **as_they_are)
    optional = [a.name for a in attrs.fields(kind) if a.default is None]

    def given(value: Any) -> dict[str, Any]:
        shape = fields(value)
        for name in optional:
            if shape[name] is None:
                del shape[name]
        return shape

    untagged = given if optional else fields
    return untagged if tag is None else lambda value: {"type": tag, **untagged(value)}


_shapes: dict[type[Any], Shape] = {
    MessageData: _message,
    **{kind: _shaping(kind) for kind in (DeltaData, SenderData, ForwardNode)},
    **{kind: _shaping(kind, kind.type) for kind in get_args(ServerFrame)},
    **{kind: _shaping(kind, name) for name, kind in COMPONENTS.items()},
}
