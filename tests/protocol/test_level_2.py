"""Frames of level 2: what they are taken for, and what is wrong with those that are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import attrs
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from server.chat import AtAll, Plain
from server.protocol import (
    AuthenticateFrame,
    BadFrame,
    ClientFrame,
    ClientMessageId,
    DisconnectFrame,
    EditFrame,
    IgnoredFrame,
    MessageFrame,
    MessageId,
    PingFrame,
    ReadFrame,
    RecallFrame,
    RegenerateFrame,
    RequestFrame,
    StopFrame,
    decode,
)

CHAIN = [{"type": "Plain", "text": "Hi"}]
HI = (Plain("Hi"),)
ID, X = MessageId(1), ClientMessageId("x")
TIMESTAMP = "must be a timestamp like 2026-01-31T12:00:00.000Z"
NAME = "client_msg_id must be a string of 1 to 64 characters"


def decoded(**frame: Any) -> ClientFrame:
    return decode(json.dumps(frame), 2)


def refused(text: str) -> BadFrame:
    with pytest.raises(BadFrame) as bad:
        decode(text, 2)
    return bad.value


def complaint(**frame: Any) -> str:
    return refused(json.dumps(frame)).text


def moment(text: str) -> datetime | None:
    frame = decoded(message=CHAIN, expires_at=text)
    assert isinstance(frame, MessageFrame)
    return frame.expires_at


@pytest.mark.parametrize(
    ("value", "frame"),
    [
        ({"message": CHAIN}, MessageFrame(HI)),
        (
            {
                "type": "message",
                "message": CHAIN,
                "stream": False,
                "client_msg_id": "x",
                "reply_to": 1,
                "expires_at": "2026-01-31T12:00:00Z",
            },
            MessageFrame(HI, False, ID, datetime(2026, 1, 31, 12, tzinfo=UTC), client_msg_id=X),
        ),
        (
            {"message": CHAIN, "client_msg_id": None, "reply_to": None, "expires_at": None},
            MessageFrame(HI),
        ),
        ({"type": "stop"}, StopFrame()),
        ({"type": "stop", "id": None}, StopFrame()),
        ({"type": "stop", "id": 1}, StopFrame(ID)),
        ({"type": "regenerate", "id": 1}, RegenerateFrame(ID)),
        ({"type": "edit", "id": 1, "message": CHAIN}, EditFrame(ID, HI)),
        ({"type": "recall", "id": 1, "client_msg_id": "x"}, RecallFrame(ID, client_msg_id=X)),
        ({"type": "read", "up_to": 1}, ReadFrame(ID)),
        ({"type": "typing", "active": True}, IgnoredFrame()),
        ({"type": "typing"}, IgnoredFrame()),
        ({"type": "ping"}, PingFrame()),
        ({"type": "disconnect"}, DisconnectFrame()),
        ({"type": "authenticate", "token": "t"}, AuthenticateFrame()),
    ],
)
def test_frames(value: dict[str, Any], frame: ClientFrame) -> None:
    """A field left out and one that is null are the same where it is not required; others are ignored."""
    assert decoded(**value) == decoded(**value, nothing=[], seq="x") == frame


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"type": "message"}, "message is required"),
        ({"type": "edit", "id": 1}, "message is required"),
        ({"type": "edit", "id": 1, "message": []}, "message is required"),
        ({"type": "edit", "id": 1, "message": "Hi"}, "message must be a list of components"),
        ({"type": "edit", "id": 1, "message": [{"type": "Plain"}]}, "message[0].text is missing"),
        ({"type": "edit", "message": CHAIN}, "id is missing"),
        ({"type": "regenerate"}, "id is missing"),
        ({"type": "recall"}, "id is missing"),
        ({"type": "recall", "id": None}, "id must be a whole number"),
        ({"type": "read"}, "up_to is missing"),
        ({"type": "stop", "id": "2"}, "id must be a whole number"),
        ({"type": "stop", "id": 2.0}, "id must be a whole number"),
        ({"type": "stop", "id": True}, "id must be a whole number"),
        ({"type": "read", "up_to": []}, "up_to must be a whole number"),
        ({"type": "read", "up_to": 2**63}, "up_to must be a whole number"),
        ({"type": "read", "up_to": 2**64}, "up_to must be a whole number"),
        ({"type": "recall", "id": 10**40}, "id must be a whole number"),
        ({"message": CHAIN, "reply_to": "3"}, "reply_to must be a whole number"),
        ({"message": CHAIN, "stream": None}, "stream must be true or false"),
        ({"message": CHAIN, "client_msg_id": 5}, NAME),
        ({"message": CHAIN, "client_msg_id": ""}, NAME),
        ({"message": CHAIN, "client_msg_id": "x" * 65}, NAME),
        ({"message": CHAIN, "client_msg_id": ["x"]}, NAME),
        ({"type": "stop", "client_msg_id": 5}, NAME),
        ({"type": 5}, "type must be a string"),
        ({"type": None}, "type must be a string"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value: dict[str, Any], text: str) -> None:
    """Nothing is coerced: a number in quotes is the first sign of a client that will go wrong elsewhere."""
    assert complaint(**value) == text


def test_a_name_is_counted_in_code_points() -> None:
    """As people count; and it may hold whatever JSON may."""
    frame = decoded(type="stop", client_msg_id="🙂" * 63 + "\x00")

    assert frame == StopFrame(client_msg_id=ClientMessageId("🙂" * 63 + "\x00"))


@pytest.mark.parametrize("kind", ["dance", "", "Stop", "connected", "presence", "ack", "<b>"])
def test_an_unknown_type_is_told(kind: str) -> None:
    """On level 2 a client is not left to wonder; without its own words, which others may read in a log."""
    bad = refused(json.dumps({"type": kind, "client_msg_id": "x"}))

    assert (bad.code, bad.text, bad.client_msg_id) == ("unknown_type", "There is no frame of this type", "x")


@pytest.mark.parametrize(
    ("name", "told"),
    [("x", "x"), ("x" * 64, "x" * 64), ("x" * 65, None), ("", None), (5, None), (None, None), (["x"], None)],
)
@pytest.mark.parametrize("frame", [{"type": "message"}, {"type": "recall", "id": "1"}, {"type": "dance"}])
def test_a_bad_frame_keeps_its_name(frame: dict[str, Any], name: Any, told: str | None) -> None:
    """A client that sends several frames at once learns which was bad."""
    assert refused(json.dumps({**frame, "client_msg_id": name})).client_msg_id == told


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5Z", datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789Z", datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T12:00:00+05:30", datetime(2026, 1, 31, 6, 30, tzinfo=UTC)),
        ("2026-01-31T00:30:00-00:45", datetime(2026, 1, 31, 1, 15, tzinfo=UTC)),
        ("2024-02-29T23:59:59.999Z", datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_told_with_its_zone(text: str, then: datetime) -> None:
    """It is kept in UTC."""
    found = moment(text)

    assert found == then
    assert found is not None
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00z",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+25:00",
        "2026-W05-6T12:00:00Z",
        "20260131T120000Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "",
        1769860800,
        True,
        [],
    ],
)
def test_anything_else_is_no_moment(text: Any) -> None:
    """A time without a zone is somebody's local time; to guess whose would expire messages at random."""
    assert complaint(message=CHAIN, expires_at=text) == f"expires_at {TIMESTAMP}"


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=zones))
def test_every_moment_that_python_writes_is_read(then: datetime) -> None:
    """Clients use what their language gives them."""
    assume(1 < then.year < 9999)
    assert moment(then.isoformat(timespec="microseconds")) == then


