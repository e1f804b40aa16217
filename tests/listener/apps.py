"""A small ASGI application that does what a path names, and tells over HTTP what it has seen.

It runs under stock and guarded hypercorn alike, so it imports nothing of ours. `LIFESPAN` in the environment
chooses how its lifespan behaves, `LIMITS` (JSON) replaces the listener's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import trio

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Seen:
    """What happened so far, and a way to wait until something has."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._changed = trio.Event()

    def add(self, what: str) -> None:
        self.counts[what] += 1
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self, what: str) -> None:
        while not self.counts[what]:
            await self._changed.wait()


seen = Seen()
crash = trio.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].strip("/").replace("-", "_") or "hello"
    rooms: dict[str, Any] = WEBSOCKETS if scope["type"] == "websocket" else PAGES
    await rooms.get(name, missing)(scope, receive, send)


def listener_of(scope: Scope) -> Any:
    return scope.get("extensions", {}).get("triologue.listener")


# -- lifespan


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    how = os.environ.get("LIFESPAN", "")
    if how == "raise":
        raise RuntimeError("no database\nanywhere")
    if how == "none":
        return
    await receive()
    if how == "fail":
        await send({"type": "lifespan.startup.failed", "message": "storage: the disk is full\nreally"})
        return
    if how == "wait":
        print("waiting for the predecessor", file=sys.stderr, flush=True)
        await trio.sleep_forever()
    listener = listener_of(scope)
    if listener is not None:
        if limits := os.environ.get("LIMITS"):
            listener.limits = type(listener.limits)(**json.loads(limits))
        if how == "busy":
            listener.drained = trio.Event()
        print("loopback", listener.loopback_only, *listener.addresses, file=sys.stderr, flush=True)
    await send({"type": "lifespan.startup.complete"})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crash_on_demand)
        if how == "busy":
            nursery.start_soon(tell_of_drain, listener)
        await receive()
        print("lifespan.shutdown", file=sys.stderr, flush=True)
        if how == "stuck":
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()
    await send({"type": "lifespan.shutdown.complete"})


async def crash_on_demand() -> None:
    await crash.wait()
    raise RuntimeError("the root actor died")


async def tell_of_drain(listener: Any) -> None:
    await listener.draining.wait()
    print("still busy", file=sys.stderr, flush=True)


# -- pages


async def answer(send: Send, body: object, status: int = 200) -> None:
    text = json.dumps(body).encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "hello")


async def missing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    else:
        await answer(send, "missing", 404)


async def status(scope: Scope, receive: Receive, send: Send) -> None:
    listener = listener_of(scope)
    open_connections = None if listener is None else listener.open_connections
    with open("/proc/self/statm") as statm:  # noqa: ASYNC230 - not a disk
        rss = int(statm.read().split()[1]) * resource.getpagesize()
    tasks = [task.name for task in _tasks()]
    await answer(send, {"pid": os.getpid(), "rss": rss, "open": open_connections, "tasks": tasks})


def _tasks() -> list[trio.lowlevel.Task]:
    found: list[trio.lowlevel.Task] = []
    root = trio.lowlevel.current_root_task()
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        found.append(task)
        for nursery in task.child_nurseries:
            waiting.extend(nursery.child_tasks)
    return found


async def wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer once the event named in the query has been seen."""
    await seen.wait(scope["query_string"].decode())
    await answer(send, "seen")


async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer once the flood stands still: its peer's buffers and ours are full."""
    await seen.wait("flood:sent")
    before = 0
    # Standing still is no event.
    while before != (before := seen.counts["flood:sent"]):  # noqa: ASYNC110
        await trio.sleep(0.2)
    await answer(send, "stuck")


async def note(scope: Scope, receive: Receive, send: Send) -> None:
    seen.add(scope["query_string"].decode())
    await answer(send, "noted")


async def crash_now(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "bye")
    crash.set()


async def terminate(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "bye")
    listener_of(scope).terminate()


async def unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await answer(send, "not wanted", 413)


async def read(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer how long the body was, or note that it never ended."""
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            seen.add("request:cut")
            return
        size += len(event["body"])
        if not event["more_body"]:
            break
    await answer(send, size)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream until the peer is gone."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            seen.add("endless:disconnect")
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        while True:
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})


async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a body, and say nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await trio.sleep_forever()


PAGES = {
    "hello": hello,
    "status": status,
    "wait": wait,
    "note": note,
    "stuck": stuck,
    "crash": crash_now,
    "terminate": terminate,
    "unread": unread,
    "read": read,
    "endless": endless,
    "quiet": quiet,
}


# -- sockets


async def accept(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Say everything back; close 1012 when told that the server drains."""
    await accept(receive, send)
    listener = listener_of(scope)
    async with trio.open_nursery() as nursery:

        async def leave() -> None:
            await listener.draining.wait()
            await send({"type": "websocket.close", "code": 1012})
            nursery.cancel_scope.cancel()

        if listener is not None:
            nursery.start_soon(leave)
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"], "bytes": event["bytes"]})
        seen.add(f"echo:{event['code']}")
        nursery.cancel_scope.cancel()


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each message with its length only."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        size = len(event["text"] if event["bytes"] is None else event["bytes"])
        await send({"type": "websocket.send", "text": str(size)})
    seen.add(f"count:{event['code']}")


async def late_accept(scope: Scope, receive: Receive, send: Send) -> None:
    seen.add("late_accept:waiting")
    await seen.wait("go")
    await echo(scope, receive, send)


async def late_refusal(scope: Scope, receive: Receive, send: Send) -> None:
    seen.add("late_refusal:waiting")
    await seen.wait("go")
    await send({"type": "websocket.close"})


async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for as long as the peer is there, knowing it only from `receive`."""
    await accept(receive, send)
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            while (event := await receive())["type"] == "websocket.receive":
                pass
            seen.add(f"flood:{event['code']}")
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        while True:
            await send({"type": "websocket.send", "bytes": bytes(2**16)})
            seen.add("flood:sent")


async def late_send(scope: Scope, receive: Receive, send: Send) -> None:
    """Go on sending long after the disconnect, which only a checkpoint in `send` lets others survive."""
    await accept(receive, send)
    while (await receive())["type"] == "websocket.receive":
        pass
    seen.add("late_send:gone")
    while not seen.counts["stop"]:
        await send({"type": "websocket.send", "text": "still there?"})
    seen.add("late_send:stopped")


async def hold(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive nothing until told."""
    await accept(receive, send)
    await seen.wait("go")
    received = 0
    while (event := await receive())["type"] == "websocket.receive":
        received += 1
        await send({"type": "websocket.send", "text": str(received)})
    seen.add(f"hold:{event['code']}")


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Close at once, as the query says."""
    await accept(receive, send)
    query = dict(parse_qsl(scope["query_string"].decode()))
    await send({"type": "websocket.close", "code": int(query["code"]), "reason": query.get("reason")})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await receive()
    raise RuntimeError("a bug")


async def fail_early(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "never-offered"})


WEBSOCKETS = {
    "echo": echo,
    "count": count,
    "late_accept": late_accept,
    "late_refusal": late_refusal,
    "flood": flood,
    "late_send": late_send,
    "hold": hold,
    "leave": leave,
    "fail": fail,
    "fail_early": fail_early,
}
