"""A small system of actors with the routes in front of it, asked without a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

import trio
from attrs import frozen

from actors import Actor, ActorRef, ActorSystem, State, Supervisor, Watchdog
from server.listener import Listener
from server.protocol import OriginPolicy
from server.rest import Services, create_app

LOCAL = {"host": "127.0.0.1:8000"}
API = "/api/v1/admin"


@frozen
class Poke:
    """Makes a puppet do what it says: `sleep`, `crash`, `stop`, `tell` its friend, or nothing."""

    what: str = ""


class Puppet(Actor[Poke]):
    """Does as it is told; `friend` is whom it asks."""

    capacity = 4

    def __init__(self, friend: ActorRef[Any] | None = None) -> None:
        self.friend = friend
        self.secret = "hunter2"

    async def handle(self, message: Poke) -> None:
        match message.what:
            case "sleep":
                await trio.sleep_forever()
            case "crash":
                raise ValueError("as told")
            case "stop":
                self.stop("as told")
            case "tell":
                assert self.friend is not None
                await self.friend.tell(Poke())


class Top(Supervisor):
    """Has puppets."""


@frozen
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.json["data"]


@frozen
class House:
    """A running system, the routes over it, and what ends it."""

    system: ActorSystem
    app: Callable[..., Any]
    listener: Listener
    nursery: trio.Nursery
    top: Top
    drains: list[None]
    """One for each time that the server was asked to end."""

    @property
    def draining(self) -> trio.Event:
        return self.listener.draining

    def spawn(self, name: str, factory: Callable[[], Actor[Any]] = Puppet, **more: Any) -> ActorRef[Any]:
        """Start a child of the root."""
        return self.top.spawn(factory, name=name, **more)

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] = LOCAL,
        http_version: str = "1.1",
        gone: trio.Event | None = None,
        root_path: str = "",
    ) -> Answer:
        """One request, of a client that stays until *gone*."""
        return await request(
            self.app,
            method,
            path,
            headers,
            listener=self.listener,
            http_version=http_version,
            gone=gone,
            root_path=root_path,
        )


async def request(
    app: Callable[..., Any],
    method: str,
    target: str,
    headers: Mapping[str, str] | Sequence[tuple[str, str]],
    *,
    listener: Listener | None,
    http_version: str = "1.1",
    gone: trio.Event | None = None,
    root_path: str = "",
) -> Answer:
    """What *app* answers, as our listener would ask it."""
    raw_path, _, query = target.partition("?")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    scope = {
        "type": "http",
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": root_path + unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "extensions": {} if listener is None else {"triologue.listener": listener},
    }
    left = trio.Event() if gone is None else gone
    incoming = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        for event in incoming:
            return event
        await left.wait()
        return {"type": "http.disconnect"}

    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(event)

    await app(scope, receive, send)
    if not sent:
        return Answer(0, {}, b"")
    first, *rest = sent
    found = {name.decode().lower(): value.decode() for name, value in first["headers"]}
    return Answer(first["status"], found, b"".join(event.get("body", b"") for event in rest))


async def until(condition: Callable[[], object]) -> None:
    """Let everybody run until *condition* holds."""
    while not condition():
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def house(
    watchdog: Watchdog | None = None, furnish: Callable[[Top], Mapping[str, Any]] = lambda top: {}
) -> AsyncIterator[House]:
    """A system whose root has no children, but for those of *furnish*, which says what they serve as."""
    system = ActorSystem()
    listener = Listener(("127.0.0.1:8000",), True)
    async with trio.open_nursery() as nursery:
        top = Top()
        run = partial(system.run, lambda: top, name="top")
        nursery.start_soon(run, name="system")
        await until(lambda: (view := system.actor("top")) is not None and view.state is State.IDLE)
        nobody: ActorRef[Any] = top.ref
        drains: list[None] = []
        services: dict[str, Any] = {
            "registry": nobody,
            "directory": nobody,
            "storage": nobody,
            "pipelines": {},
            "origins": OriginPolicy(frozenset({"https://app.example"})),
            "page": lambda name: None,
            "system": system,
            "draining": listener.draining,
            "drain": lambda: drains.append(None),
            "watchdog": watchdog,
            **furnish(top),
        }
        yield House(system, create_app(Services(**services)), listener, nursery, top, drains)
        system.stop()
        nursery.cancel_scope.deadline = trio.current_time() + 60
