"""What the peers send: the frames of Triologue, field by field, so that all carry the same bytes."""

from __future__ import annotations

from typing import Any

TEXT = "x" * 200
"""What is broadcast, and said in the group."""
PIECE = "twenty bytes of text"
CHUNKS = 100

_CONNECTION = "0b5c1b1e-6c4f-4a57-9d3a-6f2f3a1c9e77"
_TIMESTAMP = "2026-01-01T06:00:00.123Z"

Frame = dict[str, Any]


def broadcast(text: str) -> Frame:
    """What everybody gets of a broadcast."""
    return {"type": "broadcast", "message": text, "timestamp": _TIMESTAMP}


def pong() -> Frame:
    return {"type": "pong", "timestamp": _TIMESTAMP}


def connected() -> Frame:
    """The greeting of the published document, without what Triologue adds."""
    return {
        "type": "connected",
        "connection_id": _CONNECTION,
        "pipeline_uuid": _CONNECTION,
        "session_type": "person",
        "timestamp": _TIMESTAMP,
    }


def said(text: str) -> Frame:
    """What everybody in a group gets of a member's message."""
    return {"type": "user_message", "session_type": "group", "data": _message("user", text, final=True)}


def answered(text: str, *, final: bool) -> Frame:
    """A reply so far, as the published document has it: the whole text each time."""
    return {"type": "response", "session_type": "person", "data": _message("assistant", text, final=final)}


def grew(number: int) -> Frame:
    """Chunk *number* of a reply, from 0: only what is new."""
    data = {"id": 2, "delta": PIECE, "offset": number * len(PIECE)}
    return {"type": "response", "session_type": "person", "data": data}


def exchange() -> list[Frame]:
    """All that a group gets of one message and its short reply."""
    return [said(TEXT), answered("ok", final=False), answered("ok", final=True)]


def chunk(number: int, *, cumulative: bool) -> Frame:
    """Frame *number* of a reply, from 0; frame `CHUNKS` is the final one, with the whole text."""
    if number == CHUNKS:
        return answered(PIECE * CHUNKS, final=True)
    return answered(PIECE * (number + 1), final=False) if cumulative else grew(number)


def _message(role: str, text: str, *, final: bool) -> Frame:
    message: Frame = {
        "id": 2,
        "role": role,
        "content": text,
        "message_chain": [{"type": "Plain", "text": text}],
        "timestamp": _TIMESTAMP,
        "is_final": final,
        "connection_id": _CONNECTION,
        "sender": {"id": "guest-0b5c1b1e", "name": "Guest"},
    }
    if role == "assistant":
        message["reply_to"] = 1
    if final:
        message["seq"] = 2
    if final and role == "assistant":
        message["finish_reason"] = "stop"
    return message
