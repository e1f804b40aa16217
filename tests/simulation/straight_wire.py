"""A WebSocket over a byte stream in memory: the server has the socket port, the client speaks RFC 6455.

What the client says comes in pieces, of which each is on its way for a while; what the server says is taken
as far as there is room, or a part of it, or not at all while the line is stalled.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

import trio
from attrs import frozen

from server.connection.socket_port import Socket
from tests.simulated_socket import connected

from .frames import BREACHES, CLOSE, PING, PONG, TEXT, NoFrame, ServerFrames, closing, masked, message
from .recorded_socket import RecordedSocket
from .wire import Closed, Frame, Wire

if TYPE_CHECKING:
    from .witness import Witness

# Bytes that may be on their way to the server.
UP = 2**16
# How late, in seconds, a client may hear of things over a line that stalls.
LATEST = 60.0
# In so many seconds a server has hung up on somebody who left, in whatever way: two missed pings, a write
# that waits, a request under way.
HANGS_UP = 120.0
# How a client leaves. The last four wait for the server.
LOSES = ("aborts", "closes", "falls silent", "half-closes")
LEAVES = ("aborts", "closes", "half-closes", "says goodbye", "breaks the rules")
CODES = (None, 1000, 1001, 3000, 4999)


@frozen
class Weather:
    """What the network is like: how many bytes the server's system holds for a client, whether it takes less
    than there is room for, whether lines stall."""

    window: int
    short: bool
    stalls: bool


class StraightWire(Wire):
    """One that is served on the socket itself.

    Args:
        dice: Decide what becomes of the bytes.
        calm: Set once nothing stalls any more.
        half_written: Called when a frame is partly written.
        wrap: Put between the server and who records.
    """

    def __init__(
        self,
        witness: Witness,
        weather: Weather,
        dice: Random,
        calm: trio.Event,
        half_written: Callable[[str], None],
        wrap: Callable[[Socket, Witness], Socket],
    ) -> None:
        self._witness = witness
        self._dice = dice
        self._calm = calm
        self._stalls = weather.stalls and dice.random() < 0.5
        self._near, self._end = connected(weather.window, dice if weather.short else None)
        self._end.set_window(UP)
        self.recorded = RecordedSocket(self._near, witness, half_written)
        self.port = wrap(self.recorded, witness)
        """What the server gets."""
        self._up = bytearray()
        self._down: deque[Frame] = deque()
        self._frames = ServerFrames()
        self._gone: Closed | None = None
        self._departure: str | None = None
        self._stirred = trio.Event()

    @property
    def name(self) -> str:
        return self._witness.name

    @property
    def gone(self) -> bool:
        return self.recorded.over

    @property
    def left(self) -> bool:
        return self._departure is not None and not self.recorded.closed

    # -- the client

    def send(self, frame: Frame | str) -> None:
        dice = self._dice
        text = frame if isinstance(frame, str) else json.dumps(frame)
        if dice.random() < 0.1:
            text += " " * dice.choice((6_000, 70_000))
            self._witness.count("socket: long message")
        for number, piece in enumerate(message(text, dice, self.recorded.pings)):
            self._up += piece
            if number == 1:
                self._witness.count("socket: message in fragments")
        self._stir()

    async def receive(self) -> Frame:
        await trio.lowlevel.checkpoint()
        await self.recorded.answered.wait()
        while not self._down:
            if self._gone is not None:
                raise self._gone
            await self._read()
        return self._down.popleft()

    async def _read(self) -> None:
        data = await self._some()
        if not data:
            self._gone = Closed(1006)
            return
        try:
            for opcode, payload in self._frames.feed(data):
                self._take(opcode, payload)
        except (NoFrame, ValueError):
            self._end.abort()
            self._gone = Closed(1002)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._down.append(json.loads(payload))
        elif opcode == PING:
            self._up += masked(PONG, payload, self._dice)
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._gone = Closed(code, payload[2:].decode())
            if self._dice.random() < 0.8:
                self._up += closing(code if payload else None, self._dice)
            self._departure = "was told goodbye"
        self._stir()

    async def _some(self) -> bytes:
        """The bytes that came; none at the end."""
        with suppress(OSError, trio.ClosedResourceError):
            while True:
                await self._end.wait_readable()
                data = self._end.recv_nowait(2**14)
                if data is not None:
                    return data
        return b""

    def cut(self, *, arrives: bool = True) -> None:
        if self._departure is not None:
            return
        dice = self._dice
        self._departure = dice.choice(LEAVES if arrives else LOSES)
        self.recorded.excused = True
        self._witness.count(f"socket: client {self._departure}")
        if not arrives:
            del self._up[dice.randint(0, len(self._up)) :]
        match self._departure:
            case "says goodbye":
                code = dice.choice(CODES)
                self._up += closing(code, dice)
                self._witness.provoked.add(1005 if code is None else code)
            case "breaks the rules":
                frame, code = BREACHES[dice.choice(list(BREACHES))]
                self._up += frame
                self._witness.provoked.add(code)
            case "aborts" | "closes":
                with suppress(OSError):
                    self._end.send(bytes(self._up))
                self._up.clear()
                (self._end.abort if self._departure == "aborts" else self._end.close)()
        self._stir()

    # -- the network

    def hang_up(self) -> None:
        self.recorded.vanish()

    def opening(self, path: str, query: str, protocols: list[str]) -> bytes:
        """The first bytes that come: a handshake, and what came with it of what was sent ahead."""
        offers = f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n" if protocols else ""
        head = (
            f"GET {quote(path)}?{query} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUpgrade: websocket\r\n"
            f"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\n{offers}\r\n"
        )
        ahead = self._up[: self._dice.randint(0, len(self._up))]
        del self._up[: len(ahead)]
        return head.encode() + ahead

    async def carry(self) -> None:
        """Bring to the server what the client sends, to the end of the socket."""
        async with trio.open_nursery() as nursery:
            if self._stalls:
                self._witness.lag = LATEST
                self.recorded.excused = True
                nursery.start_soon(self._stall_now_and_then)
            with suppress(OSError, trio.ClosedResourceError):
                await self._carry_up()
            nursery.cancel_scope.cancel()

    async def _carry_up(self) -> None:
        dice = self._dice
        while True:
            while not self._up:
                if self._departure is not None:
                    await self._leave()
                    return
                await self._stirred.wait()
            pause = dice.choice((0.0, 0.0, 0.0, 0.001, 0.2))
            await trio.sleep(pause)
            size = len(self._up)
            most = size if dice.random() < 0.7 else dice.randint(0, size)
            try:
                del self._up[: self._end.send(bytes(self._up[:most]))]
            except BlockingIOError:
                await self._end.wait_writable()

    async def _leave(self) -> None:
        """Wait for the server to hang up on a client that left."""
        silent = self._departure == "falls silent"
        if self._departure == "half-closes":
            self._end.send_eof()
        with trio.move_on_after(HANGS_UP) as patience:
            if silent:
                await self.recorded.hung_up.wait()
            else:
                while await self._some():
                    pass
                self._end.close()
        if patience.cancelled_caught:
            self._witness.broken("who has left is hung up on", f"who {self._departure}")

    async def _stall_now_and_then(self) -> None:
        dice = self._dice
        while not self._calm.is_set():
            with trio.move_on_after(dice.expovariate(1 / 3)):
                await self._calm.wait()
                return
            end = dice.choice((self._near, self._near, self._end))
            end.stall()
            self._witness.count("socket: stall")
            with trio.move_on_after(dice.choice((0.01, 0.3, 2.0, 12.0))):
                await self._calm.wait()
            end.go_on()

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, trio.Event()
        stirred.set()
