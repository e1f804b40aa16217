"""LangBot's design in our own words: what first served the published document. `langbot_design PORT`.

Quart under hypercorn's asyncio worker; a queue for each socket, and a loop that takes from it with a time
limit of a second and writes JSON of its own for each socket; a reply is told as the whole text so far, each
time; nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, request, websocket

from . import frames

app = Quart(__name__)

Queue = asyncio.Queue[frames.Frame]
rooms: dict[tuple[str, str], set[Queue]] = {}
"""By pipeline and session type: everybody in one gets all that is said there."""
replies: set[asyncio.Task[None]] = set()


@app.get("/healthz")
async def health() -> str:
    return "ok"


@app.websocket("/api/v1/pipelines/<pipeline>/ws/connect")
async def connect(pipeline: str) -> None:
    queue: Queue = asyncio.Queue()
    room = rooms.setdefault((pipeline, websocket.args.get("session_type", "person")), set())
    room.add(queue)
    await websocket.accept()
    await websocket.send(json.dumps(frames.connected()))
    writer = asyncio.ensure_future(_write(queue))
    try:
        while True:
            frame = json.loads(await websocket.receive())
            if frame["type"] == "ping":
                await queue.put(frames.pong())
            elif frame["type"] == "message":
                await _say(room, frame)
    finally:
        room.discard(queue)
        writer.cancel()


async def _write(queue: Queue) -> None:
    while True:
        with suppress(asyncio.TimeoutError):
            frame = await asyncio.wait_for(queue.get(), 1.0)
            await websocket.send(json.dumps(frame))


async def _say(room: set[Queue], frame: frames.Frame) -> None:
    text = frame["message"][0]["text"]
    await _to_all(room, frames.said(text))
    reply = asyncio.ensure_future(_reply(room, 1 if text == frames.TEXT else frames.CHUNKS))
    replies.add(reply)
    reply.add_done_callback(replies.discard)


async def _reply(room: set[Queue], chunks: int) -> None:
    so_far = ""
    for _ in range(chunks):
        so_far += "ok" if chunks == 1 else frames.PIECE
        await _to_all(room, frames.answered(so_far, final=False))
        await asyncio.sleep(0)
    await _to_all(room, frames.answered(so_far, final=True))


async def _to_all(room: set[Queue], frame: frames.Frame) -> None:
    for queue in list(room):
        await queue.put(frame)


@app.post("/api/v1/pipelines/<pipeline>/ws/broadcast")
async def broadcast(pipeline: str) -> dict[str, object]:
    body = await request.get_json()
    for (where, _), room in list(rooms.items()):
        if where == pipeline:
            await _to_all(room, frames.broadcast(body["message"]))
    return {"code": 0, "msg": "ok", "data": {"message": "Broadcast sent successfully"}}


def main() -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.backlog = 4096
    config.loglevel = "WARNING"
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
