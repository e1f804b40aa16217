"""The frame for each event, in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.connection.framing import texts
from server.connection.wire import encoded
from server.messages import (
    Acked,
    Announced,
    Declined,
    Dialect,
    Event,
    Gap,
    Ponged,
    ReplyBroke,
)

from .happenings import (
    AT,
    GREETING,
    NOON,
    added,
    ended,
    grew,
    happened,
    some_fact,
    welcomed,
)

MESSAGE = {
    "id": 1,
    "role": "user",
    "content": "Hi",
    "message_chain": [{"type": "Plain", "text": "Hi"}],
    "timestamp": AT,
    "is_final": True,
    "connection_id": "c1",
    "sender": {"id": "ann", "name": "Ann"},
    "seq": 9,
}
REPLY = {**MESSAGE, "id": 2, "role": "assistant", "sender": {"id": "assistant", "name": "Bot"}}


def framed(event: Event, dialect: Dialect = "cumulative") -> Any:
    frames = encoded(event, dialect, GREETING)
    if frames is None:
        return None
    (text,) = texts(frames)
    return json.loads(text)


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (
            welcomed(7, resumed=True),
            {
                "type": "connected",
                "connection_id": "c1",
                "pipeline_uuid": "p1",
                "session_type": "person",
                "timestamp": AT,
                "session_id": "default",
                "cursor": "e1.7",
                "resumed": True,
                "heartbeat": 20.0,
                "max_message_size": 1024,
                "user": {"id": "ann", "name": "Ann"},
            },
        ),
        (added(9), {"type": "user_message", "session_type": "person", "data": MESSAGE}),
        (
            grew("Hi"),
            {
                "type": "response",
                "session_type": "person",
                "data": {**{k: v for k, v in REPLY.items() if k != "seq"}, "is_final": False},
            },
        ),
        (
            ended(9, "Hi"),
            {"type": "response", "session_type": "person", "data": {**REPLY, "finish_reason": "stop"}},
        ),
        (Ponged(NOON), {"type": "pong", "timestamp": AT}),
        (Announced("All", NOON), {"type": "broadcast", "message": "All", "timestamp": AT}),
        (
            Declined("busy", "Later", True),
            {"type": "error", "message": "Later", "code": "busy", "retry": True},
        ),
    ],
)
def test_frames_that_every_dialect_has(event: Event, frame: Any) -> None:
    """Level 2 adds fields to them at most; and one encoding serves clients of both kinds."""
    assert framed(event) == framed(event, "document") == frame
    assert len(event.encodings) == 1


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (
            happened(some_fact("edited", 9)),
            {"type": "edited", "data": {**MESSAGE, "content": "Ho", "edited_at": AT}},
        ),
        (
            happened(some_fact("recalled", 9)),
            {"type": "recalled", "id": 1, "by": "ann", "seq": 9, "timestamp": AT},
        ),
        (happened(some_fact("read", 9)), {"type": "read", "user": "ann", "up_to": 1, "seq": 9}),
        (happened(some_fact("reset", 9)), {"type": "reset", "seq": 9, "timestamp": AT}),
        (Gap("e1.9", "trimmed"), {"type": "gap", "cursor": "e1.9", "reason": "trimmed"}),
        (
            Acked("x", 1, 9, duplicate=True),
            {"type": "ack", "client_msg_id": "x", "id": 1, "seq": 9, "duplicate": True},
        ),
        (
            ReplyBroke(2, "It failed"),
            {"type": "error", "message": "It failed", "code": "reply_failed", "retry": False, "id": 2},
        ),
    ],
)
def test_frames_of_level_2_are_for_level_2_alone(event: Event, frame: Any) -> None:
    """A client of a lower level takes any `error` for a lost connection, and knows none of the others."""
    assert framed(event, "document") is None
    got = framed(event)
    if frame["type"] == "edited":
        assert got["data"].pop("message_chain") == [{"type": "Plain", "text": "Ho"}]
        frame["data"].pop("message_chain")
    assert got == frame


def test_an_error_repeats_the_client_s_own_name_for_its_frame() -> None:
    """A client that sends several at once knows which it was."""
    assert framed(Declined("conflict", "No", client_msg_id="x"))["client_msg_id"] == "x"
