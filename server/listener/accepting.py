"""Taking plain TCP connections in, as cheaply as they come: many come at once after a restart."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
import trio
from structlog.typing import FilteringBoundLogger

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# So many at a time; then others get a turn.
_AT_ONCE = 32
# Seconds after which the system may have what it lacked, such as a file descriptor.
_PAUSE = 0.1
# Bytes that the system keeps of what it can't send yet.
_UNSENT = 2**14

Begin = Callable[[socket.socket, Any], None]


async def accept(listening: socket.socket, begin: Begin) -> NoReturn:
    """Call *begin* with each connection to *listening* and the address of its peer, until cancelled.

    Then nobody can connect any more.
    """
    listening.setblocking(False)
    prepare(listening)
    with listening:
        while True:
            await trio.lowlevel.wait_readable(listening)
            try:
                for _ in range(_AT_ONCE):
                    begin(*listening.accept())
            except (BlockingIOError, ConnectionError):
                continue  # that was all; or one was gone before it was taken in
            except OSError as error:
                _log.warning("no connection can be taken in just now", error=error.strerror)
                await trio.sleep(_PAUSE)


def prepare(sock: socket.socket) -> None:
    """Set what trio sets on every stream; of a listening socket, its connections inherit it (tcp(7))."""
    if sock.family != socket.AF_UNIX:
        # A small frame is not to wait for the next one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What a slow reader does not take waits here, where it can be seen, and not in the system.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
