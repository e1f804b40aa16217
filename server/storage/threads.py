"""Where blocking calls go, so that the loop goes on: threads, so many at a time and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import trio
from trio.lowlevel import Abort

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
        async with limiter:
            return await _in_thread(call)

    return execute


async def _in_thread(call: Callable[[], T]) -> T:
    """What *call* returns or raises, in one of trio's worker threads.

    For what `trio.to_thread.run_sync` can besides (context, calls back into trio, abandoning) each batch
    would pay half as much again. Never abandoned: whoever comes next must not find this one's still at work.
    """
    task, token = trio.lowlevel.current_task(), trio.lowlevel.current_trio_token()

    def deliver(outcome: Any) -> None:
        token.run_sync_soon(trio.lowlevel.reschedule, task, outcome)

    trio.lowlevel.start_thread_soon(call, deliver)
    return cast(T, await trio.lowlevel.wait_task_rescheduled(_go_on))


def _go_on(_: Any) -> Abort:
    return Abort.FAILED
