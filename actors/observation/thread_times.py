"""What the machine gives a thread: how long it computed, and how long it was ready and got no processor."""

from __future__ import annotations

import os
import threading
import time
from io import FileIO

from attrs import frozen


@frozen
class Times:
    """Seconds, counted from some moment on: only differences tell something."""

    computed: float | None
    """By the thread; `None` where the system does not say."""
    held_off: float | None
    """The thread could have run, and the machine ran others; `None` where the system does not say."""
    process: float
    """Computed by all threads of the process."""


class ThreadTimes:
    """Reads the times of the thread that makes it; any thread may read."""

    def __init__(self) -> None:
        clock = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = clock and clock(threading.get_ident())
        self._file: FileIO | None
        try:
            self._file = open(f"/proc/self/task/{threading.get_native_id()}/schedstat", "rb", buffering=0)  # noqa: SIM115
        except OSError:
            self._file = None  # not Linux, or one that keeps it to itself

    def read(self) -> Times:
        return Times(self._computed(), self._held_off(), time.process_time())

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _computed(self) -> float | None:
        return None if self._clock is None else time.clock_gettime(self._clock)

    def _held_off(self) -> float | None:
        if self._file is None:
            return None
        try:
            # Three counts: nanoseconds on a processor, nanoseconds waiting for one, number of turns.
            return int(os.pread(self._file.fileno(), 100, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            self._file = None  # it promises nothing: do without, as elsewhere
            return None
