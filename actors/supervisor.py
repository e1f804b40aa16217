"""An actor that is there for its children."""

from __future__ import annotations

from typing import Never

from .actor import Actor


class Supervisor(Actor[Never]):
    """Has no messages. Start its children in `started`; see `budget`, `backoff` and `strategy`."""

    async def handle(self, message: Never) -> None:
        raise AssertionError("a supervisor has no messages")
