"""The store on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool
from structlog.typing import FilteringBoundLogger

from server.chat import (
    BeginReply,
    Command,
    ConversationKey,
    Edit,
    EndReply,
    Fact,
    Message,
    Post,
    Recall,
    Refusal,
    Reset,
    SaveReply,
    Snapshot,
)
from server.messages import Trimmed

from . import sql_meta, sql_retention
from .engines import LOCK_TIMEOUT, for_reading, for_writing
from .port import StoreError
from .sql_changes import Changes
from .sql_errors import Unfit, VaultFailing, as_store_errors, is_failing, lost_race
from .sql_ledger import Ledger, TakenMeanwhile
from .sql_reading import conversation_row, read_facts, read_messages, read_snapshot
from .sql_run import Run
from .sql_sealing import sweep
from .vault import NeedsSecret, Vault

log: FilteringBoundLogger = structlog.get_logger(__name__)
T = TypeVar("T")

ATTEMPTS = 5
"""How often a transaction is done that loses a race against another process."""

PATIENCE = 3
"""After how many commands that meet with trouble in the vault, and nothing else, a batch is given up."""


ERASING_PATIENCE = 0.1
"""How long a batch that erased something waits for readers, to empty SQLite's log, in seconds."""

_QUICK = (Post, BeginReply, SaveReply, EndReply)
_ERASING = (Recall, Edit, Reset)


def _now() -> datetime:
    return datetime.now(UTC)


