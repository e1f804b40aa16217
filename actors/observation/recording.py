"""Recording a running system for a while, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import trio
from attrs import frozen

from actors.system import ActorSystem

from .chrome_trace import to_chrome, to_chrome_json
from .recorder import Recorded, Recorder

_REST = 0.001


@frozen
class Recording:
    """What was recorded. Plain data: it may be looked at in any thread."""

    recorded: Recorded

    def to_chrome(self) -> dict[str, Any]:
        """A Chrome trace as a JSON object, which opens in ui.perfetto.dev. For small recordings."""
        return to_chrome(self.recorded)

    def to_json(self) -> Iterator[bytes]:
        """The same as text, in parts of some 40 kB, once: what was told is let go of.

        For a worker thread: half a million events take some 15 seconds, with rests in which trio's thread has
        the interpreter.
        """
        return to_chrome_json(self.recorded, rest=lambda: time.sleep(_REST), forget=True)


async def record(
    system: ActorSystem, seconds: float, *, limit: int = 500_000, long_step: float = 0.05
) -> Recording:
    """What *system*, and the whole trio run that it is part of, do in so many seconds.

    It is slowed down meanwhile, and left as it was, also if this is cancelled.

    Args:
        limit: How many events are kept, the newest.
        long_step: Seconds after which a task's step is a long one, to be named with its line of code.
    """
    recorder = Recorder(limit=limit, long_step=long_step)
    handling = [
        (cell.address, cell.current)
        for cell in system._world.cells.values()
        if cell.current is not None and cell.current.message is not None
    ]
    with recorder.attached(system, handling):
        await trio.sleep(seconds)
    return Recording(recorder.hand_over())
