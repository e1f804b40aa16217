"""Where wrapped data keys are kept: one table, in a database that holds nothing else.

What is the same in every database is here: the statements, and that one writes in transactions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import frozen

PAGE: Final = 500
"""Rows that one statement reads or writes."""


@frozen
class WrappedKey:
    """A row: the key *id*, as the master key *master* wrapped it."""

    id: bytes
    master: str
    wrapped: bytes


class Cursor(Protocol):
    """What is used of a connection or cursor of Python's DB-API."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, statement: str, values: Sequence[Sequence[Any]], /) -> Any: ...


@frozen
class Rows:
    """The table, in a transaction or outside of one. `mark` is how the database writes a placeholder."""

    _cursor: Cursor
    _mark: str

    def create(self, statement: str) -> None:
        """Make the table, as *statement* does in this database, unless it is there."""
        self._cursor.execute(statement)

    def read(self, ids: Sequence[bytes]) -> list[WrappedKey]:
        """Those of the *ids* that are there."""
        wanted = ", ".join("?" * len(ids))
        return self._select(f"WHERE id IN ({wanted})", ids)

    def page(self, *, after: bytes, before: bytes | None = None, limit: int = PAGE) -> list[WrappedKey]:
        """The first *limit* keys between two ids, exclusive, in order of their ids."""
        if before is None:
            return self._select("WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return self._select("WHERE id > ? AND id < ? ORDER BY id LIMIT ?", (after, before, limit))

    def add(self, keys: Sequence[WrappedKey]) -> None:
        self._executemany("INSERT INTO wrapped_keys (id, master, wrapped) VALUES (?, ?, ?)", keys)

    def add_missing(self, keys: Sequence[WrappedKey]) -> None:
        """Add those whose ids are not there yet."""
        self._executemany(
            "INSERT INTO wrapped_keys (id, master, wrapped) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            keys,
        )

    def replace(self, keys: Sequence[WrappedKey]) -> None:
        """Keep *keys*, which are there, in their new wrapping."""
        self._cursor.executemany(
            self._in("UPDATE wrapped_keys SET master = ?, wrapped = ? WHERE id = ?"),
            [(key.master, key.wrapped, key.id) for key in keys],
        )

    def remove(self, ids: Sequence[bytes]) -> None:
        wanted = ", ".join("?" * len(ids))
        self._cursor.execute(self._in(f"DELETE FROM wrapped_keys WHERE id IN ({wanted})"), ids)

    def counts(self) -> dict[str, int]:
        """How many keys each master key wraps. It reads the whole table."""
        return dict(self._fetch("SELECT master, COUNT(*) FROM wrapped_keys GROUP BY master"))

    def _select(self, where: str, values: Sequence[Any]) -> list[WrappedKey]:
        found = self._fetch(f"SELECT id, master, wrapped FROM wrapped_keys {where}", values)
        return [WrappedKey(bytes(key_id), master, bytes(wrapped)) for key_id, master, wrapped in found]

    def _fetch(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        found: list[Any] = self._cursor.execute(self._in(statement), values).fetchall()
        return found

    def _executemany(self, statement: str, keys: Sequence[WrappedKey]) -> None:
        if keys:
            self._cursor.executemany(self._in(statement), [(key.id, key.master, key.wrapped) for key in keys])

    def _in(self, statement: str) -> str:
        return statement.replace("?", self._mark)


class KeyStore(ABC):
    """A database of wrapped keys. Its methods block, and may be called from several threads.

    Raises:
        KeyStoreError: By every method: it can't be done now. Then nothing was, but for a `write` whose commit
            was under way.
    """

    name: str
    """How it is told to people: without user and password."""

    @abstractmethod
    def write(self, *, alone: bool = False) -> AbstractContextManager[Rows]:
        """A transaction, durable when the block is left, undone if by an exception.

        With *alone* no other process is in one.
        """

    @abstractmethod
    def look(self) -> AbstractContextManager[Rows]:
        """To read beside whoever writes; the whole block sees one moment."""

    @abstractmethod
    def erase(self) -> None:
        """Have nothing of removed rows remain, as far as the database lets us.

        What somebody still reads is left for the next call, or the next write.
        """

    @abstractmethod
    def backup(self, path: Path) -> None:
        """Write the keys of one moment to *path*, an empty file, as a SQLite key store."""

    @abstractmethod
    def close(self) -> None: ...


def in_pages(ids: Collection[bytes]) -> Iterator[list[bytes]]:
    """*ids* in lists that one statement can take."""
    rest = iter(ids)
    while page := list(islice(rest, PAGE)):
        yield page
