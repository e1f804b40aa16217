"""Wrapped keys in a PostgreSQL database of their own, for servers on several machines.

A removed row's bytes stay in the server's files until VACUUM and the write-ahead log have moved on: that is
not ours to hurry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg

from .errors import KeyStoreError
from .sqlite_store import SqliteKeyStore
from .store import KeyStore, Rows

# "Tkey": processes that rewrap or retire hold it exclusively, those that add keys share it.
_LOCK: Final = 0x546B6579
_CONNECT: Final = 10

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS wrapped_keys (
    id BYTEA PRIMARY KEY,
    master TEXT NOT NULL,
    wrapped BYTEA NOT NULL
)
"""

Connection = psycopg.Connection[tuple[object, ...]]


class PostgresKeyStore(KeyStore):
    """The key store in the database at *url*. With *create* the table is made if it isn't there.

    Raises:
        KeyStoreError: It can't be had.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        # Without user, password and options.
        parts = urlsplit(self._url)
        self.name = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._lock = Lock()
        self._idle: list[Connection] = []
        if create:
            with self.write(alone=True) as rows:
                rows.create(_TABLE)

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[Rows]:
        with self._connection("written") as connection, connection.transaction():
            share = "" if alone else "_shared"
            connection.execute(f"SELECT pg_advisory_xact_lock{share}({_LOCK})")
            yield _rows(connection)

    @contextmanager
    def look(self) -> Iterator[Rows]:
        with self._connection("read") as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield _rows(connection)

    def erase(self) -> None:
        """Nothing: what VACUUM and the log keep, they keep."""

    def backup(self, path: Path) -> None:
        with closing(SqliteKeyStore(path)) as copy, self.look() as rows:
            after = b""
            while page := rows.page(after=after):
                with copy.write() as copied:
                    copied.add(page)
                after = page[-1].id

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _connection(self, what: str) -> Iterator[Connection]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._connect()
            yield connection
        except psycopg.Error as error:
            # The others of before an outage are no better.
            self.close()
            said = str(error).partition("\n")[0] or type(error).__name__
            if isinstance(error, psycopg.ProgrammingError):
                # It may quote the URL, or a value.
                said = type(error).__name__
            raise KeyStoreError(f"key store {self.name} can't be {what}: {said}") from None
        finally:
            if connection is not None:
                self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            return
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> Connection:
        connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT)
        # A commit that is not synced is no promise; stronger settings stay.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        return connection


def _rows(connection: Connection) -> Rows:
    # psycopg wants statements that a type checker can see are literals; ours are, with more question marks.
    cursor: Any = connection.cursor()
    return Rows(cursor, "%s")
