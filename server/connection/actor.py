"""One actor for each socket: everything that is written to it passes through here, in order.

While the actor is idle and the socket takes it, at once, in the task of whoever tells it something; else
through its mailbox.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorError, ActorRef, Crashed, ExitReason, Restart, Stopped
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

from .framing import PING, frame
from .heartbeat import Heartbeat, Watched
from .outbox import Hole, Outbox
from .output import Control, Unwritten
from .straight import StraightTransport
from .transport import Transport
from .wire import Greeting

log: FilteringBoundLogger = structlog.get_logger(__name__)

DISCONNECTED = "disconnected"
"""The reason a connection is stopped with when its socket is gone."""

# Within these milliseconds clients come back after a restart, lest all come in the same moment.
RECONNECT_MS = (100, 3000)


_PING = frame(PING, b"")


class Connections(Actor[ConnectionsMessage]):
    """The parent of all connections.

    Args:
        mailbox: How many frames may wait for a slow reader.
        mailbox_bytes: How many bytes they may take together.
        greeting: What newcomers are told of the server.
        patience: Seconds in which a ping is to be answered.
        random: Scatters the moments at which clients come back after a restart.
    """

    capacity = 4096

    def __init__(
        self,
        *,
        mailbox: int,
        mailbox_bytes: int,
        greeting: Greeting,
        patience: float,
        random: Random,
    ) -> None:
        self._mailbox = mailbox
        self._mailbox_bytes = mailbox_bytes
        self._greeting = greeting
        self._heartbeat = Heartbeat(greeting.heartbeat, patience)
        self._random = random

    async def started(self) -> None:
        self.start_task(self._heartbeat.run, name="heartbeat")

    async def handle(self, message: ConnectionsMessage) -> None:
        match message:
            case Adopt():
                connection = self.spawn(
                    partial(
                        Connection,
                        transport=message.transport,
                        dialect=message.dialect,
                        greeting=self._greeting,
                        heartbeat=self._heartbeat,
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
        heartbeat: Heartbeat,
        random: Random,
    ) -> None:
        self._transport = transport
        self._straight = transport if isinstance(transport, StraightTransport) else None
        if self._straight is None:
            self._outbox = Outbox(dialect, greeting)
        else:
            self._outbox = output = self._straight.output
            output.begin(dialect, greeting)
            self.consumer = output
        self._heartbeat = heartbeat
        self._watched: Watched | None = None
        self._random = random
        self._closed = False

    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        """Chunks of one reply replace each other while they wait: each holds all of the text so far."""
        kind = type(message)
        if kind is Deliver and type(message.event) is ReplyGrew:
            return message.event.reply.id
        return message.key if kind is Control else None

    @staticmethod
    def weight(message: Any) -> int:
        """Bytes, roughly: a picture is another matter than a word."""
        if type(message) is Deliver:
            return message.event.weight
        return len(message.data) if type(message) in (Unwritten, Control) else 0

    async def started(self) -> None:
        if self._straight is not None:
            writer = Writer(self.ref)
            self._straight.output.owner = writer
            self._watched = self._heartbeat.watch(self._straight, writer.ping)

    async def handle(self, message: ConnectionMessage) -> None:
        match message:
            case Deliver():
                await self._write(message.event)
            case Unwritten():
                assert self._straight is not None
                await self._straight.output.go_on(message.data)
            case Control():
                assert self._straight is not None
                await self._straight.output.write(message.data)
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
        if self._watched is not None:
            self._watched.forget()
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
            made = self._outbox.frames(event)
        except Hole as hole:
            # Going on would hide that something is missing; whoever resumes from its cursor gets it all.
            log.error("an event is missing", connection=self._id, after=hole.last, came=hole.seq)
            await self._close(CloseCode.INTERNAL_ERROR, "something was missed, resume")
            return
        if made is not None:
            await self._transport.send(made)

    async def _close(self, code: int | None, reason: str) -> None:
        if not self._closed:
            self._closed = True
            if code == CloseCode.RESTART and reason:  # our own; a client's is repeated as it was
                reason = f"{reason}, reconnect_ms={self._random.randint(*RECONNECT_MS)}"
            await self._transport.close(code, reason)
            self.stop("closed")


class Writer:
    """Has a transport's own frames written by its actor, in their turn."""

    __slots__ = ("_ref",)

    def __init__(self, ref: ActorRef[ConnectionMessage]) -> None:
        self._ref = ref

    def control(self, data: bytes, key: str) -> None:
        self._tell(Control(data, key))

    def go_on(self, data: bytes) -> None:
        # It always gets in: what was gathered was taken by an actor with nothing to do.
        self._tell(Unwritten(data))

    def ping(self) -> None:
        self._tell(Control(_PING, "ping"))

    def goodbye(self, code: int | None) -> None:
        self._tell(Close(code))

    def _tell(self, message: ConnectionMessage) -> None:
        with suppress(ActorError):  # it is being closed already, or is too slow to be answered
            self._ref.tell_nowait(message)
