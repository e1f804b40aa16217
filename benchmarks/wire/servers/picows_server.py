"""picows on uvloop: frames parsed and written in Cython. `picows_server PORT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from . import frames

members: set[WSTransport] = set()


class Listener(WSListener):
    """A socket that does what *on_text* says with each text."""

    def __init__(self, on_text: Callable[[WSTransport, bytes], None]) -> None:
        super().__init__()
        self._on_text = on_text

    def on_ws_connected(self, transport: WSTransport) -> None:
        members.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        members.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._on_text(transport, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def echo(transport: WSTransport, text: bytes) -> None:
    transport.send(WSMsgType.TEXT, text)


def broadcast(transport: WSTransport, text: bytes) -> None:
    _to_all(frames.broadcast(frames.TEXT))


def group(transport: WSTransport, text: bytes) -> None:
    for frame in frames.exchange():
        _to_all(frame)


def _to_all(frame: frames.Frame) -> None:
    payload = orjson.dumps(frame)
    for member in members:
        member.send(WSMsgType.TEXT, payload)


replies: set[asyncio.Task[None]] = set()


def stream(transport: WSTransport, text: bytes) -> None:
    task = asyncio.ensure_future(_reply(transport, cumulative=orjson.loads(text)["cumulative"]))
    replies.add(task)
    task.add_done_callback(replies.discard)


async def _reply(transport: WSTransport, *, cumulative: bool) -> None:
    for number in range(frames.CHUNKS + 1):
        transport.send(WSMsgType.TEXT, orjson.dumps(frames.chunk(number, cumulative=cumulative)))
        await asyncio.sleep(0)


ROUTES = {b"/echo": echo, b"/broadcast": broadcast, b"/group": group, b"/stream": stream}


def accept(request: WSUpgradeRequest) -> WSListener:
    return Listener(ROUTES[bytes(request.path)])


async def main() -> None:
    server = await ws_create_server(accept, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
