"""Raw ASGI under uvicorn with websockets-sansio, on uvloop, with orjson. `uvicorn_server PORT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
import uvicorn

from . import frames

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

members: dict[object, Send] = {}


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await ROUTES[scope["path"]](receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def echo(receive: Receive, send: Send) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def broadcast(receive: Receive, send: Send) -> None:
    async for _ in _as_member(receive, send):
        await _to_all(frames.broadcast(frames.TEXT))


async def group(receive: Receive, send: Send) -> None:
    async for _ in _as_member(receive, send):
        for frame in frames.exchange():
            await _to_all(frame)


async def _as_member(receive: Receive, send: Send) -> Any:
    key = object()
    members[key] = send
    try:
        while (event := await receive())["type"] == "websocket.receive":
            yield event["text"]
    finally:
        del members[key]


async def _to_all(frame: frames.Frame) -> None:
    event = {"type": "websocket.send", "text": orjson.dumps(frame).decode()}
    for send in list(members.values()):
        await send(event)


async def stream(receive: Receive, send: Send) -> None:
    """A queue and a writer for each socket, as is usual."""
    queue: asyncio.Queue[str] = asyncio.Queue(256)
    tasks = {asyncio.ensure_future(_write(queue, send))}
    try:
        while (event := await receive())["type"] == "websocket.receive":
            reply = asyncio.ensure_future(_reply(queue, orjson.loads(event["text"])["cumulative"]))
            tasks.add(reply)
            reply.add_done_callback(tasks.discard)
    finally:
        for task in list(tasks):
            task.cancel()


async def _write(queue: asyncio.Queue[str], send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "text": await queue.get()})


async def _reply(queue: asyncio.Queue[str], cumulative: bool) -> None:
    for number in range(frames.CHUNKS + 1):
        await queue.put(orjson.dumps(frames.chunk(number, cumulative=cumulative)).decode())
        await asyncio.sleep(0)


ROUTES = {"/echo": echo, "/broadcast": broadcast, "/group": group, "/stream": stream}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        loop="uvloop",
        http="h11",
        lifespan="off",
        log_level="error",
        access_log=False,
        backlog=4096,
        ws_per_message_deflate=False,
    )
