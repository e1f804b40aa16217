"""Who is connected: counts, lists, broadcasts. Every change comes as a message, so nothing needs a lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

import trio
from attrs import define, field

from actors import Actor, ActorError, MailboxFull
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
    Draining,
    Full,
    GetStatistics,
    MembersOf,
    Quiesce,
    Register,
    RegistryMessage,
    Statistics,
)

# A fan-out lets other tasks run after so many receivers.
FAN_OUT_SLICE = 64


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
            case MembersOf():
                message.answer(tuple(e.info for e in self._active() if e.info.key == message.key))
            case GetStatistics():
                message.answer(self._statistics(message.pipeline))
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
            self.watch(info.ref, partial(ConnectionGone, info.connection_id))
            request.answer(None)

    def _active(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.active]

    def _statistics(self, pipeline: str) -> Statistics:
        active = self._active()
        return Statistics(
            total_connections=len(active),
            connections_by_pipeline=Counter(e.info.key.pipeline for e in active),
            connections_by_session_type=Counter(e.info.key.session_type for e in active),
            connections=tuple(
                ConnectionStatus(
                    connection_id=e.info.connection_id,
                    session_type=e.info.key.session_type,
                    created_at=e.info.created_at,
                    last_active=e.last_active,
                    is_active=e.info.ref.alive,
                )
                for e in active
                if e.info.key.pipeline == pipeline
            ),
        )

    async def _broadcast(self, request: Broadcast) -> int:
        return await self._tell_all(Deliver(Announced(request.text, self._now())), request.pipeline)

    async def _tell_all(self, message: ConnectionMessage, pipeline: str | None) -> int:
        told = 0
        for number, entry in enumerate(list(self._entries.values()), start=1):
            # Whoever has not been welcomed yet gets no broadcast, but must not miss that all is closed.
            if pipeline is None or (entry.active and entry.info.key.pipeline == pipeline):
                told += _tell(entry.info, message)
            if number % FAN_OUT_SLICE == 0:
                await trio.lowlevel.checkpoint()
        return told


def _tell(info: ConnectionInfo, message: ConnectionMessage) -> bool:
    try:
        info.ref.tell_nowait(message)
    except MailboxFull:
        info.ref.stop("too slow")
        return False
    except ActorError:
        return False  # gone already; word of it is on its way
    return True
