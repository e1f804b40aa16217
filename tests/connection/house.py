"""The real door and connections in a house where everybody else is scripted."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import count
from random import Random
from typing import Any, cast

import trio
import trio.testing
from attrs import define, field

from actors import Actor, ActorRef, ActorSystem, Question, Supervisor
from server.chat import Cursor, Fact, Refusal, StoreFailing
from server.connection import Acceptor, Connections
from server.listener import ListenerLimits
from server.messages import (
    CatchUp,
    ConnectionInfo,
    ConversationMessage,
    Deliver,
    DirectoryMessage,
    Event,
    Join,
    Open,
    PipelineInfo,
    ReadFacts,
    Receipt,
    Register,
    RegistryMessage,
    Say,
    StorageMessage,
    Welcomed,
)
from server.protocol import OriginPolicy
from tests.listener import raw
from tests.simulated_socket import SimulatedSocket, connected

from .happenings import EPOCH, GREETING, NOON
from .lines import Peer

PIPELINE = "p1"

Frame = dict[str, Any]
React = Callable[[Any], object]
"""What becomes of a question: its answer is returned, or a `Refusal` raised, or something worse."""


@define
class Script:
    """What the scripted actors do, and what they were told.

    Attributes:
        facts: What the store has.
        published: The seq of the newest fact that the conversation knows.
        react: Answers what members ask of the conversation.
        crashes: How often an actor of that name has to crash yet, before it does what it is asked.
        now: Tells the time of day to whoever lets clients in and hears them.
        gate: What the store waits for before it answers; `store_fails` makes it refuse.
    """

    facts: list[Fact] = field(factory=list)
    published: int = 0
    react: React = lambda question: Receipt(1, 1) if isinstance(question, Say) else None
    crashes: dict[str, int] = field(factory=dict)
    now: Callable[[], datetime] = lambda: NOON
    gate: trio.Event | None = None
    store_fails: bool = False
    told: list[Any] = field(factory=list)
    members: list[ConnectionInfo] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)

    def note(self, message: Any) -> None:
        self.told.append(message)
        self.changed.set()
        self.changed = trio.Event()

    async def until_told(self, kind: type[Any]) -> Any:
        """The first message of that *kind*, once it has come."""
        while not (found := [message for message in self.told if isinstance(message, kind)]):
            await self.changed.wait()
        return found[0]

    def crash(self, name: str) -> None:
        if self.crashes.get(name, 0) > 0:
            self.crashes[name] -= 1
            raise RuntimeError(f"the {name} crashes")


class ScriptedRegistry(Actor[RegistryMessage]):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def handle(self, message: RegistryMessage) -> None:
        if isinstance(message, Register):
            self._script.crash("registry")
            message.answer(None)


class ScriptedDirectory(Actor[DirectoryMessage]):
    def __init__(self, conversation: ActorRef[ConversationMessage]) -> None:
        self._conversation = conversation

    async def handle(self, message: DirectoryMessage) -> None:
        assert isinstance(message, Open)
        message.answer(self._conversation)


class ScriptedConversation(Actor[ConversationMessage]):
    """Takes everybody in, at his cursor if it is one of this epoch."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def handle(self, message: ConversationMessage) -> None:
        self._script.note(message)
        if isinstance(message, Join):
            await self._join(message)
        elif isinstance(message, Question):
            try:
                message.answer(self._script.react(message))
            except Refusal as refusal:
                message.refuse(refusal)

    async def _join(self, join: Join) -> None:
        script, info = self._script, join.info
        asked = Cursor.parse(join.cursor or "")
        resumed = asked is not None and asked.epoch == EPOCH and asked.seq <= script.published
        at = asked if resumed and asked is not None else Cursor(EPOCH, script.published)
        welcome = Welcomed(info.connection_id, info.key, str(at), info.user, NOON, resumed)
        await info.ref.tell(Deliver(welcome))
        script.members.append(info)
        script.crash("conversation")
        join.answer(CatchUp(at.seq, script.published) if at.seq < script.published else None)


