"""When to ask an upstream again: pure arithmetic on attempts, `Retry-After` and a dice roll."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def backoff(attempt: int, roll: float, *, first: float = 0.5, most: float) -> float:
    """Seconds to wait after failed attempt number *attempt* (from 0).

    Doubles from *first* up to *most*; *roll* in [0, 1) takes away up to half of it, so that replies which
    failed together do not come back together.
    """
    return min(most, first * 2.0 ** min(attempt, 60)) * (1.0 - roll / 2)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, `None` if it asks for nothing readable.

    Source: RFC 9110, section 10.2.3: a number of seconds or an HTTP date.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
