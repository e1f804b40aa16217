"""Moments as the tables have them: microseconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def ticks(moment: datetime) -> int:
    return (moment - _EPOCH) // _TICK


def moment(ticks: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ticks)
