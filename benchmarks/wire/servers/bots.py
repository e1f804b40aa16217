"""Our pipelines: they run in the measured server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from time import perf_counter

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


class Turns(trio.abc.Instrument):
    """Notes how long the turns of trio's loop last: for so long, all others wait."""

    limit = 0.005
    """Seconds that none should take."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        self.count = self.over = 0
        self.longest = 0.0
        self._began = perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        self._began = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        took = perf_counter() - self._began
        self.count += 1
        self.over += took > self.limit
        self.longest = max(self.longest, took)


_turns = Turns()


async def turns(turn: object) -> AsyncIterator[str]:
    """What was noted of the loop's turns since this was asked before; the first time, it begins to look."""
    yield json.dumps({"turns": _turns.count, "over": _turns.over, "longest_ms": _turns.longest * 1e3})
    _turns.begin_anew()
    trio.lowlevel.add_instrument(_turns)  # once is as good as twice