class ScriptedStorage(Actor[StorageMessage]):
    def __init__(self, script: Script) -> None:
        self._script = script

    async def handle(self, message: StorageMessage) -> None:
        assert isinstance(message, ReadFacts)
        self._script.note(message)
        self._script.crash("storage")
        if self._script.gate is not None:
            await self._script.gate.wait()
        if self._script.store_fails:
            message.refuse(StoreFailing())
        else:
            found = [fact for fact in self._script.facts if message.after < fact.seq <= message.upto]
            message.answer(tuple(found[: message.limit]))


class Root(Supervisor):
    def __init__(self, script: Script, mailbox: int) -> None:
        self._script = script
        self._mailbox = mailbox
        self.ready = trio.Event()
        self.acceptor: Acceptor

    async def started(self) -> None:
        script = self._script
        conversation = self.spawn(partial(ScriptedConversation, script), name="conversation")
        ids = count(1)
        self.acceptor = Acceptor(
            connections=self.spawn(
                partial(
                    Connections,
                    mailbox=self._mailbox,
                    mailbox_bytes=2**20,
                    greeting=GREETING,
                    patience=20.0,
                    random=Random(1),
                ),
                name="connections",
            ),
            registry=self.spawn(partial(ScriptedRegistry, script), name="registry"),
            directory=self.spawn(partial(ScriptedDirectory, conversation), name="directory"),
            storage=self.spawn(partial(ScriptedStorage, script), name="storage"),
            pipelines={PIPELINE: PipelineInfo(PIPELINE, "Bot", 60.0, cast(Any, None))},
            origins=OriginPolicy(),
            now=lambda: script.now(),
            new_id=lambda: f"{next(ids):08d}-0000-4000-8000-000000000000",
        )
        self.ready.set()


