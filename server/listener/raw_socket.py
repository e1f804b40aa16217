"""A TCP socket as its application gets it: bytes in and out, at once as far as that goes."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import trio
from outcome import Error, Value

from .readiness import Readiness

_CLOSED = socket.socket()
_CLOSED.close()


class RawSocket:
    """A connected socket. Its end wakes waiters by `trio.ClosedResourceError`.

    Args:
        readiness: Tells when it can be read; without it, trio does.
    """

    __slots__ = ("_at_once", "_ended", "_may_have_more", "_reader", "_readiness", "_sock")

    def __init__(self, sock: socket.socket, readiness: Readiness | None = None) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._readiness = readiness
        self._may_have_more = False
        self._ended = False
        self._reader: trio.lowlevel.Task | None = None
        self._at_once: Callable[[], bool] | None = None
        if readiness is not None:
            readiness.enter(sock.fileno(), self)

    @property
    def family(self) -> int:
        """That of its addresses."""
        return self._sock.family

    @property
    def name(self) -> Any:
        """Its own address, as the system tells it."""
        return self._sock.getsockname()

    @property
    def open(self) -> bool:
        """Whether it was not closed here."""
        return self._sock.fileno() != -1

    def release(self) -> socket.socket:
        """The system's socket, for somebody else; this one is of no use any more."""
        if self._readiness is not None and self.open:
            self._readiness.leave(self._sock.fileno())
        sock, self._sock = self._sock, _CLOSED
        return sock

    def send_nowait(self, data: bytes | memoryview) -> int:
        """How many bytes of *data* the system took just now.

        Raises:
            OSError: The peer is gone, or the socket closed.
        """
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def recv_nowait(self, most: int) -> bytes | None:
        """What has come, *most* bytes of it; nothing at the end, `None` while there is nothing.

        Raises:
            OSError: The peer is gone, or the socket closed.
        """
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            self._may_have_more = self._ended
            return None
        if len(data) < most:
            # All of it; if more comes, there is another notice. The one of the end may have come with it.
            self._may_have_more = self._ended
        return data

    async def wait_readable(self, at_once: Callable[[], bool] | None = None) -> None:
        """Wait until something has come, or the end. One task may.

        *at_once* may be called when something has, in whatever task notices it; the wait goes on if it says
        that all is done with that.

        Raises:
            trio.ClosedResourceError: The socket was closed here.
            trio.BusyResourceError: Another task waits for it.
            Exception: What *at_once* raised.
        """
        if self._sock.fileno() == -1:
            raise trio.ClosedResourceError
        if self._readiness is None:
            await trio.lowlevel.wait_readable(self._sock)
        elif self._may_have_more:
            await trio.lowlevel.checkpoint()
        else:
            if self._reader is not None:
                raise trio.BusyResourceError("another task reads this socket already")
            self._reader = trio.lowlevel.current_task()
            self._at_once = at_once
            await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def notice(self, *, ends: bool) -> None:
        """Something has come; if it *ends*, nothing will after that."""
        self._may_have_more = True
        self._ended |= ends
        if self._reader is None:
            return
        if self._at_once is not None:
            try:
                done = self._at_once()
            except Exception as error:
                # Not the trouble of whoever noticed.
                self._wake_reader(error)
                return
            if done and not self._may_have_more:
                return
        self._wake_reader()

    async def wait_writable(self) -> None:
        """Wait until the system may take something.

        Raises:
            trio.ClosedResourceError: The socket was closed here.
        """
        if self._sock.fileno() == -1:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self._sock)

    def wake(self) -> None:
        """Have whoever waits stop waiting, as if the socket had been closed."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
        self._wake_reader(trio.ClosedResourceError())

    def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it; the system still delivers what it took."""
        if self._sock.fileno() != -1:
            self.wake()
            if self._readiness is not None:
                self._readiness.leave(self._sock.fileno())
            self._sock.close()

    def abort(self) -> None:
        """Cut it off at once: the system forgets what the peer did not take."""
        if self._sock.fileno() != -1:
            # Zero seconds of lingering.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def _wake_reader(self, error: Exception | None = None) -> None:
        reader, self._reader = self._reader, None
        self._at_once = None  # it leads back here: a cycle, which would wait for a collection
        if reader is not None:
            trio.lowlevel.reschedule(reader, Value(None) if error is None else Error(error))

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._reader = self._at_once = None
        return trio.lowlevel.Abort.SUCCEEDED
