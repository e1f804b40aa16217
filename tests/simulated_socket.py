"""A TCP connection in memory: both ends are the socket port that a straight WebSocket is served on.

It passes the suite that real sockets pass, `tests/connection/test_socket_port.py`, and is as bad as they may
be: it takes a few bytes only or none, gives them out in other pieces, ends in one direction, is cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio

from server.connection.socket_port import Glance

# Bytes on their way in one direction, in case nothing else is said.
WINDOW = 2**16


class _Way:
    """One direction: what one end sent and the other has not read yet."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.data = bytearray()
        self.stalled = False
        self.ended = False
        self.taken = 0
        """Bytes that were ever taken, whatever became of them."""

    @property
    def room(self) -> int:
        return 0 if self.stalled else max(0, self.window - len(self.data))


class SimulatedSocket:
    """One end. All that is said of `server.connection.socket_port.Socket` and of `RawSocket` holds.

    Attributes:
        peer: The other end.
    """

    peer: SimulatedSocket

    def __init__(self, out: _Way, back: _Way, whim: Random | None) -> None:
        self._out = out
        self._back = back
        self._whim = whim
        self._closed = False
        self._reset: ConnectionResetError | None = None
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()
        self._wakes = 0
        self._at_once: Glance | None = None
        self._noticed = False
        self._failed: Exception | None = None

    # -- what the test or the simulation decides

    @property
    def sent(self) -> int:
        """How many bytes this end's `send` ever took."""
        return self._out.taken

    @property
    def unread(self) -> int:
        """How many bytes wait for this end to read them."""
        return len(self._back.data)

    @property
    def room(self) -> int:
        """How many bytes could be taken now."""
        return self._out.room

    @property
    def closed(self) -> bool:
        """Whether this end was closed here."""
        return self._closed

    def set_window(self, window: int) -> None:
        """From now on, so many bytes that this end sent may wait to be read; those that do stay."""
        self._out.window = window
        self._writers.unpark_all()

    def stall(self) -> None:
        """Take nothing from this end until `go_on`, however much is read: the line is dead, as it seems."""
        self._out.stalled = True

    def go_on(self) -> None:
        self._out.stalled = False
        self._writers.unpark_all()

    # -- the socket port

    def send(self, data: bytes | memoryview, /) -> int:
        self._check()
        if self._out.ended:
            raise BrokenPipeError("this end said that it sends no more")
        taken = self._some(min(len(data), self._out.room), least=0)
        if data and not taken:
            raise BlockingIOError("it is full")
        self._out.taken += taken
        if taken and self.peer._closed:
            self._cut()  # as its system answers for a socket that it does not know any more
        elif taken:
            self._out.data += data[:taken]
            self.peer._notice()
        return taken

    def recv_nowait(self, most: int) -> bytes | None:
        self._check()
        back = self._back
        if not back.data:
            return b"" if back.ended else None
        size = self._some(min(most, len(back.data)), least=1)
        data = bytes(back.data[:size])
        del back.data[:size]
        self.peer._writers.unpark_all()
        return data

    async def wait_readable(self, at_once: Glance | None = None) -> None:
        if self._readers:
            raise trio.BusyResourceError
        self._at_once, self._noticed = at_once, False
        try:
            await self._wait(self._readers, for_reading=True)
        finally:
            self._at_once = None
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    async def wait_writable(self) -> None:
        await self._wait(self._writers, for_reading=False)

    def wake(self) -> None:
        self._wakes += 1
        self._readers.unpark_all()
        self._writers.unpark_all()

    def send_eof(self) -> None:
        self._out.ended = True
        self.peer._readers.unpark_all()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.wake()
        if self._back.data:
            self.peer._cut()  # closed with unread input
        elif self._reset is None:
            self.send_eof()

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self.wake()
            self.peer._cut()

    # -- inside

    def _check(self) -> None:
        if self._closed:
            raise OSError("this end was closed")
        if self._reset is not None:
            raise self._reset

    def _cut(self) -> None:
        """RST comes: nothing is left of either direction."""
        if not self._closed:
            self._reset = ConnectionResetError("the peer cut it off")
        self._out.data.clear()
        self._back.data.clear()
        self._readers.unpark_all()
        self._writers.unpark_all()

    def _notice(self) -> None:
        """Something has come: whoever waits for it deals with it at once, or wakes."""
        if self._at_once is not None and len(self._readers) and self._some(1, least=0):
            later: list[Callable[[], None]] = []
            try:
                done = self._at_once(later)
            except Exception as error:
                done, self._failed = False, error  # not the trouble of whoever noticed
            if not done or self._back.data:
                self._noticed = True
                self._readers.unpark_all()
            for each in later:
                each()
            return
        self._readers.unpark_all()

    def _some(self, most: int, *, least: int) -> int:
        """*most*, or by whim fewer."""
        if self._whim is None or most <= least:
            return most
        return self._whim.choice((most, most, least, self._whim.randint(least, most)))

    async def _wait(self, lot: trio.lowlevel.ParkingLot, *, for_reading: bool) -> None:
        if self._closed:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise trio.ClosedResourceError
        if len(lot):
            raise trio.BusyResourceError
        wakes = self._wakes
        await trio.lowlevel.checkpoint()
        while self._wakes == wakes:
            if self._ready(for_reading):
                return
            await lot.park()
        raise trio.ClosedResourceError

    def _ready(self, for_reading: bool) -> bool:
        if self._reset is not None:
            return True
        if for_reading:
            return self._noticed or bool(self._back.data) or self._back.ended
        return self._out.room > 0 or self._out.ended


def connected(window: int = WINDOW, whim: Random | None = None) -> tuple[SimulatedSocket, SimulatedSocket]:
    """Two ends of one connection.

    Args:
        window: How many bytes may be on their way in each direction.
        whim: Decides when fewer bytes than possible are taken, or given out.
    """
    there, back = _Way(window), _Way(window)
    one, other = SimulatedSocket(there, back, whim), SimulatedSocket(back, there, whim)
    one.peer, other.peer = other, one
    return one, other
