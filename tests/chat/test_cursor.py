"""Cursors: what a client sends back is either a place in this very history, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat import Cursor, gap_at

seqs = st.integers(0, 10**15)
epochs = st.from_regex(r"[A-Za-z0-9]{1,32}", fullmatch=True)


@given(epoch=epochs, seq=seqs)
def test_a_cursor_survives_its_way_to_the_client_and_back(epoch: str, seq: int) -> None:
    """Clients keep it as text."""
    assert Cursor.parse(str(Cursor(epoch, seq))) == Cursor(epoch, seq)


@given(st.text())
def test_whatever_a_client_sends_is_a_cursor_or_none(text: str) -> None:
    """It comes from a URL that anybody may write; there is one spelling of each place."""
    cursor = Cursor.parse(text)
    assert cursor is None or str(cursor) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".1",
        "a.-1",
        "a.01",
        "a.1.2",
        "a.1 ",
        " a.1",
        "a.\u0661",
        "a.1e3",
        "a." + "9" * 17,
        "ä.1",
    ],
)
def test_what_looks_like_a_cursor_is_none(text: str) -> None:
    """A lenient parser would take one place for another."""
    assert Cursor.parse(text) is None


@given(floor=seqs, length=st.integers(0, 1000), seq=seqs)
def test_a_client_goes_on_exactly_from_where_it_can_be_told_everything(
    floor: int, length: int, seq: int
) -> None:
    """One seq too low misses what was trimmed, one too high misses what comes next."""
    last = floor + length
    reason = gap_at(Cursor("e", seq), epoch="e", floor=floor, last=last)
    assert reason == ("trimmed" if seq < floor else "future" if seq > last else None)


def test_another_history_is_never_gone_on_with() -> None:
    """Its seqs mean something else, however well they fit."""
    assert gap_at(Cursor("e", 3), epoch="f", floor=0, last=9) == "unknown_epoch"
    assert gap_at(None, epoch="f", floor=0, last=9) == "malformed"
