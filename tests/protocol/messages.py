"""Messages to be shown on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from server.chat import Component, Message, Plain, Sender

NOON = datetime(2025, 1, 28, 12, 0, 5, 123456, tzinfo=UTC)
ANN = Sender(id="ann", name="Ann")


def message(chain: tuple[Component, ...] = (Plain("Hi"),), **changes: Any) -> Message:
    """A user's message, final and with its place in the conversation."""
    fields: dict[str, Any] = {
        "id": 7,
        "role": "user",
        "chain": chain,
        "timestamp": NOON,
        "connection_id": "c1",
        "sender": ANN,
        "seq": 9,
    }
    return Message(**(fields | changes))