class Client:
    """A client's end of a WebSocket that lives in memory; it reads as fast as the test does."""

    def __init__(self, acceptor: Acceptor, query: str, subprotocols: list[str], room: float) -> None:
        self._acceptor = acceptor
        self._scope = {
            "type": "websocket",
            "path": f"/api/v1/pipelines/{PIPELINE}/ws/connect",
            "query_string": query.encode(),
            "scheme": "ws",
            "headers": [],
            "subprotocols": subprotocols,
            "extensions": {},
        }
        self._up, self._receive = trio.open_memory_channel[MutableMapping[str, Any]](math.inf)
        self._send, self._down = trio.open_memory_channel[MutableMapping[str, Any]](room)
        self.subprotocol: str | None = None
        self.served = trio.Event()

    async def run(self) -> None:
        self._up.send_nowait({"type": "websocket.connect"})
        await self._acceptor(self._scope, self._receive.receive, self._answer)
        self.served.set()

    async def _answer(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "websocket.accept":
            self.subprotocol = event["subprotocol"]
            return
        if event["type"] == "websocket.close":
            self._up.send_nowait({"type": "websocket.disconnect", "code": event["code"]})
        await self._send.send(event)

    def send(self, frame: object) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self._up.send_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._up.send_nowait({"type": "websocket.disconnect", "code": 1006})

    async def receive(self) -> Frame:
        """The next frame, or `{"closed": (code, reason)}`."""
        event = await self._down.receive()
        if event["type"] == "websocket.close":
            return {"closed": (event["code"], event["reason"])}
        frame: Frame = json.loads(event["text"])
        return frame

    async def answers(self, frame: object) -> list[Frame]:
        """Send *frame*; what comes before the answer to a ping."""
        self.send(frame)
        self.send({"type": "ping"})
        frames = [await self.receive()]
        while frames[-1].get("type") != "pong" and "closed" not in frames[-1]:
            frames.append(await self.receive())
        return frames[:-1]


@define(eq=False)
class Offer:
    """A handshake of which the TCP socket may be taken; to the acceptor, also the listener that offers it."""

    socket: SimulatedSocket
    serve: Callable[[], Awaitable[None]] | None = None
    subprotocol: str | None = None
    refused: tuple[int, str] | None = None
    limits: ListenerLimits = field(factory=ListenerLimits)

    @property
    def listener(self) -> Offer:
        return self

    def hold_nowait(self, size: int) -> bool:
        return True

    def give_back(self, size: int) -> None: ...

    async def accept(self, subprotocol: str | None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.subprotocol = subprotocol
        return b""

    async def refuse(self, status: int, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.refused = status, reason


class StraightClient(Client):
    """The same over a TCP connection in memory, whose socket the acceptor takes."""

    def __init__(self, acceptor: Acceptor, query: str, subprotocols: list[str], room: float) -> None:
        super().__init__(acceptor, query, subprotocols, room)
        # With no room at all, not even one frame is taken from the server before it is read.
        ours, theirs = connected(2**20 if room == math.inf else 64)
        theirs.set_window(2**20)
        self._offer = Offer(ours)
        self._scope["extensions"] = {"triologue.stream": self._offer}
        self._peer = Peer(theirs)
        self._heard = 0

    async def run(self) -> None:
        await self._acceptor(self._scope, _unused, _unused)
        self.subprotocol = self._offer.subprotocol
        assert self._offer.serve is not None
        await self._offer.serve()
        self._offer.socket.abort()  # as the listener does, with whatever is left
        self.served.set()

    def send(self, frame: object) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self._peer.send(raw.frame(raw.TEXT, text))

    def leave(self) -> None:
        self._peer.socket.abort()

    async def receive(self) -> Frame:
        while self._heard == len(self._peer.frames):
            await self._peer.socket.wait_readable()
            self._peer.take(1)
            assert not self._peer.ended, "the connection ended without a Close"
            assert not self._peer.reset, "the connection was cut off"
        opcode, payload = self._peer.frames[self._heard]
        self._heard += 1
        if opcode == raw.CLOSE:
            self._peer.send(raw.frame(raw.CLOSE, payload))
            return {"closed": self._peer.close}
        frame: Frame = json.loads(payload)
        return frame


async def _unused(*_: object) -> Any:
    raise AssertionError("a socket that was taken is not spoken to through its server")


# Which clients a house has; and what opens one.
Kind = type[Client]
Opens = Callable[..., AbstractAsyncContextManager["House"]]


class House:
    def __init__(
        self, script: Script, root: Root, system: ActorSystem, nursery: trio.Nursery, kind: Kind
    ) -> None:
        self.script = script
        self.system = system
        self._kind = kind
        self._acceptor = root.acceptor
        self._nursery = nursery

    async def open(
        self, query: str = "", *, level: int = 2, room: float = math.inf, offers: list[str] | None = None
    ) -> Client:
        """A client whose socket is being served; nothing was read from it."""
        subprotocols = offers if offers is not None else ["triologue.v1"] if level == 2 else []
        client = self._kind(self._acceptor, query, subprotocols, room)
        self._nursery.start_soon(client.run, name="client")
        await trio.testing.wait_all_tasks_blocked()
        return client

    async def connect(self, query: str = "", *, level: int = 2) -> Client:
        """A client that was welcomed."""
        client = await self.open(query, level=level)
        assert (await client.receive())["type"] == "connected"
        return client

    async def tell(self, event: Event) -> None:
        for member in self.script.members:
            await member.ref.tell(Deliver(event))


@asynccontextmanager
async def house(
    script: Script | None = None, *, mailbox: int = 256, kind: Kind = Client
) -> AsyncIterator[House]:
    """A house that lives as long as the block; within it nothing may take 20 seconds."""
    script = script or Script()
    system = ActorSystem()
    root = Root(script, mailbox)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: system.run(lambda: root, name="house"))
            await root.ready.wait()
            yield House(script, root, system, nursery, kind)
            system.stop()
            nursery.cancel_scope.cancel()
