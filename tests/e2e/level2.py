"""A client of level 2, on trio-websocket."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from .client import Client, Frame

SUBPROTOCOL = "triologue.v1"

# How long a handshake may take, in seconds.
HANDSHAKE = 5.0


class TurnedAway(Exception):
    """The server's first word was not `connected`."""


LOST = (
    ConnectionClosed,
    HandshakeError,
    OSError,
    TurnedAway,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What a client meets whose server goes away, at whichever step."""

# An abortive close: the peer gets a reset instead of an orderly end.
_ABORT = struct.pack("ii", 1, 0)


def query(**fields: str | None) -> str:
    """A query string of those *fields* that have a value."""
    return urlencode({name: value for name, value in fields.items() if value is not None})


def is_end(frame: Frame) -> bool:
    """Whether *frame* is a reply's last, in whichever dialect."""
    return frame["type"] == "response" and frame["data"].get("is_final") is True


def seq_of(frame: Frame) -> int | None:
    """The place of what *frame* tells among the durable events; `None` if it tells of none."""
    match frame["type"]:
        case "user_message" | "edited":
            return int(frame["data"]["seq"])
        case "response" if is_end(frame):
            return int(frame["data"]["seq"])
        case "recalled" | "reset" | "read":
            return int(frame["seq"])
        case _:
            return None


class Level2(Client):
    """One socket of level 2; remembers what it was told, and so where a next socket would go on.

    `said` is the text of the newest reply, as far as it came.
    """

    def __init__(self, connection: WebSocketConnection) -> None:
        super().__init__(connection)
        self.frames: list[Frame] = []
        self._epoch = ""
        self._seq = 0
        self._reply = 0
        self.said = ""

    @property
    def cursor(self) -> str:
        """The place after everything durable that was received."""
        return f"{self._epoch}.{self._seq}"

    @property
    def user(self) -> str:
        """The id by which others know whoever is here."""
        return str(self.connected["user"]["id"])

    async def receive(self) -> Frame:
        """The next frame."""
        frame = await super().receive()
        self.frames.append(frame)
        if frame["type"] in ("connected", "gap"):
            self._epoch, _, seq = frame["cursor"].rpartition(".")
            self._seq = int(seq)
        elif (place := seq_of(frame)) is not None:
            self._seq = place
        if frame["type"] == "response":
            self._grow(frame["data"])
        return frame

    def _grow(self, data: dict[str, Any]) -> None:
        if data["id"] != self._reply:
            self._reply, self.said = data["id"], ""
        self.said = data["content"] if "content" in data else self.said[: data["offset"]] + data["delta"]

    async def until_said(self, text: str) -> None:
        """Read until the newest reply says just *text*."""
        while self.said != text:
            await self.receive()

    async def post(self, text: str, name: str, **more: Any) -> Frame:
        """Say *text* under the `client_msg_id` *name*; the `ack` or `error` that answers it."""
        await self.say(text, client_msg_id=name, **more)
        return await self.answer_to(name)

    async def answer_to(self, name: str) -> Frame:
        """The next `ack` or `error` for the frame called *name*."""
        return (await self.until(lambda frame: _answers(frame, name)))[-1]

    async def request(self, name: str, **frame: Any) -> Frame | None:
        """Send *frame* and see it dealt with: the `error` that it met, or `None`."""
        seen = len(self.frames)
        await self.send({**frame, "client_msg_id": name})
        await self.ping()
        return next((one for one in self.frames[seen:] if _answers(one, name)), None)

    async def end_of(self, reply: int | None = None) -> dict[str, Any]:
        """The last frame's data of reply *reply*, or of the next that ends."""
        found = await self.until(lambda f: is_end(f) and reply in (None, f["data"]["id"]))
        data: dict[str, Any] = found[-1]["data"]
        return data

    async def until_type(self, kind: str) -> Frame:
        """The next frame of type *kind*; what comes before it is in `frames`."""
        return (await self.until(lambda frame: frame["type"] == kind))[-1]

    async def until_farewell(self) -> tuple[list[Frame], int, str]:
        """Every frame that still comes, the close code, and the words that came with it."""
        seen = len(self.frames)
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - whichever read meets the end
            while True:
                await self.receive()
        reason = closed.value.reason
        assert reason is not None
        return self.frames[seen:], reason.code, reason.reason or ""

    async def tear(self) -> None:
        """Lose the connection as a network does: a reset, and no word of goodbye."""
        stream = self.socket._stream
        assert isinstance(stream, trio.SocketStream)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        await trio.aclose_forcefully(stream)

    async def send_half(self, frame: Frame) -> None:
        """Only the beginning of *frame*, as a masked text frame that says it is whole."""
        payload = json.dumps(frame).encode()
        assert 126 <= len(payload) < 65536
        head = struct.pack("!BBH", 0x81, 0x80 | 126, len(payload))
        await self.socket._stream.send_all(head + bytes(4) + payload[: len(payload) // 2])


def _answers(frame: Frame, name: str) -> bool:
    return frame["type"] in ("ack", "error") and frame.get("client_msg_id") == name


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Level2]:
    """An open socket on which nothing has been read yet; it is gone without a word after the block."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    # trio-websocket leaves the stream open when the server closed first, or the handshake is cut short.
    async with aborting(await trio.open_tcp_stream(address.hostname, address.port)) as stream:
        try:
            async with trio.open_nursery() as nursery:
                # trio-websocket would wait for ever for a server that is gone before its answer.
                with trio.move_on_after(HANDSHAKE) as handshake:
                    connection = await wrap_client_stream(
                        nursery,
                        stream,
                        address.netloc,
                        f"{address.path}?{address.query}",
                        subprotocols=[SUBPROTOCOL],
                        max_message_size=2**28,
                        message_queue_size=1000,
                    )
                if handshake.cancelled_caught:
                    raise TurnedAway("no handshake")
                assert connection.subprotocol == SUBPROTOCOL
                yield Level2(connection)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None


@asynccontextmanager
async def aborting(stream: trio.SocketStream) -> AsyncIterator[trio.SocketStream]:
    """*stream*, closed without ceremony after the block."""
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def entered(url: str, *, seconds: float = 30.0) -> AsyncIterator[Level2]:
    """A client that has heard `connected`; nothing in the block may take longer than *seconds*."""
    with trio.fail_after(seconds):
        async with opened(url) as client:
            client.connected = await client.receive()
            if client.connected["type"] != "connected":
                raise TurnedAway(client.connected)
            yield client


def chunks(
    frames: list[Frame], wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """The data of the `response` frames among *frames* that are *wanted*."""
    return [frame["data"] for frame in frames if frame["type"] == "response" and wanted(frame["data"])]
