"""A turn as a webhook gets it. The shape is a promise: `docs/pipelines.md`, "What a webhook is sent"."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs

from server.chat import Component, Message, Sender, Turn
from server.chat.components import ForwardNode


def turn_as_json(turn: Turn, history: Iterable[Message]) -> dict[str, Any]:
    """*turn* as a JSON object, with *history* in place of its own."""
    resumed = {"so_far": turn.so_far} if turn.so_far else {}
    return {
        "message": _message(turn.message),
        "history": [_message(message) for message in history],
        "sender": _sender(turn.sender),
        "pipeline_uuid": turn.pipeline_uuid,
        "session_type": turn.session_type,
        "session_id": turn.session_id,
        **resumed,
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "message_chain": _chain(message.chain),
        "timestamp": _timestamp(message.timestamp),
        "sender": _sender(message.sender),
    }


def _sender(sender: Sender) -> dict[str, str]:
    return {"id": sender.id, "name": sender.name}


def _chain(chain: Iterable[Component]) -> list[dict[str, Any]]:
    return [{"type": type(component).__name__, **_fields(component)} for component in chain]


def _fields(thing: Component | ForwardNode) -> dict[str, Any]:
    """What is set in *thing*; fields that the client left out are left out here too."""
    fields: dict[str, Any] = {}
    for name in attrs.fields_dict(type(thing)):
        value = getattr(thing, name)
        match name:
            case "origin" | "message_chain":
                fields[name] = _chain(value)
            case "node_list":
                fields[name] = [_fields(node) for node in value]
            case _ if value is not None:
                fields[name] = value
    return fields


def _timestamp(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
