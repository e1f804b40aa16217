"""Wrapped keys in a SQLite file of their own: durable at commit, and gone from the file when removed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

from .errors import KeyStoreError
from .store import KeyStore, Rows

# "Tkey": marks the file as one of ours, so that no other is taken for a key store.
_APPLICATION_ID: Final = 0x546B6579
_VERSION: Final = 1
_BUSY: Final = 5000
# A backup reads for seconds: the bytes of what was destroyed meanwhile are overwritten after it.
_BUSY_ERASING: Final = 250

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS wrapped_keys (
    id BLOB PRIMARY KEY,
    master TEXT NOT NULL,
    wrapped BLOB NOT NULL
) WITHOUT ROWID
"""


class SqliteKeyStore(KeyStore):
    """The key store in the file at *path*, which with *create* is made if it isn't there.

    Raises:
        KeyStoreError: It can't be opened, or is something else.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path = path
        self.name = str(path)
        if not create and not path.exists():
            raise KeyStoreError(f"key store {path} is not there; the server makes it when it starts")
        self._writing = Lock()
        self._lock = Lock()
        self._idle: list[sqlite3.Connection] = []
        self._erase_due = True
        with self._failing("opened"):
            _make_file(path)
            self._writer: sqlite3.Connection | None = self._connect()
            self._prepare(self._writer)
        self.erase()  # what a process that was killed had no time for

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Rows]:
        # SQLite has one writer at a time, *alone* or not.
        with self._writing:
            with self._failing("written"):
                connection = self._writer = self._writer or self._connect()
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    yield Rows(connection, "?")
                    connection.execute("COMMIT")
                except BaseException:
                    # A connection that met a failing disk is not to be trusted with the next transaction.
                    self._writer = None
                    with suppress(sqlite3.Error):
                        connection.rollback()
                    with suppress(sqlite3.Error):
                        connection.close()
                    raise
            if self._erase_due:
                self._try_to_erase()

    @contextmanager
    def look(self) -> Iterator[Rows]:
        with self._failing("read"):
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            connection = connection or self._connect()
            try:
                connection.execute("BEGIN")
                yield Rows(connection, "?")
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._idle.append(connection)

    def erase(self) -> None:
        # `secure_delete` overwrites in the pages; the log still has them as they were, and so has the file
        # until the log's pages are copied into it.
        with self._writing:
            self._erase_due = True
            self._try_to_erase()

    def backup(self, path: Path) -> None:
        with (
            self._failing("copied"),
            closing(self._connect()) as source,
            closing(sqlite3.connect(path)) as copy,
        ):
            source.backup(copy)
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        with self._writing, self._lock:
            for connection in (*self._idle, *([self._writer] if self._writer else [])):
                connection.close()
            self._idle.clear()
            self._writer = None

    def _try_to_erase(self) -> None:
        with self._failing("written"):
            connection = self._writer = self._writer or self._connect()
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_ERASING}")
            try:
                blocked, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
            self._erase_due = bool(blocked)

    def _connect(self) -> sqlite3.Connection:
        # Threads use it one after the other. Transactions are begun and ended by hand.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            if self._is_ours(connection):
                return
            connection.execute("BEGIN IMMEDIATE")
            if not self._is_ours(connection):
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                Rows(connection, "?").create(_TABLE)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        """Whether it is a key store, or else an empty database."""
        (kind,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if kind != _APPLICATION_ID and (kind or tables):
            raise KeyStoreError(f"key store {self._path} is a database of something else")
        if version > _VERSION:
            raise KeyStoreError(f"key store {self._path} is of a newer version")
        return bool(kind == _APPLICATION_ID)

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise KeyStoreError(f"key store {self._path} can't be {what}: {error}") from error
        except OSError as error:
            raise KeyStoreError(f"key store {self._path} can't be {what}: {error.strerror}") from error


def _make_file(path: Path) -> None:
    """The file, its owner's alone whatever the umask. SQLite gives the files beside it the same mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.fchmod(file, 0o600)
        os.fsync(file)
    finally:
        os.close(file)
    for beside in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.chmod(f"{path}{beside}", 0o600)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
