"""The socket as a connection sees it: text frames out, messages in. `AsgiTransport` is that of any server;
`StraightTransport`, in `straight.py`, has the TCP socket itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from .rfc6455 import TEXT, frame

Scope = MutableMapping[str, Any]
AsgiEvent = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiEvent]]
Send = Callable[[AsgiEvent], Awaitable[None]]


class Frames:
    """One text frame, or several in a row, made once for all the sockets that get them.

    Attributes:
        data: As they stand on the wire.
    """

    __slots__ = ("_sizes", "data")

    def __init__(self, *payloads: bytes) -> None:
        frames = [frame(TEXT, payload) for payload in payloads]
        self.data = b"".join(frames)
        self._sizes = [(len(whole), len(payload)) for whole, payload in zip(frames, payloads, strict=True)]

    @property
    def texts(self) -> list[str]:
        """What they say."""
        texts, end = [], 0
        for whole, payload in self._sizes:
            end += whole
            texts.append(self.data[end - payload : end].decode())
        return texts


class Transport(Protocol):
    """An accepted WebSocket. Writing to one that is gone does nothing.

    Attributes:
        at_once: May be shown messages as they come, while `receive` waits, and deals with as many as it can
            without waiting; how many it says.
    """

    at_once: Callable[[Sequence[str | bytes]], int] | None

    async def send(self, frames: Frames) -> None: ...
    async def close(self, code: int | None, reason: str) -> None:
        """Say goodbye. `receive` comes to its end soon after."""

    async def receive(self) -> list[str | bytes]:
        """The messages that came next, text or binary, at least one; none at the end."""


class AsgiTransport:
    """An accepted WebSocket of any ASGI server."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.at_once: Callable[[Sequence[str | bytes]], int] | None = None

    async def send(self, frames: Frames) -> None:
        for text in frames.texts:
            await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int | None, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def receive(self) -> list[str | bytes]:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return []
        text = event.get("text")
        return [event["bytes"] if text is None else text]
