"""A TCP socket as its application gets it: bytes in and out, at once as far as that goes."""

from __future__ import annotations

import contextlib
import socket
import struct

import trio


class RawSocket:
    """A connected socket, taken out of *stream*. Its end wakes waiters by `trio.ClosedResourceError`."""

    __slots__ = ("_sock",)

    def __init__(self, stream: trio.SocketStream) -> None:
        taken = stream.socket
        family, kind, proto = taken.family, taken.type, taken.proto
        self._sock = socket.socket(family, kind, proto, fileno=taken.detach())
        self._sock.setblocking(False)

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
            return self._sock.recv(most)
        except BlockingIOError:
            return None

    async def wait_readable(self) -> None:
        """Wait until something has come, or the end.

        Raises:
            trio.ClosedResourceError: The socket was closed here.
        """
        if self._sock.fileno() == -1:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._sock)

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

    def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it; the system still delivers what it took."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def abort(self) -> None:
        """Cut it off at once: the system forgets what the peer did not take."""
        if self._sock.fileno() != -1:
            # Zero seconds of lingering.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()
