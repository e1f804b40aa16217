"""Engines for the two databases, set up so that a commit is a promise.

SQLite: write-ahead log, synchronised at every commit. PostgreSQL: `synchronous_commit` must not be off. Both
keep a reader's transaction at one moment, and make a writer wait for a lock some seconds, not for ever.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, pool
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from .held_file import HeldFile
from .port import StoreUnusable

LOCK_TIMEOUT = 2.0
"""How long a transaction waits for a lock that another has, in seconds."""
CONNECT_TIMEOUT = 5
"""Of a PostgreSQL server, in seconds."""
STATEMENT_TIMEOUT = 30
"""How long a PostgreSQL server may take for one statement, in seconds."""

WRITING = "triologue_writing"
"""The execution option of connections whose transaction is going to write."""


def make_engine(url: str, readers: int = 4) -> Engine:
    """An engine for *url*, `sqlite:///path` or `postgresql://…`, for one writer and *readers* readers.

    Makes an SQLite file, readable by its owner alone, if there is none. Whether a PostgreSQL server is there
    shows at the first use.

    Raises:
        StoreUnusable: The URL names no database of these kinds, or its driver or file can't be used.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreUnusable("the storage URL can't be read") from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, readers)
        case "postgresql" | "postgres":
            return _postgresql(parsed.set(drivername="postgresql+psycopg"), readers)
        case name:
            raise StoreUnusable(f"storage in {name!r} is not supported: use sqlite:/// or postgresql://")


def place_of(engine: Engine) -> str:
    """What to call the database before the operator: without user and password."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return f"the database {url.database or 'in memory'}"
    where = f" at {url.host}" if url.host else ""
    return f"the PostgreSQL database {url.database}{where}"


def for_reading(engine: Engine) -> Engine:
    """*engine*, whose transactions see the database at one moment, and change nothing."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(engine: Engine) -> Engine:
    """*engine*, whose transactions take SQLite's lock at their begin, since they are going to write."""
    return engine.execution_options(**{WRITING: True})


def _sqlite(url: URL, readers: int) -> Engine:
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreUnusable("the storage URL must begin with sqlite:///")
    in_memory = url.database in (None, "", ":memory:")
    settings: dict[str, Any] = {"poolclass": pool.StaticPool}
    if not in_memory:
        assert url.database is not None
        _own_file(Path(url.database))
        # A reader that comes when all are out waits for one to come back.
        settings = {"poolclass": pool.QueuePool, "pool_size": readers + 2, "max_overflow": 0}
    engine = create_engine(
        url,
        hide_parameters=True,
        # With no isolation level the driver begins no transactions by itself: `_begin` does.
        connect_args={"timeout": LOCK_TIMEOUT, "check_same_thread": False, "isolation_level": None},
        **settings,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    if not in_memory:
        _hold_file(engine, Path(url.database or ""))
    return engine


def _hold_file(engine: Engine, path: Path) -> None:
    """Have nothing committed to a file that is not at *path* any more, and none made in its place."""
    file = HeldFile(path)

    def before_commit(connection: Connection) -> None:
        if connection.get_execution_options().get(WRITING):
            file.check()

    event.listen(engine, "do_connect", file.check)
    event.listen(engine, "commit", before_commit)


def _own_file(path: Path) -> None:
    """Make the file with mode 0600 before SQLite would; it gives its log and index the same mode."""
    try:
        new = not path.exists()
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)
        finally:
            os.close(file)
        if new:
            # So that a power cut can't take the name away from what is going to be acknowledged.
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise StoreUnusable(f"the database {path} can't be used: {error.strerror}") from None


def _prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    _write_ahead(cursor)
    for setting in (
        # NORMAL does not sync at commit: an acknowledgement after it would be no promise.
        "synchronous = FULL",
        # Deleted text is overwritten with zeros.
        "secure_delete = ON",
        "cache_size = -16000",
        # So that one large transaction does not leave a large log for ever.
        "journal_size_limit = 67108864",
        "trusted_schema = OFF",
    ):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Have the file use a write-ahead log. Of two who would, SQLite fails one, whatever its time-out."""
    patience = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get(WRITING)
    # A transaction that reads first and writes then could find that another wrote between, and fail at once.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql(url: URL, readers: int) -> Engine:
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            pool_size=readers + 2,
            max_overflow=0,
            # After the server restarted, the pool's connections are dead; that is to cost nobody an error.
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT, "application_name": "triologue"},
        )
    except ModuleNotFoundError:
        raise StoreUnusable("PostgreSQL needs its driver: pip install triologue[postgres]") from None
    except (SQLAlchemyError, TypeError, ValueError):
        raise StoreUnusable("the storage URL can't be read") from None
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(
        f"SET lock_timeout = '{LOCK_TIMEOUT:.0f}s'; "
        f"SET statement_timeout = '{STATEMENT_TIMEOUT}s'; "
        # A process that was stopped in the middle must not keep the locks of all others' conversations.
        f"SET idle_in_transaction_session_timeout = '{STATEMENT_TIMEOUT}s'; "
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()
