"""How much of a conversation an upstream is told."""

from __future__ import annotations

from server.chat import Message


def newest(messages: tuple[Message, ...], most: int) -> tuple[Message, ...]:
    """The last *most* of *messages*, oldest first."""
    return messages[max(0, len(messages) - most) :]
