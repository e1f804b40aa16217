"""Connections in the test's own process, where its clock, its listener and its tasks are at hand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app

from server.listener import Listener, ListenerLimits
from server.listener.connection import Connection
from tests.listener.raw import Raw, upgrade


def listener(**limits: Any) -> Listener:
    """A listener whose peers need not answer pings, which come in nobody's way."""
    return Listener(("127.0.0.1:0",), True, ListenerLimits(**{"ping_interval": 1e9, **limits}))


@attrs.define(eq=False)
class Diary:
    """An application that takes a socket, writes down what it receives, and leaves when told to."""

    messages: list[str | bytes] = attrs.field(factory=list)
    code: int | None = None
    leave: trio.Event = attrs.field(factory=trio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close, send)
            while (event := await receive())["type"] == "websocket.receive":
                self.messages.append(event["text"] if event["bytes"] is None else event["bytes"])
            self.code = event["code"]
            nursery.cancel_scope.cancel()

    async def _close(self, send: Any) -> None:
        await self.leave.wait()
        await send({"type": "websocket.close", "code": 4000})


@attrs.frozen(eq=False)
class Socket:
    """An open WebSocket, seen from all its sides."""

    connection: Connection
    peer: Raw
    diary: Diary
    scope: trio.CancelScope


@contextlib.asynccontextmanager
async def socket(under: Listener) -> AsyncIterator[Socket]:
    """A WebSocket under this listener, whose peer leaves at the end of the block."""
    ours, theirs = trio.socket.socketpair()
    diary = Diary()
    served: Any = diary
    app = wrap_app(served, 0, "asgi")
    connection = Connection(app, Config(), WorkerContext(None), {}, under, trio.SocketStream(ours))
    async with Raw(trio.SocketStream(theirs)) as peer, trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await peer.send(upgrade())
        assert await peer.status() == 101
        yield Socket(connection, peer, diary, nursery.cancel_scope)
        await trio.aclose_forcefully(peer.stream)
