"""`apps.app` on TCP sockets that are handed over: `-m tests.listener.straight BIND…`.

What an ASGI server does for an application is done here, with our own transport on the socket.
"""

from __future__ import annotations

from typing import Any

import trio

from server.connection.framing import BINARY, PING, TEXT, frame
from server.connection.heartbeat import Heartbeat
from server.connection.socket_port import Bounds
from server.connection.straight import StraightTransport
from tests.listener import apps
from tests.listener.apps import Receive, Scope, Send
from tests.listener.embedded import main


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["extensions"]["triologue.listener"].hands_over = True
    offer = scope["extensions"].get("triologue.stream")
    if offer is None:
        await apps.app(scope, receive, send)
    else:
        offer.serve = Taken(scope, offer).serve


class Taken:
    """A socket that was taken, as an ASGI application sees it; and who writes to it, in turn."""

    def __init__(self, scope: Scope, offer: Any) -> None:
        self._scope = scope
        self._offer = offer
        self._transport: StraightTransport | None = None
        self._refused = False
        self._writing = trio.Semaphore(1)
        self._nursery: trio.Nursery
        self._events: list[dict[str, Any]] = [{"type": "websocket.connect"}]

    async def serve(self) -> None:
        async with trio.open_nursery() as self._nursery:
            await apps.app(self._scope, self._receive, self._send)
            if self._transport is not None:
                while await self._transport.receive():
                    pass
            self._nursery.cancel_scope.cancel()

    # -- for the application

    async def _receive(self) -> dict[str, Any]:
        if not self._events:
            assert self._transport is not None
            self._events = [_event(message) for message in await self._transport.receive()]
        return self._events.pop(0) if self._events else {"type": "websocket.disconnect", "code": self._code}

    async def _send(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "websocket.accept":
                await self._accept(event.get("subprotocol"))
            case "websocket.send":
                text = event.get("text")
                await self._write(
                    frame(BINARY, event["bytes"]) if text is None else frame(TEXT, text.encode())
                )
            case "websocket.close" if self._transport is None:
                await self._offer.refuse(403, "Forbidden")
            case "websocket.close":
                await self._close(event.get("code", 1000), event.get("reason") or "")

    async def _accept(self, subprotocol: str | None) -> None:
        first = await self._offer.accept(subprotocol)
        listener = self._offer.listener
        limits = listener.limits
        bounds = Bounds(
            limits.message_size,
            limits.message_timeout,
            limits.send_timeout,
            listener.hold_nowait,
            listener.give_back,
        )
        self._transport = StraightTransport(self._offer.socket, bounds, first)
        self._transport.output.owner = self
        heartbeat = Heartbeat(limits.ping_interval, limits.pong_timeout)
        heartbeat.watch(self._transport, lambda: self.control(frame(PING, b""), "ping"))
        self._nursery.start_soon(heartbeat.run)

    @property
    def _code(self) -> int:
        assert self._transport is not None
        last = self._transport._last
        return 1006 if last is None else 1005 if last.code is None else last.code

    # -- for the transport

    def control(self, data: bytes, key: str) -> None:
        assert self._transport is not None
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            self._nursery.start_soon(self._write, data)
        else:
            left = self._transport.output.write_nowait(data)
            if left is None:
                self._writing.release()
            else:
                self._nursery.start_soon(self._finish, left)

    def go_on(self, data: bytes) -> None:
        raise AssertionError("nothing is gathered here")

    def goodbye(self, code: int | None) -> None:
        self._nursery.start_soon(self._close, code, "")

    async def _write(self, data: bytes) -> None:
        assert self._transport is not None
        async with self._writing:
            await self._transport.output.write(data)

    async def _finish(self, left: bytes) -> None:
        assert self._transport is not None
        await self._transport.output.write(left)
        self._writing.release()

    async def _close(self, code: int | None, reason: str) -> None:
        assert self._transport is not None
        async with self._writing:
            await self._transport.close(code, reason)


def _event(message: str | bytes) -> dict[str, Any]:
    text, data = (message, None) if isinstance(message, str) else (None, message)
    return {"type": "websocket.receive", "text": text, "bytes": data}


if __name__ == "__main__":
    trio.run(main, app)
