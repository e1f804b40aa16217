"""A raw WebSocket of level 2 that reads only when told to, with little room in the kernel for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .client import Frame
from .level2 import SUBPROTOCOL

# Small, so that what the reader does not read fills the server's side soon.
ROOM = 2048


class Lazy:
    """One socket; `connected` has been received."""

    def __init__(self, url: str, port: int) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self.socket.connect(("127.0.0.1", port))
        path = "/" + url.split("/", 3)[3]
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self.reader = self.socket.makefile("rb")
        while self.reader.readline() != b"\r\n":
            pass
        self.connected = self.frame()

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def frame(self) -> Frame:
        """The next text frame."""
        while True:
            opcode, payload = self._next()
            if opcode == 1:
                frame: Any = json.loads(payload)
                assert isinstance(frame, dict)
                return frame
            assert opcode == 9, (opcode, payload)

    def until_closed(self) -> tuple[list[Frame], int]:
        """Every frame that still comes, and the close code."""
        frames = []
        while True:
            opcode, payload = self._next()
            if opcode == 1:
                frames.append(json.loads(payload))
            elif opcode != 9:
                return frames, int.from_bytes(payload[:2]) if opcode == 8 else 1006

    def _next(self) -> tuple[int, bytes]:
        head = self.reader.read(2)
        if len(head) < 2:
            return -1, b""
        length = head[1] & 127
        if length == 126:
            length = int.from_bytes(self.reader.read(2))
        elif length == 127:
            length = int.from_bytes(self.reader.read(8))
        return head[0] & 15, self.reader.read(length)


@contextmanager
def lazy(url: str, port: int) -> Iterator[Lazy]:
    """A client that reads nothing by itself."""
    client = Lazy(url, port)
    try:
        yield client
    finally:
        client.close()