# -- whatever comes

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=70)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
names = st.sampled_from(
    ["type", "id", "message", "up_to", "reply_to", "expires_at", "client_msg_id", "stream"]
)
kinds = st.sampled_from([kind.type for kind in get_args(RequestFrame)])
good = {
    "id": st.integers(1, 9),
    "up_to": st.integers(1, 9),
    "message": st.just(CHAIN),
    "client_msg_id": st.text(min_size=1, max_size=64),
    "expires_at": st.just("2026-01-31T12:00:00Z"),
}
frames = st.one_of(
    st.dictionaries(names, values),
    st.fixed_dictionaries({"type": kinds, **good}, optional={"reply_to": values}),
    st.builds(
        lambda frame, changes: {**frame, **changes},
        st.fixed_dictionaries({"type": kinds, **good}),
        st.dictionaries(names, values, max_size=2),
    ),
)
EXPECTED: dict[str, tuple[type[Any], ...]] = {
    "id": (int,),
    "up_to": (int,),
    "reply_to": (int,),
    "stream": (bool,),
    "client_msg_id": (str,),
}


@given(frames)
@example({"type": "stop", "id": -(2**63)})
@example({"type": "stop", "id": True})
@settings(deadline=None, max_examples=500)
def test_any_frame_is_one_of_ours_or_a_bad_one_and_nothing_is_coerced(frame: dict[str, Any]) -> None:
    """What is accepted is what was sent, of the very same type; and no other error gets out."""
    try:
        found = decode(json.dumps(frame), 2)
    except BadFrame:
        return
    if not isinstance(found, get_args(RequestFrame)):
        return
    assert found.type == frame.get("type", "message")
    for name in attrs.fields_dict(type(found)):
        value = getattr(found, name)
        if name in EXPECTED and value is not None and name in frame:
            assert type(value) in EXPECTED[name]
            assert value == frame[name]
            assert type(value) is type(frame[name])


@given(st.dictionaries(names.filter(lambda name: name not in ("type", "message", "stream")), values))
@settings(deadline=None)
def test_on_level_1_nothing_of_level_2_is_looked_at(extra: dict[str, Any]) -> None:
    """Whatever its type: there it is an unknown field, as it always was."""
    frame = json.dumps({"message": [{"type": "AtAll"}], "stream": False, **extra})

    assert decode(frame) == decode(frame, 1) == MessageFrame((AtAll(),), stream=False)
    for kind in get_args(RequestFrame)[1:]:
        assert decode(json.dumps({**extra, "type": kind.type})) == IgnoredFrame()
