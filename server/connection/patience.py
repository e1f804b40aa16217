"""How long the door waits for the actors, and how often it asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors import ActorDied, RecipientStopped

R = TypeVar("R")

# How long the actors may take to let a socket in.
PATIENCE = 10.0
# How often whoever is asked may crash, or be gone again, before it answers.
ATTEMPTS = 3


async def insist(ask: Callable[[], Awaitable[R]]) -> R:
    """What *ask* returns, which is called again if the one it asks left just before, or crashed.

    Raises:
        ActorError: There is no answer to be had.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await ask()
        except (ActorDied, RecipientStopped):
            continue  # there will be another
    return await ask()
