"""One clock for all straight sockets: pings each, and cuts off those from which nothing comes."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol

import trio
from attrs import define

# Others run after so many pings.
_TURN = 32


class Beating(Protocol):
    """A socket as far as its life is concerned."""

    @property
    def last_life(self) -> float:
        """When something last came, or could not have been heard."""

    def abort(self) -> None: ...


@define(eq=False)
class Watched:
    """One socket that is looked after; without it, it is not any more."""

    socket: Beating | None
    ping: Callable[[], None]
    next_ping: float

    def forget(self) -> None:
        self.socket, self.ping = None, _nothing


class Heartbeat:
    """Looks after sockets while it runs.

    Args:
        interval: Seconds between two pings.
        patience: Seconds beyond them in which at least the answer has to come.
    """

    def __init__(self, interval: float, patience: float) -> None:
        self._interval = interval
        self._patience = patience
        self._due: list[tuple[float, int, Watched]] = []
        self._count = count().__next__
        self._sooner = trio.Event()

    def watch(self, socket: Beating, ping: Callable[[], None]) -> Watched:
        """Look after *socket*: call *ping* at intervals, and abort it if it falls silent."""
        watched = Watched(socket, ping, trio.current_time() + self._interval)
        self._put(watched.next_ping, watched)
        return watched

    async def run(self) -> None:
        """Look after them, for ever."""
        while True:
            for number in count(1):
                now = trio.current_time()
                if not self._due or self._due[0][0] > now:
                    break
                self._look_at(heappop(self._due)[2], now)
                if number % _TURN == 0:
                    await trio.lowlevel.checkpoint()
            with trio.move_on_at(self._due[0][0] if self._due else inf):
                await self._sooner.wait()
                self._sooner = trio.Event()

    def _look_at(self, watched: Watched, now: float) -> None:
        socket = watched.socket
        if socket is None:
            return
        gives_up = socket.last_life + self._interval + self._patience
        if now >= gives_up:
            watched.forget()
            socket.abort()
            return
        if now >= watched.next_ping:
            watched.next_ping = now + self._interval
            watched.ping()
        self._put(min(watched.next_ping, gives_up), watched)

    def _put(self, when: float, watched: Watched) -> None:
        if not self._due or when < self._due[0][0]:
            self._sooner.set()
        heappush(self._due, (when, self._count(), watched))


def _nothing() -> None:
    pass
