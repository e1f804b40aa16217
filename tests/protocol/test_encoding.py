"""The exact JSON of what the server says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat import (
    At,
    AtAll,
    Component,
    Face,
    File,
    Forward,
    ForwardNode,
    Image,
    Plain,
    Quote,
    Source,
    Unknown,
    Voice,
)
from server.protocol import (
    AckFrame,
    BroadcastFrame,
    CloseCode,
    ConnectedFrame,
    DeltaData,
    EditedFrame,
    ErrorFrame,
    GapFrame,
    MessageFrame,
    PongFrame,
    RecalledFrame,
    ResetFrame,
    ResponseFrame,
    SenderData,
    ServerFrame,
    UserHasReadFrame,
    UserMessageFrame,
    decode,
    encode,
    message_data,
    timestamp,
)
from tests.chat.chains import chains

from .messages import NOON, message

AT = "2025-01-28T12:00:05.123Z"

FINAL = {
    "id": 7,
    "role": "user",
    "content": "Hi",
    "message_chain": [{"type": "Plain", "text": "Hi"}],
    "timestamp": AT,
    "is_final": True,
    "connection_id": "c1",
    "sender": {"id": "ann", "name": "Ann"},
    "seq": 9,
}

CONNECTED = ConnectedFrame(
    connection_id="c1",
    pipeline_uuid="p1",
    session_type="person",
    timestamp=AT,
    session_id="default",
    cursor="epoch.0",
    resumed=False,
    heartbeat=20.5,
    max_message_size=1024,
    user=SenderData("ann", "Ann"),
)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            CONNECTED,
            {
                "type": "connected",
                "connection_id": "c1",
                "pipeline_uuid": "p1",
                "session_type": "person",
                "timestamp": AT,
                "session_id": "default",
                "cursor": "epoch.0",
                "resumed": False,
                "heartbeat": 20.5,
                "max_message_size": 1024,
                "user": {"id": "ann", "name": "Ann"},
            },
        ),
        (
            UserMessageFrame("group", message_data(message())),
            {"type": "user_message", "session_type": "group", "data": FINAL},
        ),
        (
            ResponseFrame("person", message_data(message(role="assistant", is_final=False, seq=None))),
            {
                "type": "response",
                "session_type": "person",
                "data": {
                    **{k: v for k, v in FINAL.items() if k != "seq"},
                    "role": "assistant",
                    "is_final": False,
                },
            },
        ),
        (
            ResponseFrame("person", message_data(message(finish_reason="stop", usage={"tokens": 3}))),
            {
                "type": "response",
                "session_type": "person",
                "data": {**FINAL, "finish_reason": "stop", "usage": {"tokens": 3}},
            },
        ),
        (
            ResponseFrame("person", message_data(message(usage=MappingProxyType({"tokens": 3})))),
            {"type": "response", "session_type": "person", "data": {**FINAL, "usage": {"tokens": 3}}},
        ),
        (
            UserMessageFrame(
                "group",
                message_data(message(client_msg_id="x", reply_to=3, edited_at=NOON, alternative_of=5)),
            ),
            {
                "type": "user_message",
                "session_type": "group",
                "data": {**FINAL, "client_msg_id": "x", "reply_to": 3, "edited_at": AT, "alternative_of": 5},
            },
        ),
        (
            ResponseFrame("person", DeltaData(2, "", 0)),
            {"type": "response", "session_type": "person", "data": {"id": 2, "delta": "", "offset": 0}},
        ),
        (
            ResponseFrame("person", evolve(message_data(message()), delta="", offset=2)),
            {"type": "response", "session_type": "person", "data": {**FINAL, "delta": "", "offset": 2}},
        ),
        (
            AckFrame("x", 1, 2, duplicate=False),
            {"type": "ack", "client_msg_id": "x", "id": 1, "seq": 2, "duplicate": False},
        ),
        (EditedFrame(message_data(message())), {"type": "edited", "data": FINAL}),
        (
            RecalledFrame(1, "ann", 2, AT),
            {"type": "recalled", "id": 1, "by": "ann", "seq": 2, "timestamp": AT},
        ),
        (ResetFrame(2, AT), {"type": "reset", "seq": 2, "timestamp": AT}),
        (UserHasReadFrame("ann", 1, 2), {"type": "read", "user": "ann", "up_to": 1, "seq": 2}),
        (GapFrame("e.2", "future"), {"type": "gap", "cursor": "e.2", "reason": "future"}),
        (PongFrame(AT), {"type": "pong", "timestamp": AT}),
        (BroadcastFrame("Hi all", AT), {"type": "broadcast", "message": "Hi all", "timestamp": AT}),
        (
            ErrorFrame("Not now", "busy", retry=True),
            {"type": "error", "message": "Not now", "code": "busy", "retry": True},
        ),
        (
            ErrorFrame("Not so", "conflict", client_msg_id="x"),
            {
                "type": "error",
                "message": "Not so",
                "code": "conflict",
                "retry": False,
                "client_msg_id": "x",
            },
        ),
        (
            ErrorFrame("Invalid JSON format", "bad_request"),
            {"type": "error", "message": "Invalid JSON format", "code": "bad_request", "retry": False},
        ),
    ],
)
def test_server_frames(frame: ServerFrame, expected: dict[str, Any]) -> None:
    """Names and values as the document has them; what is not known is left out, not null."""
    text = encode(frame)

    assert json.loads(text) == expected
    assert text.startswith(b'{"type":"%b"' % expected["type"].encode())


def test_a_message_by_itself_is_encoded_like_one_in_a_frame() -> None:
    """History and the live stream must not differ, or a client shows a message twice."""
    assert json.loads(encode(message_data(message()))) == FINAL


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (Plain(""), {"type": "Plain", "text": ""}),
        (At(), {"type": "At"}),
        (At(0, ""), {"type": "At", "target": 0, "display": ""}),
        (AtAll(), {"type": "AtAll"}),
        (Image(url="u", base64=""), {"type": "Image", "url": "u", "base64": ""}),
        (Voice(voice_id="v", length=0), {"type": "Voice", "voice_id": "v", "length": 0}),
        (File(id=5, name="n", size=0), {"type": "File", "id": 5, "name": "n", "size": 0}),
        (Face(face_id=14), {"type": "Face", "face_id": 14}),
        (Quote(id=1), {"type": "Quote", "id": 1, "origin": []}),
        (
            Quote(origin=(Quote(origin=(AtAll(),)),)),
            {"type": "Quote", "origin": [{"type": "Quote", "origin": [{"type": "AtAll"}]}]},
        ),
        (
            Forward({"a": [None, {"b": None}]}, (ForwardNode(1, message_chain=(Plain("x"),)), ForwardNode())),
            {
                "type": "Forward",
                "display": {"a": [None, {"b": None}]},
                "node_list": [
                    {"sender_id": 1, "message_chain": [{"type": "Plain", "text": "x"}]},
                    {"message_chain": []},
                ],
            },
        ),
        (Forward("title"), {"type": "Forward", "display": "title", "node_list": []}),
        (Source(1, 1.5), {"type": "Source", "id": 1, "timestamp": 1.5}),
        (Unknown("x"), {"type": "Unknown", "text": "x"}),
    ],
)
def test_components(component: Component, expected: dict[str, Any]) -> None:
    """Their type comes first; fields nobody gave are left out; lists are always there."""
    frame = json.loads(encode(message_data(message(chain=(component,)))))

    assert frame["message_chain"] == [expected]
    assert next(iter(frame["message_chain"][0])) == "type"


@given(chains, st.booleans())
@settings(deadline=None)
def test_a_message_means_the_same_after_a_round_trip(chain: tuple[Component, ...], stream: bool) -> None:
    """What one client sends is what all others get."""
    shown = json.loads(encode(message_data(message(chain=chain))))["message_chain"]

    assert decode(json.dumps({"message": shown, "stream": stream})) == MessageFrame(chain, stream)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, AT),
        (datetime(2025, 1, 28, tzinfo=UTC), "2025-01-28T00:00:00.000Z"),
        (datetime(2025, 1, 28, 1, 2, 3, 999999, tzinfo=UTC), "2025-01-28T01:02:03.999Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 1000, tzinfo=UTC), "9999-12-31T23:59:59.001Z"),
        (datetime(2025, 1, 28, tzinfo=timezone(timedelta(0))), "2025-01-28T00:00:00.000Z"),
    ],
)
def test_timestamps_have_milliseconds_and_a_zone(moment: datetime, text: str) -> None:
    """A time without a zone is read as local time by every browser; rounding up could show the future."""
    assert timestamp(moment) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_moment_is_written_as_python_would(moment: datetime) -> None:
    """However it is made: clients compare timestamps as text."""
    assert timestamp(moment) == moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def test_frames_are_one_line_of_utf_8() -> None:
    """A frame is a unit for whoever reads a capture line by line."""
    text = encode(BroadcastFrame("Grüße\n\u2028🙂\x00", AT))

    assert b"\n" not in text
    assert "🙂".encode() in text
    assert json.loads(text)["message"] == "Grüße\n\u2028🙂\x00"


def test_close_codes() -> None:
    """Clients decide by them whether to come back; the document and RFC 6455 fix the numbers."""
    assert {code.name: int(code) for code in CloseCode} == {
        "DISCONNECT": 1000,
        "INTERNAL_ERROR": 1011,
        "RESTART": 1012,
        "FULL": 1013,
        "BAD_REQUEST": 4400,
        "UNAUTHORIZED": 4401,
        "FORBIDDEN": 4403,
        "NOT_FOUND": 4404,
        "TOO_SLOW": 4408,
        "RATE_LIMITED": 4429,
    }
