"""What a client missed while it was away: read from the store and told in order, as fast as it reads."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from contextlib import suppress

import structlog
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef
from server.chat import Cursor, Fact, StoreFailing
from server.messages import (
    CatchUp,
    CaughtUp,
    ConnectionInfo,
    ConversationMessage,
    Deliver,
    Event,
    Flush,
    Gap,
    Happened,
    ReadFacts,
    StorageMessage,
)

from .patience import PATIENCE, insist

log: FilteringBoundLogger = structlog.get_logger(__name__)

# Facts that are read at a time.
PAGE = 200
# As many of them, or of such a weight, wait in the connection's mailbox: it must keep room for a broadcast,
# or a client that reads well would be taken for a slow one.
UNFLUSHED = 16
UNFLUSHED_WEIGHT = 2**18


class Missed:
    """The facts between a client's cursor and the moment at which it joined."""

    def __init__(
        self, info: ConnectionInfo, missed: CatchUp, cursor: Cursor, storage: ActorRef[StorageMessage]
    ) -> None:
        self._info = info
        self._connection = info.ref
        self._epoch = cursor.epoch
        self._known = missed.after
        self._upto = missed.upto
        self._storage = storage
        self._unflushed = 0
        self._weight = 0

    async def tell(self, conversation: ActorRef[ConversationMessage]) -> None:
        """Tell the connection all of them, up to a gap if there is one, and then *conversation* to go on.

        Raises:
            StoreFailing: They can't be read.
        """
        with suppress(ActorError):  # the connection is gone, or the conversation is, and with it the other
            while self._known < self._upto:
                facts = await self._read()
                following = [fact for seq, fact in enumerate(facts, self._known + 1) if fact.seq == seq]
                for fact in following:
                    await self._deliver(Happened(self._info.key.session_type, fact))
                self._known += len(following)
                if not following:
                    await self._deliver(Gap(str(Cursor(self._epoch, self._upto)), "trimmed"))
                    break
                await self._flush()
            await conversation.tell(CaughtUp(self._info.connection_id))

    async def _read(self) -> tuple[Fact, ...]:
        def ask() -> Awaitable[tuple[Fact, ...]]:
            question = ReadFacts(self._info.key, self._known, self._upto, PAGE)
            return self._storage.ask(question, timeout=PATIENCE)

        try:
            return await insist(ask)
        except ActorError as error:
            log.warning("what a client missed can't be read", conversation=self._info.key, error=error)
            raise StoreFailing from None

    async def _deliver(self, event: Event) -> None:
        await self._connection.tell(Deliver(event))
        self._unflushed += 1
        self._weight += event.weight
        if self._unflushed >= UNFLUSHED or self._weight >= UNFLUSHED_WEIGHT:
            await self._flush()

    async def _flush(self) -> None:
        """Wait until all is written. A socket that takes nothing at all is given up by its server."""
        self._unflushed = self._weight = 0
        await self._connection.ask(Flush(), timeout=math.inf)
