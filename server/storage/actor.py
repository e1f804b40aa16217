"""The one way to the store: what is to be written goes through one task, what is read runs beside it.

A commit costs a sync of the disk, whether for one command or for hundreds. So whatever comes while a batch is
being written becomes the next one (group commit).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import Actor, Question
from server.chat import Refusal, StoreFailing
from server.messages import (
    Commit,
    FindUnsettled,
    Load,
    Maintain,
    ReadFacts,
    ReadMessages,
    StorageMessage,
    Trim,
)

from .backlog import Backlog, Limits, Work
from .port import Store, StoreError
from .threads import Execute

log: FilteringBoundLogger = structlog.get_logger(__name__)

R = TypeVar("R")

# A batch is closed when the others had so many turns in a row and brought no more, or so many seconds.
TURNS, CLOSING = 3, 0.001


class Storage(Actor[StorageMessage]):
    """Does commands in batches, and reads.

    A store that fails declines everything that waits with `StoreFailing`, so that nothing piles up; the next
    that comes tries again. What is being written when this actor ends is finished before its next life
    begins; what only waited is not begun.

    Args:
        store: Survives this actor's crashes.
        execute_write: Runs the store's `write`, `trim` and `maintain`, one at a time.
        execute_read: Runs everything else.
        batch: How many commands to write at once at most.

    Attributes:
        batches, commands: How many were written, in this life.
        largest: The number of commands of the largest batch.
        seconds: How long that took altogether.
        failures: How many batches and reads failed.
        waiting: How many commands wait now.
    """

    capacity = 16_384

    def __init__(
        self, *, store: Store, execute_write: Execute, execute_read: Execute, batch: int = 500
    ) -> None:
        self._store = store
        self._execute_write = execute_write
        self._execute_read = execute_read
        self._batch = batch
        self._backlog = Backlog(Limits(batch=batch))
        self._decided = trio.lowlevel.ParkingLot()
        self._arrived = trio.Event()
        self._answered = 0
        self._writing_fails = False
        self._reading_fails = False
        self.batches = 0
        self.commands = 0
        self.largest = 0
        self.failures = 0
        self.waiting = 0
        self.seconds = 0.0

    async def started(self) -> None:
        self.start_task(self._write_all, name="write")

    async def handle(self, message: StorageMessage) -> None:
        store = self._store
        match message:
            case Commit() | Trim() | Maintain():
                self._put_off(message)
            case Load(key, epoch, messages, after):
                read = partial(store.load, key, epoch=epoch, messages=messages, after=after)
                self._begin_to_read(message, read, behind=self._backlog.undecided(key))
            case ReadFacts(key, after, upto, limit):
                self._begin_to_read(message, partial(store.facts, key, after=after, upto=upto, limit=limit))
            case ReadMessages(key, limit, before, after, alternatives):
                page = partial(
                    store.messages, key, limit=limit, before=before, after=after, alternatives=alternatives
                )
                self._begin_to_read(message, page)
            case FindUnsettled():
                self._begin_to_read(message, store.unsettled)
            case _:
                raise AssertionError(f"the storage actor was told {type(message).__name__}")

    # -- reading

    def _begin_to_read(
        self, question: Question[StorageMessage, R], read: Callable[[], R], behind: int = 0
    ) -> None:
        self.start_task(self._read, question, read, behind, name=type(question).__name__)

    async def _read(self, question: Question[StorageMessage, R], read: Callable[[], R], behind: int) -> None:
        # A conversation that comes back from a crash must not miss what its last life's commands still do.
        while self._backlog.done < behind:
            await self._decided.park()
        try:
            found = await self._execute_read(lambda: None if question.settled else read())
        except StoreError as error:
            self.failures += 1
            if not self._reading_fails:
                self._reading_fails = True
                log.error("the store can't be read", error=error)
            question.refuse(StoreFailing())
            return
        if self._reading_fails:
            self._reading_fails = False
            log.info("the store can be read again")
        if not question.settled:
            question.answer(cast(R, found))

    # -- writing

    def _put_off(self, work: Work) -> None:
        if self._backlog.add(work):
            self.waiting = len(self._backlog)
            self._arrived.set()
        else:
            work.refuse(StoreFailing())

    async def _write_all(self) -> None:
        while True:
            await self._arrived.wait()
            await self._let_more_come()
            batch = self._backlog.take()
            self._answered = len(batch)
            match batch:
                case []:
                    self._arrived = trio.Event()
                case [Trim() as trim]:
                    await self._maintain(trim, partial(self._store.trim, before=trim.before, keep=trim.keep))
                case [Maintain() as maintain]:
                    await self._maintain(maintain, self._store.maintain)
                case commits:
                    await self._write([commit for commit in commits if isinstance(commit, Commit)])
            self._backlog.decide()
            self._decided.unpark_all()
            self.waiting = len(self._backlog)

    async def _let_more_come(self) -> None:
        """Whoever was just answered may have more to say: it is cheaper in this batch than in the next.

        Where nobody was but one, that is what waits now.
        """
        if self._answered <= 1 and len(self._backlog) <= 1:
            return
        idle, until = 0, self.now() + CLOSING
        while idle < TURNS and self.now() <= until and len(self._backlog) < self._batch:
            before = len(self._backlog)
            await trio.lowlevel.checkpoint()
            idle = idle + 1 if len(self._backlog) == before else 0

    async def _write(self, commits: list[Commit[Any]]) -> None:
        began = self.now()
        try:
            outcomes = await self._execute_write(
                partial(self._store.write, [commit.command for commit in commits])
            )
        except StoreError as error:
            self._note_that_writing_fails(error)
            # Whatever waits would fail as well, each batch after its own time.
            for work in (*commits, *self._backlog.take_all()):
                work.refuse(StoreFailing())
            return
        self._note_that_writing_works(len(commits), self.now() - began)
        for commit, outcome in zip(commits, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                commit.refuse(outcome)
            elif isinstance(outcome, StoreError):
                kind = type(commit.command).__name__
                log.error("a command can't be stored", command=kind, error=outcome)
                commit.refuse(StoreFailing())
            else:
                commit.answer(outcome)

    async def _maintain(self, question: Question[StorageMessage, R], work: Callable[[], R]) -> None:
        try:
            question.answer(await self._execute_write(work))
        except StoreError as error:
            self.failures += 1
            log.warning("the store could not be maintained", error=error)
            question.refuse(StoreFailing())

    def _note_that_writing_fails(self, error: StoreError) -> None:
        self.failures += 1
        if not self._writing_fails:
            self._writing_fails = True
            log.error("the store can't be written", error=error)

    def _note_that_writing_works(self, commands: int, seconds: float) -> None:
        self.batches += 1
        self.commands += commands
        self.largest = max(self.largest, commands)
        self.seconds += seconds
        if self._writing_fails:
            self._writing_fails = False
            log.info("the store can be written again")
