"""How long the door waits for the actors, and how it asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from actors import ActorDied, RecipientStopped

R = TypeVar("R")

# How long the actors may take to let a socket in.
PATIENCE = 10.0
# How soon whoever was asked in vain is asked again; then twice as long after each time.
FIRST_PAUSE = 0.05


async def insist(ask: Callable[[], Awaitable[R]]) -> R:
    """What *ask* returns, which is called again if the one it asks left just before, or crashed.

    For ten seconds at most, so that a crash that is mended keeps nobody out; less and less often, because
    it may be the question that makes it crash.

    Raises:
        ActorError: There is no answer to be had.
    """
    pause, gives_up = FIRST_PAUSE, trio.current_time() + PATIENCE
    while True:
        try:
            return await ask()
        except (ActorDied, RecipientStopped):
            if trio.current_time() + pause > gives_up:
                raise
        await trio.sleep(pause)
        pause *= 2
