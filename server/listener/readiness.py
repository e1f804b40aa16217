"""Which sockets can be read: one wait of trio's for all of them, instead of one each.

trio arms the kernel's notice anew for every wait: a system call and some bookkeeping for each small frame.
Here a socket is entered once, edge-triggered (epoll(7)), and whoever reads remembers whether there is more.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Protocol

import trio

_AT_ONCE = 1024
_TURN = 32
_ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR if hasattr(select, "epoll") else 0


class Noticing(Protocol):
    """A socket that is told."""

    def notice(self, later: list[Callable[[], None]], *, ends: bool) -> bool:
        """Something has come, and if it *ends*, nothing will after that; whether it was dealt with.

        What is left to be done goes into *later*; it must not raise.
        """
        ...


class Readiness:
    """Tells sockets that something has come, while it runs."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, Noticing] = {}
        self._context = Context()

    def enter(self, fd: int, socket: Noticing) -> None:
        """Tell *socket* from now on, also of what has come already. Closing *fd* ends that for the system."""
        self._sockets[fd] = socket
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def leave(self, fd: int) -> None:
        """Tell it no more; before it is closed, or read by somebody else."""
        if self._sockets.pop(fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(fd)

    def pump(self) -> bool:
        """Tell them now, in the calling task, which does not wait; whether all that came was dealt with."""
        if self._epoll.closed:
            return False
        ready = self._epoll.poll(0, _TURN)
        # Nothing that comes of it is the caller's doing.
        return not ready or (self._context.run(self._tell, self._named(ready)) and len(ready) < _TURN)

    async def run(self) -> None:
        """Tell them, until cancelled."""
        with self._epoll:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                ready = self._named(self._epoll.poll(0, _AT_ONCE))
                self._tell(ready[:_TURN])
                for start in range(_TURN, len(ready), _TURN):
                    # Some do their work at once.
                    await trio.lowlevel.checkpoint()
                    self._tell(ready[start : start + _TURN])

    def _named(self, ready: Iterable[tuple[int, int]]) -> list[tuple[Noticing | None, int]]:
        # At once: in a turn of others a number may be given to another socket.
        return [(self._sockets.get(fd), flags) for fd, flags in ready]

    def _tell(self, ready: Iterable[tuple[Noticing | None, int]]) -> bool:
        done = True
        later: list[Callable[[], None]] = []
        try:
            for socket, flags in ready:
                if socket is not None and not socket.notice(later, ends=bool(flags & _ENDING)):
                    done = False
        finally:
            for each in later:
                each()
        return done


def readiness() -> Readiness | None:
    """One, where the system has epoll."""
    make: Callable[[], Readiness] | None = Readiness if hasattr(select, "epoll") else None
    return None if make is None else make()
