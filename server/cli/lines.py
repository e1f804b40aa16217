"""Lines from standard input, without keeping the event loop from anything else."""

from __future__ import annotations

import os

import trio


class Lines:
    """The lines of file descriptor *fd*; None ends them. One reader at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._ended = False

    async def read(self) -> str | None:
        """The next line without its end, None at the end of input."""
        while b"\n" not in self._rest and not self._ended:
            # Not `sys.stdin`: a thread left behind in there holds a lock that Python wants at exit.
            # Left behind on purpose, since nothing ends the read of a terminal; one thread needs no limiter.
            data = await trio.to_thread.run_sync(os.read, self._fd, 65536, abandon_on_cancel=True)  # noqa: TID251
            self._ended = not data
            self._rest += data
        if not self._rest:
            return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").removesuffix("\r")
