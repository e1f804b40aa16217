"""Straight WebSockets over connections that live in memory, with the peers at their other ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import trio
from attrs import define, field

from actors import ActorRef
from server.connection.framing import CLOSE, TEXT
from server.connection.socket_port import Bounds
from server.connection.straight import StraightTransport
from server.messages import ConnectionMessage, Dialect
from tests.simulated_socket import WINDOW, SimulatedSocket, connected

from .sockets import World


@define(eq=False)
class Peer:
    """The client's end: sends what bytes it likes, and reads when the test says so.

    Attributes:
        frames: What came, as opcode and payload; every one of them whole.
        read: How many bytes came.
        ended: Whether the server said that nothing follows; `reset`, that it cut the connection off.
    """

    socket: SimulatedSocket
    frames: list[tuple[int, bytes]] = field(factory=list)
    read: int = 0
    ended: bool = False
    reset: bool = False
    _buffer: bytes = b""

    def send(self, data: bytes) -> None:
        taken = 0
        while taken < len(data):
            assert self.socket.room, "there is no room for it"
            with suppress(BlockingIOError):  # a whim
                taken += self.socket.send(data[taken:])

    def take(self, most: int = 2**30) -> None:
        """Read what is there, so many bytes of it."""
        end = self.read + most
        while self.read < end and (data := self._next(end - self.read)) is not None:
            self.ended = data == b""
            if self.ended:
                break
            self.read += len(data)
            self._buffer += data
        while (size := _whole(self._buffer)) is not None:
            head = 2 if size < 128 else 4 if size < 2**16 + 4 else 10
            assert self._buffer[0] & 0x80, "the server never sends fragments"
            assert not any(opcode == CLOSE for opcode, _ in self.frames), "something follows the Close"
            self.frames.append((self._buffer[0] & 0x0F, self._buffer[head:size]))
            self._buffer = self._buffer[size:]

    def _next(self, most: int) -> bytes | None:
        try:
            return self.socket.recv_nowait(most)
        except ConnectionResetError:
            self.reset = True
            return None

    @property
    def torn(self) -> bytes:
        """What came of a frame that is not whole."""
        return self._buffer

    @property
    def texts(self) -> list[str]:
        return [payload.decode() for opcode, payload in self.frames if opcode == TEXT]

    @property
    def close(self) -> tuple[int | None, str] | None:
        """The code and reason of the Close, if one came."""
        if not self.frames or self.frames[-1][0] != CLOSE:
            return None
        payload = self.frames[-1][1]
        return (int.from_bytes(payload[:2], "big") if payload else None), payload[2:].decode()


def _whole(data: bytes) -> int | None:
    """How long the frame is that *data* begins with, if it is there."""
    if len(data) < 2:
        return None
    assert data[1] < 0x80, "the server never masks"
    size, head = data[1], 2
    if size > 125:
        head = 4 if size == 126 else 10
        if len(data) < head:
            return None
        size = int.from_bytes(data[2:head], "big")
    return head + size if len(data) >= head + size else None


@define(eq=False)
class Line:
    """A straight WebSocket with its actor, and a task that reads it to its end.

    Attributes:
        heard: The messages that came.
        at_leisure: While it is not set, nobody reads on after the next message.
        may_fail: What reading may fail with, to be kept in `failed`.
    """

    socket: SimulatedSocket
    peer: Peer
    transport: StraightTransport
    ref: ActorRef[ConnectionMessage]
    heard: list[str | bytes] = field(factory=list)
    at_leisure: trio.Event = field(factory=trio.Event)
    may_fail: tuple[type[Exception], ...] = ()
    failed: Exception | None = None
    _over: bool = False

    async def listen(self) -> None:
        try:
            while messages := await self.transport.receive():
                self.heard += messages
                await self.at_leisure.wait()
        except self.may_fail as error:
            self.failed = error
        self._over = True

    def is_over(self) -> bool:
        """Whether it was read to its end."""
        return self._over


@asynccontextmanager
async def line(
    world: World,
    bounds: Bounds | None = None,
    *,
    dialect: Dialect = "cumulative",
    window: int = WINDOW,
    whim: Random | None = None,
    first: bytes = b"",
) -> AsyncIterator[Line]:
    """A line that is being served as long as the block lasts."""
    ours, theirs = connected(window, whim)
    transport = StraightTransport(ours, bounds or Bounds(), first)
    it = Line(ours, Peer(theirs), transport, await world.adopt(transport, dialect))
    it.at_leisure.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.listen, name="reads the line")
        try:
            yield it
        finally:
            transport.abort()  # nobody is to wait for a peer that reads no more
        nursery.cancel_scope.cancel()
