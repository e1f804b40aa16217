"""Who is connected: counts, lists, broadcasts. Every change comes as a message, so nothing needs a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

import trio
from attrs import define, field

from actors import Actor
from server.chat import Draining, Full
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
    tell_or_stop,
)

# A walk over all connections lets other tasks run after so many of them.
SLICE = 64


@define
class Entry:
    """A registered connection; not `active` until it has been welcomed."""

    info: ConnectionInfo
    last_active: datetime
    active: bool = False


@define
class Table:
    """What the registry knows; it outlives a crash of it, and nobody else touches it.

    `entries` are by connection id; `closed` says that nobody else is taken in.
    """

    entries: dict[str, Entry] = field(factory=dict)
    closed: bool = False


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
                if entry := self._entries.get(message.connection_id):
                    entry.active = True
            case ConnectionGone():
                self._entries.pop(message.connection_id, None)
            case GetStatistics():
                message.answer(await self._statistics(message.pipeline))
            case Broadcast():
                message.answer(await self._broadcast(message))
            case Quiesce():
                self._table.closed = True
            case CloseAll():
                message.answer(await self._tell_all(Close(message.code, message.reason), None))

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

    def _active(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.active]

    async def _statistics(self, pipeline: str) -> Statistics:
        by_pipeline: Counter[str] = Counter()
        by_session_type: Counter[str] = Counter()
        listed = []
        for number, entry in enumerate(self._active(), start=1):
            info = entry.info
            by_pipeline[info.key.pipeline] += 1
            by_session_type[info.key.session_type] += 1
            if info.key.pipeline == pipeline:
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
        return await self._tell_all(Deliver(Announced(request.text, self._now())), request.pipeline)

    async def _tell_all(self, message: ConnectionMessage, pipeline: str | None) -> int:
        told = 0
        for number, entry in enumerate(list(self._entries.values()), start=1):
            # Whoever has not been welcomed yet gets no broadcast, but must not miss that all is closed.
            if pipeline is None or (entry.active and entry.info.key.pipeline == pipeline):
                told += tell_or_stop(entry.info.ref, message)
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        return told
