"""What the address of a WebSocket may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol import BadOpening, CloseCode, Opening, check_session, parse_query

SESSION_TYPE = "session_type must be person or group"
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


def test_no_session_id_is_the_shared_one() -> None:
    """REST asks for a conversation by the same rules as the socket."""
    assert check_session("person", None) == Opening("person", "default")


@given(st.text())
def test_any_query_is_an_opening_or_a_bad_one(query: str) -> None:
    """The query is a stranger's."""
    try:
        opening = parse_query(query)
    except BadOpening:
        return
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
