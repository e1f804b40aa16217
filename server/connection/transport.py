"""The socket as a connection sees it: text frames out, messages in. `AsgiTransport` is that of any server;
`StraightTransport`, in `straight.py`, has the TCP socket itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from .framing import texts

Scope = MutableMapping[str, Any]
AsgiEvent = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiEvent]]
Send = Callable[[AsgiEvent], Awaitable[None]]


class Transport(Protocol):
    """An accepted WebSocket. Writing to one that is gone does nothing.

    Attributes:
        at_once: May be shown messages as they come, while `receive` waits, and deals with as many as it can
            without waiting; how many it says.
    """

    at_once: Callable[[Sequence[str | bytes]], int] | None

    async def send(self, frames: bytes) -> None:
        """Write text frames, whole ones, as they stand on the wire."""

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

    async def send(self, frames: bytes) -> None:
        for text in texts(frames):
            await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int | None, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def receive(self) -> list[str | bytes]:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return []
        text = event.get("text")
        return [event["bytes"] if text is None else text]
