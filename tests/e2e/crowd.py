"""Clients that talk, come back and try again for as long as a trial lasts, whatever happens to the server."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal

import trio
from attrs import define, field, frozen

from .client import Frame
from .level2 import LOST, Level2, entered, query
from .recorder import Reader, Recorder
from .running import Triologue

# How many messages a writer has under way at once.
AHEAD = 2
# How long a client that was told to try again waits, in seconds, and one whose server is away.
PAUSE = 0.05
# What a trial's single steps may take, in seconds, on a machine with much else to do.
PATIENCE = 90.0

Expected = Literal["ack", "conflict"]


class Address:
    """Where the server is, while it is anywhere."""

    def __init__(self) -> None:
        self._server: Triologue | None = None
        self._there = trio.Event()

    def set(self, server: Triologue) -> None:
        self._server = server
        self._there.set()

    def clear(self) -> None:
        self._server = None
        self._there = trio.Event()

    async def wait(self) -> Triologue:
        while self._server is None:
            await self._there.wait()
        return self._server


@frozen
class Conversation:
    """Which one, as an address and as the recorder calls it."""

    pipeline: str
    session_type: str
    session_id: str

    @property
    def name(self) -> str:
        return f"{self.session_type}/{self.session_id}"

    def url(self, server: Triologue, **more: str | None) -> str:
        fields = {"session_type": self.session_type, "session_id": self.session_id, **more}
        return server.socket_url(self.pipeline, query(**fields))

    def history(self, server: Triologue) -> list[dict[str, Any]]:
        """All of it, page by page, oldest first."""
        route = f"/api/v1/pipelines/{self.pipeline}/ws/messages/{self.session_type}"
        messages: list[dict[str, Any]] = []
        while True:
            after = messages[-1]["id"] if messages else 0
            asked = query(session_id=self.session_id, limit="1000", after=str(after))
            status, answer = server.json("GET", f"{route}?{asked}")
            assert status == 200, answer
            data: Any = answer["data"]
            if not data["messages"]:
                return messages
            messages += data["messages"]


@define(eq=False)
class Member:
    """Somebody who wants to know everything that happens, over as many sockets as it takes.

    Attributes:
        name: By which the server knows them again.
        stream: How they want replies.
        restless: How many frames, at most, they stay for; 0 stays for as long as it can.
        forgetful: How probably they come back with a cursor that leads nowhere.
    """

    conversation: Conversation
    address: Address
    recorder: Recorder
    dice: Random
    name: str
    stream: str = "cumulative"
    restless: int = 0
    forgetful: float = 0.0
    reader: Reader = field(init=False)
    calm: bool = False
    _moved: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = Reader(self.recorder, self.conversation.name)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            try:
                async with self._enter() as client:
                    await self._stay(client)
            except LOST:
                self.recorder.counts["lost sockets"] += 1
                await trio.sleep(PAUSE)

    async def wait_seq(self, seq: int) -> None:
        """Until everything up to *seq* was seen."""
        while self.reader.seq < seq:
            self._moved = trio.Event()
            await self._moved.wait()

    @asynccontextmanager
    async def _enter(self) -> AsyncIterator[Level2]:
        server = await self.address.wait()
        offered = self._offered()
        url = self.conversation.url(server, guest=self.name, stream=self.stream, cursor=offered)
        async with entered(url, seconds=10 * PATIENCE) as client:
            self.recorder.counts["sockets"] += 1
            self.reader.opened(client.connected, offered)
            self._moved.set()
            yield client

    def _offered(self) -> str | None:
        cursor = self.reader.cursor
        if cursor is not None and not self.calm and self.dice.random() < self.forgetful:
            epoch, _, seq = cursor.rpartition(".")
            wrong = [f"{epoch}.{int(seq) + 10**6}", f"0123456789ab.{seq}", "nonsense", f"{epoch}.0"]
            return self.dice.choice(wrong)
        return cursor

    @property
    def state(self) -> str:
        """How far they are, for whoever wonders what a trial waits for."""
        return f"{self.name} in {self.conversation.name} has seen {self.reader.cursor}"

    async def _stay(self, client: Level2) -> None:
        left = self.dice.randint(1, self.restless) if self.restless else -1
        while left != 0 or self.calm:
            self._take(await client.receive())
            left -= 1
        self.recorder.counts["torn sockets"] += 1
        await client.tear()

    def _take(self, frame: Frame) -> None:
        self.reader.take(frame)
        self._moved.set()


@define(eq=False)
class Writer(Member):
    """A member who says things, each until it is acknowledged, and now and then again after that.

    Attributes:
        calm: Says nothing new, and stays.
    """

    _number: int = field(default=0, init=False)
    _due: deque[tuple[str, str, Expected]] = field(factory=deque, init=False)
    _flying: dict[str, deque[tuple[str, Expected]]] = field(factory=dict, init=False)
    _done: list[str] = field(factory=list, init=False)
    _settled: trio.Event = field(factory=trio.Event, init=False)

    async def wait_settled(self) -> None:
        """Until everything that was ever said is acknowledged."""
        while self._due or self._flying:
            self._settled = trio.Event()
            await self._settled.wait()

    @property
    def state(self) -> str:
        return f"{super().state}, waits for {list(self._flying)}, has to say {len(self._due)}"

    async def _stay(self, client: Level2) -> None:
        # Whatever was under way when the last socket was lost may have arrived or not.
        lost = [(name, text, expected) for name, way in self._flying.items() for text, expected in way]
        self._due.extendleft(reversed(lost))
        self._flying.clear()
        while True:
            while len(self._flying) < AHEAD and (self._due or not self.calm):
                await self._say(client)
            frame = await client.receive()
            self._take(frame)
            if frame["type"] in ("ack", "error") and frame.get("client_msg_id") in self._flying:
                await self._answered(frame)

    async def _say(self, client: Level2) -> None:
        name, text, expected = self._due.popleft() if self._due else self._something()
        self._flying.setdefault(name, deque()).append((text, expected))
        await client.say(text, client_msg_id=name)
        if not self.calm and expected == "ack" and self.dice.random() < 0.05:
            self._flying[name].append((text, expected))
            await client.say(text, client_msg_id=name)

    def _something(self) -> tuple[str, str, Expected]:
        if self._done and self.dice.random() < 0.15:
            name = self.dice.choice(self._done)
            if name not in self._flying:
                if self.dice.random() < 0.3:
                    return name, "something else", "conflict"
                return name, self.recorder.texts[self.conversation.name, name], "ack"
        self._number += 1
        name = f"{self.name}-{self._number}"
        text = f"{name} says " + "x" * self.dice.choice((1, 10, 100, 5000))
        self.recorder.sending(self.conversation.name, name, text)
        return name, text, "ack"

    async def _answered(self, frame: Frame) -> None:
        name = frame["client_msg_id"]
        way = self._flying[name]
        text, expected = way.popleft()
        if not way:
            del self._flying[name]
        match frame["type"], expected:
            case "ack", "ack":
                self.recorder.acknowledged(self.conversation.name, frame)
                self._done.append(name)
            case "ack", "conflict":
                self.recorder.fault("conflict", f"{name} was acknowledged with another text")
            case "error", "conflict" if frame["code"] == "conflict":
                self.recorder.counts["conflicts"] += 1
            case _ if frame.get("retry"):
                self.recorder.counts[f"told to try again: {frame['code']}"] += 1
                self._due.append((name, text, expected))
                await trio.sleep(PAUSE)
            case _:
                self.recorder.fault("conflict", f"{name} was refused: {frame}")
        self._settled.set()
