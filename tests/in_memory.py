"""The whole server without sockets or a process: real actors and doors, for tests that own the clock."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, TypeVar

import pytest
import trio

from actors import ActorRef, ActorSystem
from server.assembly import Doors, Life, Root, World
from server.config import Config
from server.pipeline import Model, PipelineSpec
from server.pipeline.teller import Teller
from server.storage import Execute, PlainVault, SqlStore, Store, make_engine, upgrade

PIPELINE = "00000000-0000-4000-8000-0000000000aa"
START = datetime(2026, 1, 1, tzinfo=UTC)

Frame = dict[str, Any]


T = TypeVar("T")


def now() -> datetime:
    """The time of day on trio's clock, which a test may own."""
    return START + timedelta(seconds=trio.current_time())


def memory_store() -> Store:
    """A real store, with its database in memory: what it keeps outlives a server, but not the test."""
    engine = make_engine("sqlite://")
    upgrade(engine)
    return SqlStore(engine, PlainVault(), now=now)


async def at_once(call: Callable[[], T]) -> T:
    """Run what blocks here and now: so a mock clock does not run ahead of a thread."""
    await trio.lowlevel.checkpoint()
    return call()


def is_end(frame: Frame) -> bool:
    """Whether it is the end of a reply, in whatever dialect."""
    return frame.get("type") == "response" and frame["data"].get("is_final") is True


def let_tellers_rest(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have a reply that has told something rest for so long, as if there were much to do."""
    patch.setattr(Teller, "rest_after", lambda self, since: since + seconds)


class Socket:
    """A client's end of an ASGI WebSocket that lives in memory.

    Args:
        level2: Whether to offer the subprotocol.
    """

    def __init__(self, doors: Doors, pipeline: str, query: str, *, level2: bool = False) -> None:
        self._doors = doors
        self._scope = {
            "type": "websocket",
            "path": f"/api/v1/pipelines/{pipeline}/ws/connect",
            "query_string": query.encode(),
            "scheme": "ws",
            "headers": [],
            "subprotocols": ["triologue.v1"] if level2 else [],
            "extensions": {},
        }
        self.connected: Frame = {}
        self._up, self._receive = trio.open_memory_channel[dict[str, Any]](math.inf)
        self._send, self._down = trio.open_memory_channel[dict[str, Any]](math.inf)

    async def run(self) -> None:
        """The server's side, to its end."""
        self._up.send_nowait({"type": "websocket.connect"})
        await self._doors.websocket(self._scope, self._receive.receive, self._answer)

    async def _answer(self, event: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if event["type"] == "websocket.close":
            self._up.send_nowait({"type": "websocket.disconnect", "code": event["code"]})
        self._send.send_nowait(event)

    def send(self, frame: object) -> None:
        self._up.send_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    def say(self, text: str, **more: object) -> None:
        self.send({"type": "message", "message": [{"type": "Plain", "text": text}], **more})

    def leave(self) -> None:
        self._up.send_nowait({"type": "websocket.disconnect", "code": 1006})

    async def receive(self) -> Frame:
        """The next frame, or `{"closed": code}`."""
        while True:
            event = await self._down.receive()
            if event["type"] == "websocket.send":
                frame = json.loads(event["text"])
                assert isinstance(frame, dict)
                return frame
            if event["type"] == "websocket.close":
                return {"closed": event["code"]}

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        frames = [await self.receive()]
        while not wanted(frames[-1]):
            frames.append(await self.receive())
        return frames

    async def final(self) -> Frame:
        """The end of the next reply."""
        frames = await self.until(is_end)
        data = frames[-1]["data"]
        assert isinstance(data, dict)
        return data


class Server:
    """A running assembly."""

    def __init__(self, system: ActorSystem, nursery: trio.Nursery, draining: trio.Event) -> None:
        self.system = system
        self.nursery = nursery
        self.draining = draining
        self.doors: Doors
        self.opened = trio.Event()

    async def connect(self, query: str = "", pipeline: str = PIPELINE, *, level2: bool = False) -> Socket:
        socket = Socket(self.doors, pipeline, query, level2=level2)
        self.nursery.start_soon(socket.run, name="client")
        socket.connected = await socket.receive()
        assert socket.connected["type"] == "connected", socket.connected
        return socket

    def find(self, address: str) -> ActorRef[Any]:
        ref = self.system.find(address)
        assert ref is not None, address
        return ref

    def addresses(self, part: str) -> list[str]:
        return [view.address for view in self.system.actors() if part in view.address]

    async def open(self, doors: Doors) -> None:
        self.doors = doors
        self.opened.set()


@asynccontextmanager
async def running(
    model: Callable[[], Model],
    config: Config | None = None,
    *,
    store: Store | None = None,
    unheard: float | None = None,
    resumes: bool = False,
    chunk_interval: float = 0.02,
    execute_write: Execute = at_once,
) -> AsyncIterator[Server]:
    """A server whose one pipeline is *model*, on trio's clock (a mock one, if the test has it)."""
    config = config or Config()
    system = ActorSystem()
    ids = count(1)
    world = World(
        now=now,
        new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}",
        random=Random(1),
        execute_write=execute_write,
        execute_read=at_once,
    )
    spec = PipelineSpec(
        PIPELINE,
        "model",
        model,
        idle_timeout=60.0,
        total_timeout=600.0,
        chunk_interval=chunk_interval,
        unheard=unheard,
        resumes=resumes,
    )
    over = trio.Event()
    lasting = store or memory_store()
    try:
        async with trio.open_nursery() as nursery:
            server = Server(system, nursery, trio.Event())
            life = Life(
                system=system,
                watchdog=None,
                drain=server.draining.set,
                draining=server.draining,
                on_drain=lambda: None,
                drained=lambda: None,
                opened=server.open,
                ended=over.wait,
            )

            async def live() -> None:
                await system.run(lambda: Root(config, [spec], lasting, life, world), name="triologue")

            nursery.start_soon(live, name="system")
            await server.opened.wait()
            yield server
            over.set()
            nursery.cancel_scope.deadline = trio.current_time() + 60
    finally:
        if store is None:
            lasting.close()
