"""One client: loses its socket, comes back, and wants to be told everything once.

It keeps what a real one keeps over its sockets: its cursor, what it has seen, and what it said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Protocol
from urllib.parse import quote

import trio
from attrs import define, evolve, field

from server.chat import Cursor

from .court import Court
from .deeds import Deeds, short
from .journal import Journal
from .plan import Habit
from .wire import Closed, Frame, Wire
from .witness import Witness

FOREIGN_CURSORS = ("nonsense", "0.0", "ffff.3", "a.-1", "💥", "e.99999999999999999")
# How late a slow reader may hear of things.
SLOWEST = 60.0


class Server(Protocol):
    """What a client can reach."""

    def dial(self, pipeline: str, query: str, protocols: list[str], witness: Witness) -> Wire | None:
        """A socket, if there is a process that takes one."""
        ...

    async def request(self, method: str, path: str) -> tuple[int, bytes] | None:
        """The status and body of a REST request's answer, `None` if none came."""
        ...


@define(eq=False)
class Client:
    """Acts by the dice of its seed and number."""

    number: int
    habit: Habit
    court: Court
    server: Server
    dice: Random
    calm: trio.Event
    over: trio.Event
    now_text: Callable[[float], str]
    name: str = ""
    cursor: str | None = None
    last: int = -1
    heard_of: list[int] = field(factory=list)
    own: list[int] = field(factory=list)
    replies: list[int] = field(factory=list)
    witness: Witness | None = None
    wire: Wire | None = None
    to_fetch: bool = False
    """Whether it was told to fetch the history."""
    deeds: Deeds = field(init=False)
    _sockets: Iterator[int] = field(factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.name = f"client {self.number}"
        self.deeds = Deeds(self, self.habit.steps)

    @property
    def is_there(self) -> bool:
        """Whether it has all its answers, and a socket on which it was told everything."""
        wire, witness = self.wire, self.witness
        if wire is None or wire.gone or witness is None or not witness.welcomed:
            return False
        return self.deeds.settled and witness.is_told_all

    @property
    def journal(self) -> Journal:
        return self.court.journal

    def likes(self, habit: str, share: float = 0.3) -> bool:
        """Whether it follows that habit this time, of which it does so in *share* of all cases."""
        return habit in self.habit.habits and self.dice.random() < share and not self.calm.is_set()

    # -- sockets

    async def run(self) -> None:
        """To the end of the run."""
        await trio.sleep(self.dice.random() * self.habit.pause)
        while not self.over.is_set():
            wire = self._dial()
            if wire is None:
                await trio.sleep(self.dice.uniform(0.1, 0.6))
                continue
            await self._use(wire)
            nap = self.likes("nap", 0.2)
            pause = self.dice.uniform(60, 150) if nap else self.dice.random() * self.habit.pause
            with trio.move_on_after(pause):
                await (self.over if self.calm.is_set() else self.calm).wait()

    def _dial(self) -> Wire | None:
        habit, cursor, asks = self.habit, self._chosen_cursor(), []
        asks.append(f"session_type={habit.key.session_type}&session_id={habit.key.session_id}")
        protocols = []
        if habit.dialect != "document":
            protocols = ["triologue.v1"]
            asks.append(f"stream={habit.dialect}&guest=the-secret-of-{self.name.replace(' ', '-')}")
            if cursor is not None:
                asks.append(f"cursor={quote(cursor)}")
        name = f"{self.name}.{next(self._sockets)}"
        level_2 = habit.dialect != "document"
        self.witness = Witness(self.court, name, habit, cursor=cursor if level_2 else None)
        wire = self.server.dial(habit.key.pipeline, "&".join(asks), protocols, self.witness)
        if wire is not None:
            self.journal.note(name, f"dials {habit.dialect} {habit.key.session_id} cursor={cursor}")
        return wire

    def _chosen_cursor(self) -> str | None:
        if self.likes("no cursor", 0.2):
            return None
        if self.likes("bad cursor", 0.2):
            self.journal.count("bad cursor")
            return self.dice.choice(FOREIGN_CURSORS)
        cursor = None if self.cursor is None else Cursor.parse(self.cursor)
        if cursor is not None and self.likes("stale cursor"):
            self.journal.count("stale cursor")
            ahead = self.dice.random() < 0.15
            return str(evolve(cursor, seq=cursor.seq + 5 if ahead else self.dice.randint(0, cursor.seq)))
        return self.cursor

    async def _use(self, wire: Wire) -> None:
        self.wire = wire
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, wire, nursery.cancel_scope, name=f"{self.name} reads")
            await self.deeds.act(wire)
            nursery.cancel_scope.cancel()
        if not wire.gone:
            wire.cut(arrives=self.dice.random() < 0.5)
        self.wire = None
        self.journal.note(self.label, "has no socket any more")

    @property
    def label(self) -> str:
        """What the journal calls its present socket."""
        assert self.witness is not None
        return self.witness.name

    async def _listen(self, wire: Wire, scope: trio.CancelScope) -> None:
        slow = self.likes("slow", 0.5)
        if self.witness is not None and slow:
            self.journal.count("slow reader")
            self.witness.lag = SLOWEST
        try:
            while True:
                self._take(await wire.receive())
                if slow and not self.calm.is_set():
                    await trio.sleep(self.dice.random() * 2.0)
        except Closed as closed:
            self.journal.note(self.label, f"closed {closed}")
        scope.cancel()

    def _take(self, frame: Frame) -> None:
        self.journal.note(self.label, f"← {short(frame)}")
        witness = self.witness
        assert witness is not None
        match frame["type"]:
            case "connected":
                _, _, seq = frame["cursor"].rpartition(".")
                self.cursor, self.last = frame["cursor"], int(seq)
                if frame["resumed"]:
                    self.journal.count("resumed")
            case "gap":
                self.cursor, self.last = frame["cursor"], int(frame["cursor"].rpartition(".")[2])
                self.to_fetch = True
            case "user_message":
                self.heard_of.append(frame["data"]["id"])
                if frame["data"]["sender"]["id"] == witness.user:
                    self.own.append(frame["data"]["id"])
                self._advance(frame["data"]["seq"])
            case "response" if frame["data"].get("is_final"):
                self.replies.append(frame["data"]["id"])
                self._advance(frame["data"]["seq"])
            case "edited":
                self._advance(frame["data"]["seq"])
            case "recalled" | "reset" | "read":
                self._advance(frame["seq"])
            case "ack":
                self.deeds.hear(frame["client_msg_id"], "ack")
            case "error" if "client_msg_id" in frame:
                self.deeds.hear(frame["client_msg_id"], "again" if frame["retry"] else frame["code"])

    def _advance(self, seq: int) -> None:
        if self.cursor is not None:
            self.last = seq
            self.cursor = f"{self.cursor.rpartition('.')[0]}.{seq}"
