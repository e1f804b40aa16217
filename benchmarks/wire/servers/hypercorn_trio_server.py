"""Raw ASGI under hypercorn's trio worker, as it comes, with orjson. `hypercorn_trio_server PORT`."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from . import frames

members: dict[object, trio.MemorySendChannel[str]] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/echo":
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
        else:
            await _with_mailbox(scope["path"], receive, send)


async def _with_mailbox(path: str, receive: Any, send: Any) -> None:
    """A channel and a writer for each socket."""
    outgoing, mailbox = trio.open_memory_channel[str](256)
    key = object()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write, mailbox, send)
        members[key] = outgoing
        try:
            while (event := await receive())["type"] == "websocket.receive":
                if path == "/broadcast":
                    _to_all(frames.broadcast(frames.TEXT))
                elif path == "/group":
                    for frame in frames.exchange():
                        _to_all(frame)
                else:
                    nursery.start_soon(_reply, outgoing, orjson.loads(event["text"])["cumulative"])
        finally:
            del members[key]
            nursery.cancel_scope.cancel()


async def _write(mailbox: trio.MemoryReceiveChannel[str], send: Any) -> None:
    async for text in mailbox:
        await send({"type": "websocket.send", "text": text})


def _to_all(frame: frames.Frame) -> None:
    text = orjson.dumps(frame).decode()
    for member in members.values():
        member.send_nowait(text)


async def _reply(outgoing: trio.MemorySendChannel[str], cumulative: bool) -> None:
    for number in range(frames.CHUNKS + 1):
        await outgoing.send(orjson.dumps(frames.chunk(number, cumulative=cumulative)).decode())


def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.backlog = 4096
    config.loglevel = "WARNING"
    trio.run(serve, app, config)


if __name__ == "__main__":
    main()
