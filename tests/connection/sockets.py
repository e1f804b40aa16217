"""Connections of a running system, and the socket behind one: as slow as the test wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import trio

from actors import ActorRef, ActorSystem, Supervisor
from server.connection import Connections, Greeting
from server.connection.framing import texts
from server.connection.straight import StraightTransport
from server.messages import Adopt, ConnectionMessage, ConnectionsMessage, Dialect

from .happenings import GREETING


class GatedTransport:
    """Takes a frame when the test lets it; keeps what was written."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.frames: list[str] = []
        self.closed: tuple[int | None, str] | None = None
        self._gate = trio.Semaphore(0)
        self._is_open = is_open

    def open(self) -> None:
        """Take everything from now on."""
        self._is_open = True
        self.let(1000)

    def let(self, frames: int) -> None:
        """Take so many more."""
        for _ in range(frames):
            self._gate.release()

    async def send(self, frames: bytes) -> None:
        if not self._is_open:
            await self._gate.acquire()
        self.frames += texts(frames)

    async def close(self, code: int | None, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = (code, reason)


class Root(Supervisor):
    """A system with nothing but connections."""

    def __init__(self, mailbox: int, mailbox_bytes: int, greeting: Greeting, random: Random) -> None:
        self._make = partial(
            Connections,
            mailbox=mailbox,
            mailbox_bytes=mailbox_bytes,
            greeting=greeting,
            patience=20.0,
            random=random,
        )
        self.connections: ActorRef[ConnectionsMessage]
        self.ready = trio.Event()

    async def started(self) -> None:
        self.connections = self.spawn(self._make, name="connections")
        self.ready.set()


class World:
    """A running system; `adopt` makes a connection."""

    def __init__(self, system: ActorSystem, connections: ActorRef[ConnectionsMessage]) -> None:
        self.system = system
        self._connections = connections
        self._count = 0

    async def adopt(
        self, transport: GatedTransport | StraightTransport, dialect: Dialect
    ) -> ActorRef[ConnectionMessage]:
        self._count += 1
        adopt = Adopt(f"c{self._count}", transport, dialect)
        return await self._connections.ask(adopt, timeout=10)


@asynccontextmanager
async def running(
    *,
    mailbox: int = 256,
    mailbox_bytes: int = 2**20,
    heartbeat: float = GREETING.heartbeat,
    random: Random | None = None,
) -> AsyncIterator[World]:
    """A system in which connections can live. It is stopped at the end, in good order."""
    system = ActorSystem()
    root = Root(mailbox, mailbox_bytes, Greeting(heartbeat, 1024), random or Random(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: system.run(lambda: root, name="test"))
        await root.ready.wait()
        yield World(system, root.connections)
        system.stop()
