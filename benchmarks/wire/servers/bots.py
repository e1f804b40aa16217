"""Our pipelines: they run in the measured server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

PIECE = "twenty bytes of text"
CHUNKS = 100


async def pieces(turn: object) -> AsyncIterator[str]:
    """A reply of a hundred pieces, as fast as the server takes them."""
    for _ in range(CHUNKS):
        yield PIECE
        await trio.lowlevel.checkpoint()


async def short(turn: object) -> AsyncIterator[str]:
    """The shortest reply."""
    yield "ok"
