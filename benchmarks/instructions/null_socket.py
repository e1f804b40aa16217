"""Clients that cost nothing: what the server writes is taken, and what they say is there at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from typing import Any

import trio
import trio.testing

from server.assembly import listener_limits
from server.config import Config
from server.connection.socket_port import Glance
from server.protocol import SUBPROTOCOL
from tests.in_memory import PIPELINE, Server


class NullSocket:
    """The socket port that a straight WebSocket is served on, with a network that takes everything.

    Attributes:
        writes: How often the server wrote.
    """

    def __init__(self) -> None:
        self.writes = 0
        self._come: bytes | None = None
        self._at_once: Glance | None = None
        self._reader = trio.Event()
        self._enough = 0
        self._written = trio.Event()

    def bring(self, data: bytes) -> None:
        """Have *data* come from the client, as `RawSocket` notices it."""
        self._come = data
        later: list[Callable[[], None]] = []
        if self._at_once is None or not self._at_once(later):
            self._reader.set()
        for each in later:
            each()

    async def wait_written(self, writes: int) -> None:
        """Wait until the server has written so often, in all."""
        if self.writes < writes:
            self._enough, self._written = writes, trio.Event()
            await self._written.wait()

    # -- the socket port

    def send(self, data: bytes | memoryview, /) -> int:
        self.writes += 1
        if self.writes == self._enough:
            self._written.set()
        return len(data)

    def recv_nowait(self, most: int) -> bytes | None:
        data, self._come = self._come, None
        return data

    async def wait_readable(self, at_once: Glance | None = None) -> None:
        self._at_once, self._reader = at_once, trio.Event()
        try:
            await self._reader.wait()
        finally:
            self._at_once = None

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def wake(self) -> None:
        self._come = b""
        self._reader.set()

    send_eof = close = abort = wake


class _Offer:
    """A handshake that is answered by taking the socket; also the listener that offers it."""

    def __init__(self, socket: NullSocket) -> None:
        self.socket = socket
        self.listener = self
        self.limits = listener_limits(Config())
        self.serve: Any = None

    async def accept(self, subprotocol: str | None) -> bytes:
        return b""

    async def refuse(self, status: int, reason: str) -> None:
        raise AssertionError(reason)

    def hold_nowait(self, size: int) -> bool:
        return True

    def give_back(self, size: int) -> None:
        pass


async def connect(server: Server, query: str = "") -> NullSocket:
    """A client of level 2, which was told `connected`."""
    socket = NullSocket()
    offer = _Offer(socket)
    scope: Mapping[str, Any] = {
        "type": "websocket",
        "path": f"/api/v1/pipelines/{PIPELINE}/ws/connect",
        "query_string": query.encode(),
        "scheme": "ws",
        "headers": [],
        "subprotocols": [SUBPROTOCOL],
        "extensions": {"triologue.stream": offer},
    }
    await server.doors.websocket(scope, _nothing, _nothing)
    server.nursery.start_soon(offer.serve, name="client")
    await socket.wait_written(1)
    await trio.testing.wait_all_tasks_blocked()
    return socket


def text_frame(payload: bytes) -> bytes:
    """A client's text frame, masked, of at most 65,535 bytes."""
    size, mask = len(payload), b"\x3c\xa1\x5e\x07"
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + mask + bytes(byte ^ key for byte, key in zip(payload, cycle(mask), strict=False))


async def _nothing(*_: object) -> Any:
    raise AssertionError("the socket was taken over")
