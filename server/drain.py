"""Saying goodbye: from the word that the server ends to the last socket closed.

No new sockets and messages; running replies get their time; then every socket is closed with 1012, by which
a client knows that it may come back at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorDied, ActorError, ActorRef
from server.messages import CloseAll, DirectoryMessage, Drain, Quiesce, RegistryMessage

log: FilteringBoundLogger = structlog.get_logger(__name__)

RESTART = 1012
# What the actors may need to answer, beyond the time that running replies get.
MARGIN = 2.0


class Drainer(Actor[Never]):
    """Waits for *begun*, then drains the server once.

    Args:
        begun: Set when the server is to end.
        on_begin, on_end: Called before and after.
        seconds: What running replies get.
    """

    def __init__(
        self,
        *,
        begun: trio.Event,
        on_begin: Callable[[], None],
        on_end: Callable[[], None],
        seconds: float,
        registry: ActorRef[RegistryMessage],
        directory: ActorRef[DirectoryMessage],
    ) -> None:
        self._begun = begun
        self._on_begin = on_begin
        self._on_end = on_end
        self._seconds = seconds
        self._registry = registry
        self._directory = directory

    async def started(self) -> None:
        self.start_task(self._drain, name="drain")

    async def handle(self, message: Never) -> None:
        raise AssertionError("the drainer has no messages")

    async def _drain(self) -> None:
        await self._begun.wait()
        self._on_begin()
        await self._registry.tell(Quiesce())
        await self._finish_replies()
        closed = await self._registry.ask(CloseAll(RESTART, "the server is restarting"), timeout=MARGIN)
        log.info("drained", sockets=closed)
        self._on_end()

    async def _finish_replies(self) -> None:
        with trio.move_on_after(self._seconds + MARGIN):
            while True:
                try:
                    await self._directory.ask(Drain(self._seconds), timeout=self._seconds + MARGIN)
                    return
                except ActorDied:
                    pass  # it crashed meanwhile: its successor is asked
                except ActorError as error:
                    log.warning("some replies may be cut off", error=error)
                    return
