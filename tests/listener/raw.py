"""A client that sends what it is told to, byte by byte, and never means well."""

from __future__ import annotations

import socket
import struct

import attrs
import trio

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def upgrade(path: str = "/echo", *headers: str, version: str = "HTTP/1.1") -> bytes:
    """The head of a WebSocket handshake."""
    lines = [
        f"GET {path} {version}",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def header(opcode: int, size: int, *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame's header, its mask all zeros, so that payloads go as they are."""
    first, mask = (0x80 if fin else 0) | opcode, 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (bytes(4) if masked else b"")


def frame(opcode: int, payload: bytes | str = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """A whole frame."""
    data = payload.encode() if isinstance(payload, str) else payload
    return header(opcode, len(data), fin=fin, masked=masked) + data


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


@attrs.define(eq=False)
class Raw:
    """A TCP connection and what came over it."""

    stream: trio.abc.Stream
    buffer: bytes = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def head(self) -> str:
        """The next response's head, or what came of it before the end."""
        while b"\r\n\r\n" not in self.buffer and await self._more():
            pass
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    async def status(self) -> int | None:
        """The next response's status; none at the end."""
        head = await self.head()
        return int(head.split()[1]) if head else None

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame, as opcode and payload; none at the end."""
        if not await self._have(2):
            return None
        size, start = self.buffer[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            if not await self._have(start):
                return None
            size = int.from_bytes(self.buffer[2:start], "big")
        if not await self._have(start + size):
            return None
        opcode, payload = self.buffer[0] & 0x0F, self.buffer[start : start + size]
        self.buffer = self.buffer[start + size :]
        return opcode, payload

    async def message(self) -> str:
        """The next text message, whatever control frames come before it."""
        while (found := await self.frame()) is not None:
            if found[0] == TEXT:
                return found[1].decode()
        raise AssertionError("closed without a message")

    async def close_code(self) -> int | None:
        """The code of the Close that comes after whatever else; none if the connection just ended."""
        while (found := await self.frame()) is not None:
            if found[0] == CLOSE:
                return int.from_bytes(found[1][:2], "big") if found[1] else 1005
        return None

    async def end(self) -> bytes:
        """What still comes until the peer closes, cleanly or not."""
        while await self._more():
            pass
        return self.buffer

    def reset(self) -> None:
        """Cut the connection off with RST."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def _have(self, size: int) -> bool:
        while len(self.buffer) < size:
            if not await self._more():
                return False
        return True

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some(2**16)
        except trio.BrokenResourceError:
            return False
        self.buffer += data
        return bool(data)

    async def __aenter__(self) -> Raw:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self.stream)


async def connect(port: int) -> Raw:
    """A connection on which nothing has been said."""
    return Raw(await trio.open_tcp_stream("127.0.0.1", port))


async def websocket(port: int, path: str = "/echo") -> Raw:
    """A connection on which a WebSocket is open."""
    raw = await connect(port)
    await raw.send(upgrade(path))
    status = await raw.status()
    assert status == 101, status
    return raw
