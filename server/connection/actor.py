"""One actor for each socket: everything that is written to it passes through this mailbox, in order."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from random import Random
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from actors import Actor, Crashed, ExitReason, Restart, Stopped
from server.messages import (
    TOO_SLOW,
    Adopt,
    Close,
    ConnectionMessage,
    ConnectionsMessage,
    ConversationLost,
    Declined,
    Deliver,
    Dialect,
    Event,
    Flush,
    Follow,
    ReplyGrew,
)
from server.protocol import CloseCode

from .outbox import Hole, Outbox
from .transport import Transport
from .wire import Greeting

log: FilteringBoundLogger = structlog.get_logger(__name__)

DISCONNECTED = "disconnected"
"""The reason a connection is stopped with when its socket is gone."""

# Within these milliseconds clients come back after a restart, lest all come in the same moment.
RECONNECT_MS = (100, 3000)


class Connections(Actor[ConnectionsMessage]):
    """The parent of all connections.

    Args:
        mailbox: How many frames may wait for a slow reader.
        mailbox_bytes: How many bytes they may take together.
        greeting: What newcomers are told of the server.
        random: Scatters the moments at which clients come back after a restart.
    """

    capacity = 4096

    def __init__(
        self,
        *,
        mailbox: int,
        mailbox_bytes: int,
        greeting: Greeting,
        random: Random,
    ) -> None:
        self._mailbox = mailbox
        self._mailbox_bytes = mailbox_bytes
        self._greeting = greeting
        self._random = random

    async def handle(self, message: ConnectionsMessage) -> None:
        match message:
            case Adopt():
                connection = self.spawn(
                    partial(
                        Connection,
                        transport=message.transport,
                        dialect=message.dialect,
                        greeting=self._greeting,
                        random=self._random,
                    ),
                    name=message.connection_id,
                    # A socket can't be restarted: its client comes back with a new one.
                    restart=Restart.TEMPORARY,
                    capacity=self._mailbox,
                    bearing=self._mailbox_bytes,
                )
                message.answer(connection)


class Connection(Actor[ConnectionMessage]):
    """Writes to one socket, and closes it when it ends, for whatever reason."""

    def __init__(
        self,
        *,
        transport: Transport,
        dialect: Dialect,
        greeting: Greeting,
        random: Random,
    ) -> None:
        self._transport = transport
        self._outbox = Outbox(dialect, greeting)
        self._random = random
        self._closed = False

    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        """Chunks of one reply replace each other while they wait: each holds all of the text so far."""
        if type(message) is Deliver and type(message.event) is ReplyGrew:
            return message.event.message.id
        return None

    @staticmethod
    def weight(message: Any) -> int:
        """Bytes, roughly: a picture is another matter than a word."""
        return message.event.weight if type(message) is Deliver else 0

    async def handle(self, message: ConnectionMessage) -> None:
        match message:
            case Deliver():
                await self._write(message.event)
            case Flush():
                message.answer(None)
            case Follow():
                self.watch(message.conversation, ConversationLost)
            case ConversationLost():
                await self._close(CloseCode.INTERNAL_ERROR, "the conversation was lost")
            case Close():
                await self._close(message.code, message.reason)

    async def stopped(self, reason: ExitReason) -> None:
        """Close the socket, if that has not been done, saying why."""
        if self._closed or reason == Stopped(DISCONNECTED):
            return
        if isinstance(reason, Crashed):
            await self._close(CloseCode.INTERNAL_ERROR, "internal error")
        elif reason.reason == TOO_SLOW:
            log.info("a slow reader is given up", connection=self._id)
            await self._write(Declined("too_slow", "The connection is too slow", retry=True))
            await self._close(CloseCode.TOO_SLOW, TOO_SLOW)
        else:
            await self._close(CloseCode.RESTART, "the server is restarting")

    @property
    def _id(self) -> str:
        return self.ref.address.rpartition("/")[2]

    async def _write(self, event: Event) -> None:
        try:
            frame = self._outbox.frame(event)
        except Hole as hole:
            # Going on would hide that something is missing; whoever resumes from its cursor gets it all.
            log.error("an event is missing", connection=self._id, after=hole.last, came=hole.seq)
            await self._close(CloseCode.INTERNAL_ERROR, "something was missed, resume")
            return
        if frame is not None:
            await self._transport.send(frame)

    async def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            if code == CloseCode.RESTART:
                reason = f"{reason}, reconnect_ms={self._random.randint(*RECONNECT_MS)}"
            await self._transport.close(code, reason)
            self.stop("closed")
