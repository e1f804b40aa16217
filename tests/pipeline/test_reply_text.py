"""Text that is fit to be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.reply_text import ReplyText

TEXT = st.text(st.characters(exclude_categories=()))


def said(pieces: list[str], limit: int | None = None) -> str:
    text = ReplyText(limit)
    return "".join([*(text.feed(piece) for piece in pieces), text.close()])


@given(st.lists(TEXT))
def test_whatever_comes_in_utf_8_can_carry_what_goes_out(pieces: list[str]) -> None:
    """One lone surrogate in one reply must not break a socket that serves many."""
    said(pieces).encode()


@given(TEXT, st.integers(0, 20))
def test_where_a_text_is_split_makes_no_difference(text: str, at: int) -> None:
    """Deltas are cut by an upstream that counts tokens, not characters."""
    assert said([text[:at], text[at:]]) == said([text])


@given(st.lists(st.text()))
def test_sound_text_is_left_alone(pieces: list[str]) -> None:
    """Almost all text is sound."""
    assert said(pieces) == "".join(pieces)


@given(st.lists(st.text()), st.integers(0, 50))
def test_no_more_comes_out_than_allowed(pieces: list[str], limit: int) -> None:
    """And what comes out is the beginning, to the last code point that fits."""
    assert said(pieces, limit) == "".join(pieces)[:limit]


def test_only_what_was_left_out_counts_as_cut() -> None:
    """A reply that just fits is whole."""
    text = ReplyText(2)

    assert (text.feed("ab"), text.cut) == ("ab", False)
    assert (text.feed(""), text.cut) == ("", False)
    assert (text.feed("c"), text.cut) == ("", True)
