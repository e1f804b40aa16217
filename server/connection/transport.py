"""The socket as a connection sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
AsgiEvent = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiEvent]]
Send = Callable[[AsgiEvent], Awaitable[None]]


class Transport(Protocol):
    """Takes whole text frames. Sending to a socket that is gone does nothing."""

    async def send(self, text: str) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


class AsgiTransport:
    """An accepted WebSocket of any ASGI server."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
