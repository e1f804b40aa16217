"""Looks after the store from time to time: forgets what is older than it may be, and tidies up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorError, ActorRef
from server.chat import StoreFailing
from server.messages import DirectoryMessage, Forgotten, Maintain, StorageMessage, Trim

log: FilteringBoundLogger = structlog.get_logger(__name__)

# After a start: what a crash has left behind is not to wait for hours.
SOON = 60.0
# How long the store may take for either; a large one is trimmed for the first time.
PATIENCE = 3600.0


@frozen
class Due:
    """It is time to look after the store."""


class Keeper(Actor[Due]):
    """Has the store trimmed and maintained every so often; one that fails is left for the next time.

    Args:
        storage: Does it.
        directory: Is told what was forgotten.
        every: Seconds between the end of one time and the next.
        age: Forget what is older; `None` if nothing is too old.
        keep: Forget all but so many messages of each conversation; `None` if there are never too many.
        now: The time of day in UTC.
    """

    def __init__(
        self,
        *,
        storage: ActorRef[StorageMessage],
        directory: ActorRef[DirectoryMessage],
        every: float,
        age: timedelta | None,
        keep: int | None,
        now: Callable[[], datetime],
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._every = every
        self._age = age
        self._keep = keep
        self._time_of_day = now

    async def started(self) -> None:
        self.after(min(self._every, SOON), Due())

    async def handle(self, message: Due) -> None:
        try:
            if self._age is not None or self._keep is not None:
                await self._trim()
            await self._storage.ask(Maintain(), timeout=PATIENCE)
        except (StoreFailing, ActorError) as error:
            log.warning("the store was not looked after", error=error)
        self.after(self._every, Due())

    async def _trim(self) -> None:
        before = None if self._age is None else self._time_of_day() - self._age
        # A store trims so many at a time; an empty answer says that there is no more.
        while forgotten := await self._storage.ask(Trim(before, self._keep), timeout=PATIENCE):
            for trimmed in forgotten:
                await self._directory.tell(Forgotten(trimmed.key, trimmed.floor, trimmed.message_id))
