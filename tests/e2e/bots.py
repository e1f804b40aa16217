"""Two bots as somebody might write them: one waits for what never comes, the other holds the loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import trio

from server.chat import Turn


async def weather(turn: Turn) -> AsyncIterator[str]:
    """Wait for a forecast that nobody sends."""
    yield "Let me look. "
    came = trio.Event()
    await came.wait()


async def report(turn: Turn) -> AsyncIterator[str]:
    """Fetch something, without a thought for the others."""
    yield "One moment. "
    yield fetch()


def fetch() -> str:
    time.sleep(0.8)
    return "done"
