"""What the address of a WebSocket may ask for."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol import BadOpening, CloseCode, Level, Opening, check_session, parse_query

SESSION_TYPE = "session_type must be person or group"
STREAM = "stream must be cumulative or delta"
GUEST = "guest must be 16 to 64 characters of A-Z a-z 0-9 . _ : -"
SESSION_ID = "session_id must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"


@pytest.mark.parametrize(
    ("query", "opening"),
    [
        ("", Opening("person", "default")),
        ("session_type=person", Opening("person", "default")),
        ("session_type=group", Opening("group", "default")),
        ("session_type=group&session_id=a.B_9:-", Opening("group", "a.B_9:-")),
        ("session_id=" + "x" * 64, Opening("person", "x" * 64)),
        ("session_id=a%3Ab", Opening("person", "a:b")),
        ("session_type=group&session_type=person", Opening("group", "default")),
        ("stream=delta&cursor=e.5&unknown&=&&", Opening("person", "default")),
    ],
)
def test_queries(query: str, opening: Opening) -> None:
    """Both are optional, the first of several counts, and what is unknown is ignored."""
    assert parse_query(query) == opening


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("session_type=", SESSION_TYPE),
        ("session_type=Person", SESSION_TYPE),
        ("session_type=persons", SESSION_TYPE),
        ("session_type=person%20", SESSION_TYPE),
        ("session_type=%00", SESSION_TYPE),
        ("session_id=", SESSION_ID),
        ("session_id=" + "x" * 65, SESSION_ID),
        ("session_id=a/b", SESSION_ID),
        ("session_id=a+b", SESSION_ID),
        ("session_id=a%0a", SESSION_ID),
        ("session_id=%C3%A4", SESSION_ID),
        ("session_id=ä", SESSION_ID),
        ("session_id=%d9%a1", SESSION_ID),
        ("session_id=%ff", "the query can't be read"),
        ("x=%ff", "the query can't be read"),
        ("&".join(["a=b"] * 101), "the query can't be read"),
    ],
)
def test_bad_queries(query: str, text: str) -> None:
    """The client is told what is wrong, and that coming again with the same is no use."""
    with pytest.raises(BadOpening) as bad:
        parse_query(query)

    assert (bad.value.text, bad.value.code, bad.value.close_code) == (
        text,
        "bad_request",
        CloseCode.BAD_REQUEST,
    )
    assert str(bad.value) == text


@pytest.mark.parametrize(
    ("query", "opening"),
    [
        ("", Opening("person", "default")),
        ("cursor=e.5", Opening("person", "default", cursor="e.5")),
        ("cursor=", Opening("person", "default", cursor="")),
        ("cursor=%00%20x&cursor=e.5", Opening("person", "default", cursor="\x00 x")),
        ("stream=cumulative", Opening("person", "default")),
        ("stream=delta&session_type=group", Opening("group", "default", stream="delta")),
        ("guest=a.B_9:-0123456789", Opening("person", "default", guest="a.B_9:-0123456789")),
        ("guest=" + "x" * 64, Opening("person", "default", guest="x" * 64)),
    ],
)
def test_queries_of_level_2(query: str, opening: Opening) -> None:
    """A cursor is passed on in whatever spelling: where it leads is not the address's business."""
    assert parse_query(query, 2) == opening


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("stream=", STREAM),
        ("stream=Delta", STREAM),
        ("stream=x&stream=delta", STREAM),
        ("guest=", GUEST),
        ("guest=" + "x" * 15, GUEST),
        ("guest=" + "x" * 65, GUEST),
        ("guest=0123456789abcdef%0a", GUEST),
        ("guest=0123456789abcde%C3%A9", GUEST),
        ("guest=0123456789+abcdef", GUEST),
        ("stream=delta&session_type=x", SESSION_TYPE),
        ("cursor=%ff", "the query can't be read"),
    ],
)
def test_bad_queries_of_level_2(query: str, text: str) -> None:
    """A client that asked for pieces and got wholes, or is not who it wanted to be, would never know."""
    with pytest.raises(BadOpening) as bad:
        parse_query(query, 2)

    assert (bad.value.text, bad.value.close_code) == (text, CloseCode.BAD_REQUEST)


def test_a_guest_s_secret_is_not_shown() -> None:
    """Not even in a log line that somebody adds in a hurry."""
    assert "0123456789abcdef" not in repr(parse_query("guest=0123456789abcdef", 2))


def test_no_session_id_is_the_shared_one() -> None:
    """REST asks for a conversation by the same rules as the socket."""
    assert check_session("person", None) == Opening("person", "default")


names = st.sampled_from(["session_type", "session_id", "cursor", "stream", "guest"])
fields = st.lists(st.tuples(names | st.text(), st.text())).map(urlencode)


@given(st.text() | fields, st.sampled_from([1, 2]))
def test_any_query_is_an_opening_or_a_bad_one(query: str, level: Level) -> None:
    """The query is a stranger's."""
    try:
        opening = parse_query(query, level)
    except BadOpening:
        return
    if level == 1:
        assert opening == Opening(opening.session_type, opening.session_id)
    assert opening.stream in ("cumulative", "delta")
    assert opening.guest is None or (16 <= len(opening.guest) <= 64 and opening.guest.isascii())
    assert opening.session_type in ("person", "group")
    assert 1 <= len(opening.session_id) <= 64
    assert opening.session_id.isascii()


@given(st.text())
def test_a_session_id_has_only_harmless_characters(session_id: str) -> None:
    """It becomes part of addresses and log lines."""
    try:
        check_session("group", session_id)
    except BadOpening:
        return
    assert set(session_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")
