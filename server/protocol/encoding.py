"""What the server says, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import orjson
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from server.chat import Component, Message

from .frames import MessageData, SenderData, ServerFrame
from .structure import COMPONENTS


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
        client_msg_id=message.client_msg_id,
        reply_to=message.reply_to,
        edited_at=None if message.edited_at is None else timestamp(message.edited_at),
        alternative_of=message.alternative_of,
        finish_reason=message.finish_reason,
        usage=message.usage,
    )


def encode(value: ServerFrame | MessageData) -> bytes:
    """One text frame, or one MESSAGE, as JSON in UTF-8."""
    return orjson.dumps(_outwards.unstructure(value))


def _compact_converter() -> Converter:
    """Leaves out fields that are `None`, and puts the type of a frame or component first."""
    converter = Converter()

    def compact(kind: type[Any]) -> Any:
        whole = make_dict_unstructure_fn(kind, converter)
        optional = [a.name for a in attrs.fields(kind) if a.default is None]
        tag = kind.__name__ if kind in COMPONENTS.values() else getattr(kind, "type", None)

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


_outwards = _compact_converter()
