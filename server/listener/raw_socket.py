"""A TCP socket as its application gets it: bytes in and out, at once as far as that goes."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable

import trio
from outcome import Error, Value

from .readiness import Readiness

Glance = Callable[[list[Callable[[], None]]], bool]
"""Looks at what has come, and says whether it is done with it. What it puts into the list is called soon."""


class RawSocket(socket.socket):
    """A connected socket that never blocks. Its end wakes waiters by `trio.ClosedResourceError`.

    It *is* the system's socket, so that a frame is written without another object in between.

    Args:
        sock: The socket that it is from now on; *sock* itself is closed.
        readiness: Tells when it can be read; without it, trio does.
    """

    __slots__ = ("_at_once", "_ended", "_may_have_more", "_reader", "_readiness")

    def __init__(self, sock: socket.socket, readiness: Readiness | None = None) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.setblocking(False)
        self._readiness = readiness
        self._may_have_more = False
        self._ended = False
        self._reader: trio.lowlevel.Task | None = None
        self._at_once: Glance | None = None
        if readiness is not None:
            readiness.enter(self.fileno(), self)

    def detach(self) -> int:
        """The system's number for it, for somebody else; this object is closed."""
        if self._readiness is not None and self.fileno() != -1:
            self._readiness.leave(self.fileno())
        return super().detach()

    def recv_nowait(self, most: int) -> bytes | None:
        """What has come, *most* bytes of it; nothing at the end, `None` while there is nothing.

        Raises:
            OSError: The peer is gone, or the socket closed.
        """
        try:
            data = self.recv(most)
        except BlockingIOError:
            self._may_have_more = self._ended
            return None
        if len(data) < most:
            # All of it; if more comes, there is another notice. The one of the end may have come with it.
            self._may_have_more = self._ended
        return data

    async def wait_readable(self, at_once: Glance | None = None) -> None:
        """Wait until something has come, or the end. One task may.

        *at_once* may be called when something has, in whatever task notices it; the wait goes on if it says
        that all is done with that. What it puts into the list is called when all others have been noticed.

        Raises:
            trio.ClosedResourceError: The socket was closed here.
            trio.BusyResourceError: Another task waits for it.
            Exception: What *at_once* raised.
        """
        if self.fileno() == -1:
            raise trio.ClosedResourceError
        if self._readiness is None:
            await trio.lowlevel.wait_readable(self)
        elif self._may_have_more:
            await trio.lowlevel.checkpoint()
        else:
            if self._reader is not None:
                raise trio.BusyResourceError("another task reads this socket already")
            self._reader = trio.lowlevel.current_task()
            self._at_once = at_once
            await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def notice(self, later: list[Callable[[], None]], *, ends: bool) -> bool:
        """Something has come, and if it *ends*, nothing will after that; whether it was dealt with.

        What is put into *later* is to be called before anybody else runs.
        """
        self._may_have_more = True
        self._ended |= ends
        if self._reader is None:
            return False
        if self._at_once is not None:
            try:
                done = self._at_once(later)
            except Exception as error:
                # Not the trouble of whoever noticed.
                self._wake_reader(error)
                return False
            if done and not self._may_have_more:
                return True
        self._wake_reader()
        return False

    async def wait_writable(self) -> None:
        """Wait until the system may take something.

        Raises:
            trio.ClosedResourceError: The socket was closed here.
        """
        if self.fileno() == -1:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self)

    def wake(self) -> None:
        """Have whoever waits stop waiting, as if the socket had been closed."""
        if self.fileno() != -1:
            trio.lowlevel.notify_closing(self)
        self._wake_reader(trio.ClosedResourceError())

    def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it; the system still delivers what it took."""
        if self.fileno() != -1:
            self.wake()
            if self._readiness is not None:
                self._readiness.leave(self.fileno())
            super().close()

    def abort(self) -> None:
        """Cut it off at once: the system forgets what the peer did not take."""
        if self.fileno() != -1:
            # Zero seconds of lingering.
            with contextlib.suppress(OSError):
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def _wake_reader(self, error: Exception | None = None) -> None:
        reader, self._reader = self._reader, None
        self._at_once = None  # it leads back here: a cycle, which would wait for a collection
        if reader is not None:
            trio.lowlevel.reschedule(reader, Value(None) if error is None else Error(error))

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._reader = self._at_once = None
        return trio.lowlevel.Abort.SUCCEEDED
