"""Running a system the same way twice: a test that fails by a rare order of events can be repeated.

Trio puts the tasks that are ready in a random order, on purpose. Here that order comes from a seed, and time
is simulated: it passes only when every task waits, and then at once. The actors' own dice, of `ActorSystem`
and of the test, must be seeded by the caller.

What a seed can't repeat: threads, sockets, subprocesses, `time.time`, and the ids of messages, which go on
counting from one run to the next.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from trio._core import _run as trio_run  # private: trio has no public way to seed its scheduler
from trio.testing import MockClock

T = TypeVar("T")

SEED = "ACTORS_SEED"
"""The environment variable that names the one seed to run."""


def run_seeded(
    async_fn: Callable[..., Awaitable[T]],
    *args: Any,
    seed: int,
    instruments: tuple[trio.abc.Instrument, ...] = (),
) -> T:
    """What `trio.run(async_fn, *args)` returns, with simulated time and tasks scheduled by *seed*.

    Not from inside a running trio. An error that comes out of it says how to repeat the run.
    """
    scheduler, was_allowed = trio_run._r, trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    state = scheduler.getstate()
    _allow_deterministic_scheduling(True)
    scheduler.seed(seed)
    try:
        return trio.run(async_fn, *args, clock=MockClock(autojump_threshold=0), instruments=list(instruments))
    except BaseException as error:
        error.add_note(f"To repeat this run: {SEED}={seed}")
        raise
    finally:
        scheduler.setstate(state)
        _allow_deterministic_scheduling(was_allowed)


def given_seed() -> int | None:
    """The seed that the environment asks for, if it does."""
    text = os.environ.get(SEED)
    return None if text is None else int(text)


def _allow_deterministic_scheduling(allowed: bool) -> None:
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]
