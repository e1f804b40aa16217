"""Writes lines to standard error from a thread of its own, so that nobody who logs ever waits for it.

A terminal that was stopped, a pipe whose reader sleeps, a slow disk: each would hold the whole server in the
middle of a handler.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TextIO

# Bytes that may wait while standard error takes nothing.
ROOM = 4 * 2**20
# Seconds at the end of the process for what waits.
PATIENCE = 1.0


class Writer:
    """Takes lines without waiting, and writes them in order.

    Args:
        stream: Where to; `None` (as `sys.stderr` is in a process that was started without) for nowhere.
        room: Bytes that may wait. What comes beyond is lost.
        tell_lost: Makes the line that says, once lines can be written again, how many were lost.

    Not to be used by two threads at once, which `logging`'s lock around each handler sees to.
    """

    def __init__(
        self, stream: TextIO | None, *, room: int = ROOM, tell_lost: Callable[[int], bytes] | None = None
    ) -> None:
        self._write = _write_of(stream)
        self._room = room
        self._tell_lost = tell_lost
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        # Each counted by one thread only.
        self._taken = self._done = 0
        self._refused = self._failed = self._told = 0
        threading.Thread(target=self._run, name="log writer", daemon=True).start()

    @property
    def lost(self) -> int:
        """Lines that were not written, because there was no room or because writing failed."""
        return self._refused + self._failed

    def put(self, line: bytes) -> None:
        """Have *line*, with its line end, written as soon as possible, or lost."""
        if self._taken - self._done + len(line) > self._room:
            self._refused += 1
            return
        self._taken += len(line)
        self._queue.put(line)

    def flush(self, seconds: float = PATIENCE) -> bool:
        """Wait until all that was put is written, *seconds* at most; whether it is."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def _run(self) -> None:
        torn = False
        while True:
            match self._queue.get():
                case threading.Event() as written:
                    written.set()
                case bytes() as line:
                    torn = not self._try(b"\n" + line if torn else line)
                    self._done += len(line)
                    if not torn and self._tell_lost is not None and (lost := self.lost) > self._told:
                        notice = self._tell_lost(lost - self._told)
                        self._told = lost
                        torn = not self._try(notice)

    def _try(self, line: bytes) -> bool:
        try:
            self._write(line)
        except Exception:
            # A boundary: a reader that is gone, a full disk, a closed file. It is counted, for there is no
            # place left to say so; the next line may fare better.
            self._failed += 1
            return False
        return True


def _write_of(stream: TextIO | None) -> Callable[[bytes], None]:
    if stream is None:
        return _write_nowhere
    try:
        fd = stream.fileno()
    except (OSError, ValueError, AttributeError):

        def write(line: bytes) -> None:
            stream.write(line.decode(errors="replace"))
            stream.flush()

        return write
    return lambda line: _write_all(fd, line)


def _write_nowhere(line: bytes) -> None:
    raise io.UnsupportedOperation("there is no standard error")


def _write_all(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            # Somebody we share it with made it non-blocking.
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll(1000)
