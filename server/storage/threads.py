"""Where blocking calls go, so that the loop goes on: threads, so many at a time and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class Execute(Protocol):
    """Runs a blocking call somewhere, and returns or raises what it does.

    A call that has begun is over when this ends, also if the caller is cancelled meanwhile.
    """

    async def __call__(self, call: Callable[[], T], /) -> T: ...


def in_threads(limit: int) -> Execute:
    """Runs calls in worker threads, at most *limit* at a time; the others wait."""
    limiter = trio.CapacityLimiter(limit)

    async def execute(call: Callable[[], T], /) -> T:
        # Never abandoned: whoever comes next must not find the last one's thread still at work.
        return await trio.to_thread.run_sync(call, limiter=limiter)  # noqa: TID251 - with a limiter of its own

    return execute
