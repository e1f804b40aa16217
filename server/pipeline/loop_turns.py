"""Whether others had their turn: how often trio's loop has gone round."""

from __future__ import annotations

import trio


class LoopTurns(trio.abc.Instrument):
    """Counts the turns of trio's loop: whoever sees the count change has let others run.

    Attributes:
        count: How many there were.
        began: When the one that goes on began, on trio's clock: who looks need not ask the clock.
    """

    def __init__(self) -> None:
        self._clock = trio.lowlevel.current_clock().current_time
        self.count = 0
        self.began = self._clock()

    def after_io_wait(self, timeout: float) -> None:
        self.count += 1
        self.began = self._clock()


_of_the_loop: trio.lowlevel.RunVar[LoopTurns] = trio.lowlevel.RunVar("loop_turns")


def loop_turns() -> LoopTurns:
    """Those of the loop that runs; one count for all who look at it."""
    try:
        return _of_the_loop.get()
    except LookupError:
        turns = LoopTurns()
        trio.lowlevel.add_instrument(turns)
        _of_the_loop.set(turns)
        return turns
