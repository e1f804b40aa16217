"""How a command ends that is told to while it makes a file: tidily, as at Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal asked the process to end. `status` is what a shell makes of that signal."""

    def __init__(self, number: int) -> None:
        self.status = 128 + number
        super().__init__(self.status)


@contextmanager
def ending_tidily() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Ended` in the block, so that what it began is cleared away.

    For the main thread, and not around `trio.run`, whose inside no exception may hit.
    """
    # Whom `nohup` has ignore a signal goes on ignoring it.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> None:
        # A terminal's end is told twice, by the kernel and by the shell: once is enough.
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    try:
        for number in taken:
            signal.signal(number, end)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
