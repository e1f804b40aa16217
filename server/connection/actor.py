"""One actor for each socket: everything that is written to it passes through this mailbox, in order."""

from __future__ import annotations

from collections.abc import Hashable
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
    Flush,
    Follow,
    ReplyGrew,
)
from server.protocol import CloseCode

from .transport import Transport
from .wire import Greeting, encoded

log: FilteringBoundLogger = structlog.get_logger(__name__)

DISCONNECTED = "disconnected"
"""The reason a connection is stopped with when its socket is gone."""


class Connections(Actor[ConnectionsMessage]):
    """The parent of all connections.

    Args:
        mailbox: How many frames may wait for a slow reader.
        mailbox_bytes: How many bytes they may take together.
        greeting: What newcomers are told of the server.
    """

    capacity = 4096

    def __init__(self, *, mailbox: int, mailbox_bytes: int, greeting: Greeting) -> None:
        self._mailbox = mailbox
        self._mailbox_bytes = mailbox_bytes
        self._greeting = greeting

    async def handle(self, message: ConnectionsMessage) -> None:
        match message:
            case Adopt():
                transport: Transport = message.transport
                connection = self.spawn(
                    lambda: Connection(transport=transport, greeting=self._greeting),
                    name=message.connection_id,
                    # A socket can't be restarted: its client comes back with a new one.
                    restart=Restart.TEMPORARY,
                    capacity=self._mailbox,
                    bearing=self._mailbox_bytes,
                )
                message.answer(connection)


class Connection(Actor[ConnectionMessage]):
    """Writes to one socket, and closes it when it ends, for whatever reason."""

    def __init__(self, *, transport: Transport, greeting: Greeting) -> None:
        self._transport = transport
        self._greeting = greeting
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
                await self._transport.send(encoded(message.event, self._greeting))
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
            log.info("a slow reader is given up", connection=self.ref.address.rpartition("/")[2])
            declined = Declined("too_slow", "The connection is too slow", retry=True)
            await self._transport.send(encoded(declined, self._greeting))
            await self._close(CloseCode.TOO_SLOW, TOO_SLOW)
        else:
            await self._close(CloseCode.RESTART, "the server is restarting")

    async def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            await self._transport.close(code, reason)
            self.stop("closed")
