"""The arithmetic of patience. `Retry-After` as such is tried in test_openai, on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.retries import backoff, retry_after

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_pauses_double_up_to_the_most() -> None:
    """An upstream that is overloaded is helped by being left alone."""
    assert [backoff(attempt, 0.0, most=3.0) for attempt in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_dice_take_away_up_to_half(attempt: int, roll: float) -> None:
    """Replies that failed together come back apart, and none too soon."""
    longest = backoff(attempt, 0.0, most=10.0)

    assert longest / 2 <= backoff(attempt, roll, most=10.0) <= longest


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-5", "1e9", "inf", "nan", "0x10", "1,5", "٣", "9" * 5000]
)
def test_an_unreadable_retry_after_asks_for_nothing(value: str | None) -> None:
    """What an upstream sends there must not become a pause that nobody understands."""
    assert retry_after(value, NOW) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sun, 01 Mar 2026 00:00:09 GMT", 9.0),
        ("Sun, 01 Mar 2026 00:00:09 -0000", 9.0),
        ("Sat, 28 Feb 2026 00:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_are_read(value: str, seconds: float) -> None:
    """RFC 9110 allows both, and clocks may differ."""
    assert retry_after(value, NOW) == seconds
