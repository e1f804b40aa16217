"""Who writes: the storage actor, the store without it, and sqlite3 with the rows and batches of the first.

All of them make every batch durable: write-ahead log, `synchronous=FULL`, one transaction for each batch.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import trio
import trio.lowlevel
from attrs import define, field
from sqlalchemy import Engine, event

from actors import ActorRef, ActorSystem, Supervisor
from server.chat import Command
from server.messages import Commit, StorageMessage
from server.storage import PlainVault, SqlStore, Storage, in_threads, make_engine, upgrade

from .workload import Script, write


@define
class Lap:
    """What *commits* took, in *batches*; seconds by the clock, of the processor, and of each wait."""

    commits: int
    batches: int
    wall: float
    cpu: float
    waits: list[float] = field(factory=list, repr=False)


@define
class Statement:
    """One call of the driver."""

    text: str
    rows: Any
    many: bool


@define
class Recorded:
    """What one run of the storage actor came to: its batches, as commands and as what the driver was told."""

    commands: list[list[Command[Any]]] = field(factory=list)
    statements: list[list[Statement]] = field(factory=list)


class RecordingStore(SqlStore):
    """Writes down every batch."""

    def __init__(self, engine: Engine, recorded: Recorded) -> None:
        super().__init__(engine, PlainVault())
        self._recorded = recorded

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        self._recorded.commands.append(list(commands))
        self._recorded.statements.append([])
        return super().write(commands)


class RecordingConnection(sqlite3.Connection):
    """Writes down what changes rows. How a transaction begins and ends is known: a batch is one."""

    def __init__(self, *args: Any, recorded: Recorded, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._recorded = recorded

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(partial(RecordingCursor, recorded=self._recorded))


class RecordingCursor(sqlite3.Cursor):
    """Writes down what it executes."""

    def __init__(self, connection: sqlite3.Connection, recorded: Recorded) -> None:
        super().__init__(connection)
        self._recorded = recorded

    def execute(self, text: str, row: Any = (), /) -> Self:
        self._note(Statement(text, row, many=False))
        return super().execute(text, row)

    def executemany(self, text: str, rows: Any, /) -> Self:
        self._note(Statement(text, rows, many=True))
        return super().executemany(text, rows)

    def _note(self, statement: Statement) -> None:
        if self._recorded.statements and not statement.text.lstrip().startswith(("SELECT", "BEGIN")):
            self._recorded.statements[-1].append(statement)


class Root(Supervisor):
    """Runs the storage actor over *store*."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.storage: ActorRef[StorageMessage] | None = None

    async def started(self) -> None:
        self.storage = self.spawn(
            lambda: Storage(store=self._store, execute_write=in_threads(1), execute_read=in_threads(4)),
            name="storage",
        )


def record(directory: Path, script: Script, writers: int, count: int) -> Recorded:
    """What the storage actor makes of the writers' commands."""
    recorded = Recorded()
    engine = _fresh(directory / "recorded.db")
    engine.dispose()  # of the connections whose statements nobody writes down

    def writing_down(_: Any, __: Any, ___: Any, settings: dict[str, Any]) -> None:
        settings["factory"] = partial(RecordingConnection, recorded=recorded)

    event.listen(engine, "do_connect", writing_down)
    store = RecordingStore(engine, recorded)
    _run_actor(store, script, writers, count)
    store.close()
    return recorded


def actor(directory: Path, script: Script, writers: int, count: int) -> Lap:
    """The storage actor: what a conversation sees."""
    store = SqlStore(_fresh(directory / "actor.db"), PlainVault())
    try:
        return _run_actor(store, script, writers, count)
    finally:
        store.close()


def store(directory: Path, recorded: Recorded) -> Lap:
    """The store alone, in one thread, with the same batches."""
    store = SqlStore(_fresh(directory / "store.db"), PlainVault())
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in recorded.commands:
        store.write(batch)
    lap = _lap(recorded, wall, cpu)
    store.close()
    return lap


def raw(directory: Path, recorded: Recorded) -> Lap:
    """sqlite3 alone: the same rows, in the same batches. It reads nothing and answers nobody."""
    path = directory / "raw.db"
    _fresh(path).dispose()
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "cache_size = -16000"):
        connection.execute(f"PRAGMA {setting}")
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in recorded.statements:
        connection.execute("BEGIN IMMEDIATE")
        for statement in batch:
            if statement.many:
                connection.executemany(statement.text, statement.rows)
            else:
                connection.execute(statement.text, statement.rows).fetchall()
        connection.execute("COMMIT")
    lap = _lap(recorded, wall, cpu)
    connection.close()
    return lap


def _lap(recorded: Recorded, wall: float, cpu: float) -> Lap:
    took = time.perf_counter() - wall, time.process_time() - cpu
    return Lap(sum(map(len, recorded.commands)), len(recorded.commands), *took)


def _run_actor(store: SqlStore, script: Script, writers: int, count: int) -> Lap:
    lap = Lap(0, 0, 0.0, 0.0)

    async def main() -> None:
        system, root = ActorSystem(), Root(store)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: system.run(lambda: root, name="root"))
            while root.storage is None:
                await trio.lowlevel.checkpoint()
            storage = root.storage

            async def commit(command: Command[Any]) -> Any:
                return await storage.ask(Commit(command), timeout=60)

            wall, cpu = time.perf_counter(), time.process_time()
            async with trio.open_nursery() as writing:
                for writer in range(writers):
                    writing.start_soon(write, script, writer, count, commit, lap.waits)
            lap.wall, lap.cpu = time.perf_counter() - wall, time.process_time() - cpu
            state = system.get_state("root/storage") or {}
            lap.commits, lap.batches = int(state["commands"]), int(state["batches"])
            system.stop()

    trio.run(main)
    return lap


def _fresh(path: Path) -> Engine:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    engine = make_engine(f"sqlite:///{path}")
    upgrade(engine)
    return engine
