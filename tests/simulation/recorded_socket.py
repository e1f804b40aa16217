"""The server's end of a straight wire, with somebody who looks on.

Every byte that the socket takes is held against RFC 6455, and each frame is shown to the socket's witness, as
soon as its last byte was taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from server.connection.socket_port import Glance
from server.connection.straight import CLOSE_TIMEOUT
from tests.simulated_socket import SimulatedSocket

from .frames import CLOSE, PONG, TEXT, NoFrame, ServerFrames

if TYPE_CHECKING:
    from .witness import Witness


class RecordedSocket:
    """The socket port of one wire.

    Args:
        half_written: Called with the connection's id when the socket has taken a part of what was written.

    Attributes:
        answer: The answer to the handshake, once it came, or the end; then *answered* is set.
        pings: The payloads of all Pings that the client sent.
        hung_up: Set once the socket is closed.
        over: Whether nothing more may come of it: the server said goodbye, or it is closed.
        excused: Whether a torn frame is the network's doing, or the client's.
    """

    def __init__(
        self, socket: SimulatedSocket, witness: Witness, half_written: Callable[[str], None]
    ) -> None:
        self._socket = socket
        self._half_written = half_written
        self._witness = witness
        self._frames = ServerFrames()
        self._rest = b""
        self._lost = False
        self._said_goodbye_at: float | None = None
        self.answer = b""
        self.answered = trio.Event()
        self.pings: set[bytes] = set()
        self.hung_up = trio.Event()
        self.over = False
        self.excused = False

    @property
    def closed(self) -> bool:
        return self._socket.closed

    @property
    def torn(self) -> bool:
        """Whether a frame is partly written."""
        return self._frames.torn

    # -- the socket port

    def send(self, data: bytes | memoryview, /) -> int:
        if not self.answer and not self.closed:
            # A socket on which nothing was sent yet takes all of the handshake's answer.
            self.answer = bytes(data)
            self.answered.set()
            return len(data)
        rest, count = self._rest, self._witness.count
        follows = bytes(data[: len(rest)]) == rest
        self._witness.check("what was not taken comes next", follows, f"{bytes(data[:20])!r}")
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            self._rest = bytes(data)
            count("socket: full")
            self._half_written(self._witness.connection_id)
            raise
        if taken and rest:
            count("socket: resumed write")
        self._rest = bytes(data[taken:])
        if self._rest:
            count("socket: short write")
            self._half_written(self._witness.connection_id)
        self._look_at(bytes(data[:taken]))
        return taken

    def recv_nowait(self, most: int) -> bytes | None:
        return self._socket.recv_nowait(most)

    async def wait_readable(self, at_once: Glance | None = None) -> None:
        await self._socket.wait_readable(at_once)

    async def wait_writable(self) -> None:
        await self._socket.wait_writable()

    def wake(self) -> None:
        self._socket.wake()

    def send_eof(self) -> None:
        self._socket.send_eof()

    def close(self) -> None:
        if not self.closed:
            self._witness.check("no frame is torn", self.excused or not self.torn, "closed within one")
            self._socket.close()
            self._end(1006)

    def abort(self) -> None:
        if not self.closed:
            said = self._said_goodbye_at
            early = said is not None and trio.current_time() < said + CLOSE_TIMEOUT
            self._witness.check("a goodbye is not cut off", self.excused or not early, "aborted")
            self._witness.count("socket: aborted")
            self.vanish()

    def vanish(self) -> None:
        """Its process is gone, or ends: neither has to explain itself."""
        self._socket.abort()
        self._end(1006)

    # -- looking on

    def _look_at(self, data: bytes) -> None:
        if self._lost or not data:
            return
        try:
            for opcode, payload in self._frames.feed(data):
                self._witness.check("a Close is the last", self._said_goodbye_at is None, f"then {opcode}")
                self._see(opcode, payload)
        except (NoFrame, ValueError) as error:
            self._lost = True  # where the next one begins
            self._witness.broken("bytes are whole frames", str(error))

    def _see(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case _ if opcode == TEXT:
                self._witness.heard(json.loads(payload.decode()))
            case _ if opcode == CLOSE:
                self._said_goodbye_at = trio.current_time()
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                self._end(code, payload[2:].decode())
            case _ if opcode == PONG:
                self._witness.check("a Pong answers a Ping", payload in self.pings, f"{payload!r}")
                self._witness.count("socket: pong")
            case _:
                self._witness.count("socket: ping")

    def _end(self, code: int, reason: str = "") -> None:
        if self.closed:
            self.answered.set()
            self.hung_up.set()
        if not self.over:
            self.over = True
            self._witness.ended(code, reason)