class SqlStore:
    """Keeps conversations in the database behind *engine*, whose tables must be there and current.

    Each method is one transaction, or some. Whatever goes wrong in one is rolled back, and does no harm to
    the next.

    Raises:
        StoreError: The database can't be read or written.
    """

    def __init__(self, engine: Engine, vault: Vault, *, now: Callable[[], datetime] = _now) -> None:
        self._engine = engine
        self._vault = vault
        self._now = now
        self._readers = for_reading(engine)
        self._writers = for_writing(engine)
        self._trimming = sql_retention.Trimming()
        self._has_log = engine.dialect.name == "sqlite" and not isinstance(engine.pool, StaticPool)
        # Whether the log may hold what was erased; also what a process that was killed had no time for.
        self._erase_due = self._has_log
        self.commits = self._in_read(sql_meta.commits)
        """How many transactions of `write` the database has seen, as of the last one."""
        if isinstance(vault, NeedsSecret):
            vault.use_secret(self._in_write(sql_meta.digest_secret))

    # Writing

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        if not commands:
            return []
        try:
            return self._write(commands)
        except Unfit:
            # One of them can't be stored: it alone is to hear of it.
            return self._write_apart(commands)

    def _write_apart(self, commands: Sequence[Command[Any]]) -> list[Any]:
        answers: list[Any] = []
        for command in commands:
            try:
                answers += self._write([command])
            except Unfit as error:
                answers.append(error)
                if len(answers) == PATIENCE and all(isinstance(one, VaultFailing) for one in answers):
                    raise  # it isn't them: the key store is gone
        return answers

    def _write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        def do(connection: Connection) -> tuple[list[Any], list[bytes], int]:
            released: list[bytes] = []
            ledger = Ledger(connection)
            ledger.lock(commands)
            answers: list[Any] = []
            for quick, run in groupby(commands, _is_quick):
                if quick:
                    quick_run = Run(connection, self._vault, ledger)
                    answers += quick_run.do(list(run))  # type: ignore[arg-type]
                    quick_run.write()
                else:
                    changes = Changes(connection, self._vault, ledger, released)
                    answers += map(changes.do, run)  # type: ignore[arg-type]
            ledger.save()
            # Last, because it is the one row that all writers share.
            return answers, released, sql_meta.count_commit(connection)

        answers, released, self.commits = self._in_write(do)
        self._destroy(released)
        erased = any(
            isinstance(command, _ERASING) and not isinstance(answer, Refusal)
            for command, answer in zip(commands, answers, strict=True)
        )
        self._erase(erased)
        return answers

    def trim(self, *, before: datetime | None, keep: int | None) -> tuple[Trimmed, ...]:
        """Trim some conversations, since nobody can write meanwhile; once it answers `()` all are trimmed."""
        while True:
            released: list[bytes] = []

            def some(connection: Connection, released: list[bytes] = released) -> tuple[Trimmed, ...]:
                released.clear()  # of an attempt that was rolled back
                return self._trimming.run(connection, before=before, keep=keep, released=released)

            trimmed = self._in_write(some)
            self._destroy(released)
            self._erase(bool(trimmed))
            if trimmed or self._trimming.at_end:
                return trimmed

    def maintain(self) -> None:
        self._in_write(lambda connection: sql_retention.forget_claims(connection, self._now()))
        with as_store_errors(self._engine):
            sweep(self._vault, self._used)
        if self._has_log:
            self._empty_log(LOCK_TIMEOUT)

    def new_epochs(self) -> None:
        """Give every conversation a new epoch, so that no cursor from before leads anywhere."""
        self._in_write(lambda connection: sql_retention.draw_epochs(connection, self._vault))

    # Reading

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        def read(connection: Connection) -> Snapshot:
            row = conversation_row(connection, key)
            if row is None:
                return Snapshot(epoch=epoch)
            return read_snapshot(connection, self._vault, row, limit=messages, after=after)

        return self._in_read(read)

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]:
        def read(connection: Connection) -> tuple[Fact, ...]:
            row = conversation_row(connection, key)
            if row is None:
                return ()
            return read_facts(connection, self._vault, row, after=after, upto=upto, limit=limit)

        return self._in_read(read)

    def messages(
        self,
        key: ConversationKey,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        alternatives: bool = False,
    ) -> tuple[Message, ...]:
        def read(connection: Connection) -> tuple[Message, ...]:
            row = conversation_row(connection, key)
            if row is None:
                return ()
            return read_messages(
                connection,
                self._vault,
                row,
                limit=limit,
                before=before,
                after=after,
                alternatives=alternatives,
            )

        return self._in_read(read)

    def unsettled(self) -> tuple[ConversationKey, ...]:
        return self._in_read(sql_retention.find_unsettled)

    # What the mark outside the database is compared with

    @property
    def run(self) -> str:
        """Who wrote last; "" if nobody did."""
        return self.get_meta(sql_meta.RUN) or ""

    def begin_run(self, run: str) -> None:
        self.set_meta(sql_meta.RUN, run)

    def read_commits(self) -> int:
        """How many transactions of `write` the database says there have been, others' included."""
        return self._in_read(sql_meta.commits)

    @property
    def empty(self) -> bool:
        """Whether no conversation has begun."""
        return self._in_read(sql_retention.is_empty)

    def get_meta(self, key: str) -> str | None:
        """What was set for *key*."""
        return self._in_read(lambda connection: sql_meta.get(connection, key))

    def set_meta(self, key: str, value: str) -> None:
        self._in_write(lambda connection: sql_meta.put(connection, key, value))

    def close(self) -> None:
        self._engine.dispose()
        self._vault.close()

    # Transactions

    def _in_write(self, work: Callable[[Connection], T]) -> T:
        with as_store_errors(self._engine):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    with self._transaction(self._writers) as connection:
                        return work(connection)
                except (TakenMeanwhile, DBAPIError) as error:
                    if attempt == ATTEMPTS or not lost_race(error):
                        raise
        raise AssertionError("never comes here")

    def _in_read(self, work: Callable[[Connection], T]) -> T:
        with as_store_errors(self._engine), self._transaction(self._readers) as connection:
            return work(connection)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with engine.connect() as connection:
            try:
                with connection.begin():
                    yield connection
            except Exception as error:
                # Who knows what is left of it. The next transaction gets a fresh one.
                if is_failing(error) and not isinstance(engine.pool, StaticPool):
                    connection.invalidate()
                raise

    def _used(self, ids: Collection[bytes]) -> Collection[bytes]:
        return self._in_read(lambda connection: sql_retention.used_keys(connection, ids))

    def _destroy(self, keys: list[bytes]) -> None:
        if not keys:
            return
        try:
            self._vault.destroy(keys)
        except Exception as error:
            # A boundary: what they sealed is gone, and that is committed. `maintain` sweeps the keys.
            log.warning("keys not destroyed yet", keys=len(keys), error=type(error).__name__)

    def _erase(self, erased: bool) -> None:
        """Have what was *erased*, now or before, out of SQLite's log too; or try after the next batch."""
        if not self._has_log or not (erased or self._erase_due):
            return
        self._erase_due = True
        try:
            # Who erases waits a little for those who read just now. The batches after it don't.
            self._empty_log(ERASING_PATIENCE if erased else 0)
        except StoreError as error:
            # The batch is committed: that it can't be told now would be wrong.
            log.warning("the log is not emptied yet", error=str(error))

    def _empty_log(self, patience: float) -> None:
        """Have SQLite's log cut off, which still holds what was erased; if nobody reads just then."""
        with as_store_errors(self._engine), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
            try:
                ((blocked, _, _),) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                driver.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT * 1000:.0f}")
        self._erase_due = bool(blocked)


def _is_quick(command: Command[Any]) -> bool:
    return isinstance(command, _QUICK)
