"""A client of the document, on trio-websocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

Frame = dict[str, Any]

# With this, a handshake is not plain (`server/listener/upgrade.py`), and its WebSocket goes hypercorn's way.
NOT_PLAIN = [(b"Trailer", b"none")]
always: list[tuple[bytes, bytes]] = []
"""Headers of all handshakes; see the fixture `path`."""


class Client:
    """One socket; `connected` has been received unless the server refused."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self.connected: Frame = {}

    async def receive(self) -> Frame:
        """The next frame."""
        frame = json.loads(await self.socket.get_message())
        assert isinstance(frame, dict)
        return frame

    async def send(self, frame: Any) -> None:
        await self.socket.send_message(json.dumps(frame))

    async def say(self, text: str, **more: Any) -> None:
        await self.send({"type": "message", "message": [{"type": "Plain", "text": text}], **more})

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Every frame up to and with the first that is *wanted*."""
        frames = []
        while True:
            frames.append(await self.receive())
            if wanted(frames[-1]):
                return frames

    async def until_final(self) -> list[Frame]:
        """Every frame up to and with the end of a reply."""
        return await self.until(is_final)

    async def until_closed(self) -> tuple[list[Frame], int]:
        """Every frame that still comes, and the close code."""
        frames: list[Frame] = []
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - whichever read meets the end
            while True:
                frames.append(await self.receive())
        assert closed.value.reason is not None
        return frames, closed.value.reason.code

    async def ping(self) -> None:
        """See that the socket lives and everything sent before has been dealt with."""
        await self.send({"type": "ping"})
        await self.until(lambda frame: frame["type"] == "pong")


def is_final(frame: Frame) -> bool:
    return frame["type"] == "response" and frame["data"]["is_final"] is True


@asynccontextmanager
async def connect(
    url: str,
    *,
    seconds: float = 30.0,
    headers: Any = None,
    ssl_context: SSLContext | None = None,
    level: int = 0,
) -> AsyncIterator[Client]:
    """A client that has heard `connected`; nothing in the block may take longer than *seconds*."""
    with trio.fail_after(seconds):
        async with refused(url, headers=headers, ssl_context=ssl_context, level=level) as client:
            client.connected = await client.receive()
            assert client.connected["type"] == "connected", client.connected
            yield client


@asynccontextmanager
async def refused(
    url: str, *, headers: Any = None, ssl_context: SSLContext | None = None, level: int = 0
) -> AsyncIterator[Client]:
    """An open socket on which nothing has been read yet."""
    async with open_websocket_url(
        url,
        ssl_context=ssl_context,
        subprotocols=["triologue.v1"] if level == 2 else None,
        extra_headers=[*always, *(headers or [])],
        max_message_size=2**28,
        message_queue_size=1000,
    ) as socket:
        try:
            yield Client(socket)
        finally:
            # trio-websocket leaves the stream open when the server closed first.
            await trio.aclose_forcefully(socket._stream)
