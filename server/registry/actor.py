"""Who is connected: counts, lists, broadcasts. Every change comes as a message, so nothing needs a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

import trio
from attrs import define, field

from actors import Actor, ActorRef
from server.chat import Draining, Full, SessionType
from server.messages import (
    Activate,
    Active,
    Announced,
    Broadcast,
    Close,
    CloseAll,
    ConnectionGone,
    ConnectionInfo,
    ConnectionMessage,
    ConnectionStatus,
    Deliver,
    GetStatistics,
    Quiesce,
    Register,
    RegistryMessage,
    Statistics,
    tell_each,
)

# A walk over all connections lets other tasks run after so many of them.
SLICE = 64


@define
class Entry:
    """A registered connection."""

    info: ConnectionInfo
    last_active: datetime


Room = tuple[str, SessionType]
"""A pipeline and a session type."""


@define
class Table:
    """What the registry knows; it outlives a crash of it, and nobody else touches it.

    `entries` are by connection id; `rooms` has the refs of those that were welcomed; `closed` says that
    nobody else is taken in.
    """

    entries: dict[str, Entry] = field(factory=dict)
    rooms: dict[Room, dict[str, ActorRef[ConnectionMessage]]] = field(factory=dict)
    closed: bool = False

    def welcome(self, connection_id: str) -> None:
        """Count a registered connection from now on."""
        entry = self.entries.get(connection_id)
        if entry is not None:
            self.rooms.setdefault(_room(entry.info), {})[connection_id] = entry.info.ref

    def remove(self, connection_id: str) -> None:
        """Forget a connection, if it is known."""
        entry = self.entries.pop(connection_id, None)
        if entry is None:
            return
        room = _room(entry.info)
        welcomed = self.rooms.get(room, {})
        welcomed.pop(connection_id, None)
        if not welcomed:
            self.rooms.pop(room, None)

    def of(self, pipeline: str) -> list[Entry]:
        """The welcomed connections of a pipeline."""
        return [self.entries[connection_id] for room in self._rooms(pipeline) for connection_id in room]

    def refs_of(self, pipeline: str) -> list[ActorRef[ConnectionMessage]]:
        """Theirs. To look up each entry would cost a tenth of telling it something."""
        return [ref for room in self._rooms(pipeline) for ref in room.values()]

    def _rooms(self, pipeline: str) -> list[dict[str, ActorRef[ConnectionMessage]]]:
        return [welcomed for (uuid, _), welcomed in self.rooms.items() if uuid == pipeline]


def _room(info: ConnectionInfo) -> Room:
    return info.key.pipeline, info.key.session_type


class Registry(Actor[RegistryMessage]):
    """Owns the table of connections.

    Args:
        table: Its own, kept for it over a crash.
        limit: How many connections there may be.
        now: The time of day, in UTC.
    """

    capacity = 4096

    def __init__(self, *, table: Table, limit: int, now: Callable[[], datetime]) -> None:
        self._limit = limit
        self._now = now
        self._table = table
        self._entries = table.entries

    async def started(self) -> None:
        """After a crash: watch everybody again, and so hear of those who went meanwhile."""
        for entry in self._entries.values():
            self._watch(entry.info)

    async def handle(self, message: RegistryMessage) -> None:
        match message:
            case Active():
                if entry := self._entries.get(message.connection_id):
                    entry.last_active = message.at
            case Register():
                self._register(message)
            case Activate():
                self._table.welcome(message.connection_id)
            case ConnectionGone():
                self._table.remove(message.connection_id)
            case GetStatistics():
                message.answer(await self._statistics(message.pipeline))
            case Broadcast():
                message.answer(await self._broadcast(message))
            case Quiesce():
                self._table.closed = True
            case CloseAll():
                message.answer(await self._close_all(Close(message.code, message.reason)))

    def _register(self, request: Register) -> None:
        if self._table.closed:
            request.refuse(Draining())
        elif len(self._entries) >= self._limit:
            request.refuse(Full())
        else:
            info = request.info
            self._entries[info.connection_id] = Entry(info, last_active=info.created_at)
            self._watch(info)
            request.answer(None)

    def _watch(self, info: ConnectionInfo) -> None:
        self.watch(info.ref, partial(ConnectionGone, info.connection_id))

    async def _statistics(self, pipeline: str) -> Statistics:
        by_pipeline: Counter[str] = Counter()
        by_session_type: Counter[str] = Counter()
        for (uuid, session_type), welcomed in self._table.rooms.items():
            by_pipeline[uuid] += len(welcomed)
            by_session_type[session_type] += len(welcomed)
        listed = []
        for number, entry in enumerate(self._table.of(pipeline), start=1):
            info = entry.info
            listed.append(
                ConnectionStatus(
                    connection_id=info.connection_id,
                    session_type=info.key.session_type,
                    created_at=info.created_at,
                    last_active=entry.last_active,
                    is_active=info.ref.alive,
                )
            )
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        return Statistics(by_pipeline.total(), by_pipeline, by_session_type, tuple(listed))

    async def _broadcast(self, request: Broadcast) -> int:
        announced = Deliver(Announced(request.text, self._now()))
        return await _tell(self._table.refs_of(request.pipeline), announced)

    async def _close_all(self, close: Close) -> int:
        # Whoever has not been welcomed yet gets no broadcast, but must not miss that all is closed.
        everybody, told = list(self._entries.values()), 0
        # In slices, for of ten thousand even to look up the refs takes milliseconds.
        for start in range(0, len(everybody), SLICE):
            await trio.lowlevel.checkpoint()
            told += await _tell([entry.info.ref for entry in everybody[start : start + SLICE]], close)
        return told


async def _tell(refs: list[ActorRef[ConnectionMessage]], message: ConnectionMessage) -> int:
    """How many were told."""
    return len(refs) - len(await tell_each(refs, message))
