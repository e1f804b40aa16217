"""The last resort at a server's end: what can't be waited for must not keep the process.

A call into a store that hangs is never abandoned, lest two write at once; but whoever deploys was promised an
end. What was acknowledged is durable by then, and the next process goes on from there as after a crash.
"""

from __future__ import annotations

import os
import threading

# A status of sysexits.h: something was in the way for now.
EX_TEMPFAIL = 75
_LAST_WORDS = b"The server did not end in time: something that can't be stopped was still at work\n"


class Deadline:
    """Ends the process at once, *seconds* after `begin`, unless it is `met` by then."""

    def __init__(self, seconds: float) -> None:
        # A thread, since a loop that hangs is one of the things to expect.
        self._timer = threading.Timer(seconds, _end)
        self._timer.daemon = True

    def begin(self) -> None:
        """Let it run from now on. Repeated calls change nothing."""
        if self._timer.ident is None:
            self._timer.start()

    def met(self) -> None:
        """The end is near enough."""
        self._timer.cancel()


def _end() -> None:
    try:
        os.write(2, _LAST_WORDS)
    finally:
        os._exit(EX_TEMPFAIL)
