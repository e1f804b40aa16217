"""Copies of a whole store: SQLite files with the tables of `schema`, whatever database the store is in.

Bodies stay as sealed as they are, and no key goes along.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen
from sqlalchemy import Connection, Engine, Table, create_engine, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from .engines import for_reading, for_writing, make_engine, place_of
from .migrations import revision_of, upgrade
from .new_file import FileThere, new_file
from .opening import KEY_STORE, name_of_key_store
from .port import StoreError, StoreUnusable
from .schema import REVISIONS, conversations, messages, meta, tables
from .sql_ledger import pages
from .sql_meta import COMMITS, RUN, get, put
from .sql_retention import draw_epochs, is_empty
from .sql_sealing import VaultTrouble, keys_of
from .vault import Vault

AT_ONCE = 1000
"""Rows that are in memory at once."""


@frozen
class Restored:
    """What a store has now; of the `messages`, `lost` ones can't be read, since their keys are gone."""

    conversations: int
    messages: int
    lost: int


def back_up(engine: Engine, path: Path, *, overwrite: bool = False) -> None:
    """Write what *engine* holds at one moment to the file *path* (0600), whole or not at all.

    A server may write on meanwhile.

    Raises:
        StoreError: That can't be done, or there is a file and *overwrite* is not said.
    """
    try:
        with new_file(path, overwrite=overwrite) as beside, reading(engine) as connection:
            if engine.dialect.name == "sqlite":
                # Without what was deleted: free pages are left behind. One statement is one moment.
                connection.rollback()
                driver: Any = connection.connection.driver_connection
                driver.execute("VACUUM INTO ?", (str(beside),))
            else:
                _copy_to_file(connection, beside)
    except FileThere:
        raise StoreError(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from None
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{path} can't be written: {_kind(error)}") from error


def restore(engine: Engine, path: Path, vault: Vault, *, overwrite: bool = False) -> Restored:
    """Have the copy at *path* take the place of all there is in *engine*, with new epochs, or change nothing.

    Without *overwrite*, only if there are no conversations.

    Raises:
        StoreError: That can't be done, or *path* is no copy, or one of another release, or what is in it was
            sealed beside another key store than *vault*'s.
    """
    try:
        with _opened_copy(path) as copy, for_writing(engine).begin() as connection:
            unhurried(connection)
            if not overwrite and not is_empty(connection):
                raise StoreError(f"{place_of(engine)} holds conversations; --force has them go")
            name = name_of_key_store(vault)
            if name is not None and get(copy, KEY_STORE) not in (None, name):
                raise StoreError(
                    f"the key store is not the one that sealed what is in {path}: restore that first"
                )
            for table in reversed(tables.sorted_tables):
                # Who wrote here last, and how often, stays: the mark outside the database knows of it.
                kept = meta.c.key.in_((RUN, COMMITS)) if table is meta else None
                connection.execute(delete(table) if kept is None else delete(table).where(~kept))
                _copy_rows(copy, connection, table)
            if engine.dialect.name == "postgresql":
                _go_on_counting(connection)
            if name is not None:
                # A copy from before there was encryption names none.
                put(connection, KEY_STORE, name)
            draw_epochs(connection, vault)
            return _count(connection, vault)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{place_of(engine)} can't be written: {_kind(error)}") from error
    except VaultTrouble as error:
        raise StoreError(f"{path} can't be restored: {error.__cause__}") from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees *engine* at one moment for as long as it takes.

    Raises:
        StoreUnusable: Its tables are none of ours, or not current.
    """
    try:
        connection = for_reading(engine).connect()
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreUnusable(f"{place_of(engine)} can't be read: {said}") from error
    with connection:
        try:
            unhurried(connection)
            revision = revision_of(connection)
        except SQLAlchemyError as error:
            raise StoreUnusable(f"{place_of(engine)} can't be read: {_kind(error)}") from error
        _is_current(revision, place_of(engine))
        yield connection


def unhurried(connection: Connection) -> None:
    """Let this transaction take longer than a server's may."""
    if connection.dialect.name == "postgresql":
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))


@contextmanager
def _opened_copy(path: Path) -> Iterator[Connection]:
    """The file at *path*, which is not written to."""
    if not path.is_file():
        raise StoreError(f"{path} is no file")
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None),
        poolclass=NullPool,
    )
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql("BEGIN")
            revision = revision_of(connection)
        except SQLAlchemyError as error:
            raise StoreUnusable(f"{path} can't be read: {getattr(error, 'orig', None)}") from None
        _is_current(revision, str(path))
        yield connection


def _is_current(revision: str | None, what: str) -> None:
    if revision is None:
        raise StoreUnusable(f"{what} holds no conversations of Triologue's")
    if revision not in REVISIONS:
        raise StoreUnusable(f"{what} was made by a newer Triologue; use that one")
    if revision != REVISIONS[-1]:
        raise StoreUnusable(
            f"{what} was made by an older Triologue; `triologue db upgrade` brings it up to date"
        )


def _copy_to_file(source: Connection, path: Path) -> None:
    engine = make_engine(f"sqlite:///{quote(str(path))}", 1)
    try:
        upgrade(engine)
        with for_writing(engine).begin() as target:
            for table in tables.sorted_tables:
                _copy_rows(source, target, table)
    finally:
        engine.dispose()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        # One file without companions, that can be read where nothing can be written.
        file.execute("PRAGMA journal_mode = DELETE").fetchall()


def _copy_rows(source: Connection, target: Connection, table: Table) -> None:
    rows = source.execution_options(yield_per=AT_ONCE).execute(select(table))
    for page in pages(rows.mappings(), AT_ONCE):
        copied = [dict(row) for row in page]
        if table is meta:
            copied = [row for row in copied if row["key"] not in (RUN, COMMITS)]
        if copied:
            target.execute(insert(table), copied)


def _go_on_counting(connection: Connection) -> None:
    """Rows that came with their numbers did not move the sequence that numbers the next."""
    highest = select(func.coalesce(func.max(conversations.c.id), 0) + 1).scalar_subquery()
    sequence = func.pg_get_serial_sequence("conversations", "id")
    connection.execute(select(func.setval(sequence, highest, False)))


def _count(connection: Connection, vault: Vault) -> Restored:
    there = connection.execute(select(func.count()).select_from(conversations)).scalar_one()
    said = connection.execute(select(func.count()).select_from(messages)).scalar_one()
    sealed = connection.execute(
        select(messages.c.key_id).where(messages.c.key_id.is_not(None)).execution_options(yield_per=AT_ONCE)
    ).scalars()
    # Of a page's keys one more is there: that of what isn't sealed.
    lost = sum(len(page) + 1 - len(keys_of(vault, page)) for page in pages(map(bytes, sealed), AT_ONCE))
    return Restored(there, said, lost)


def _kind(error: Exception) -> str:
    """What to call *error*: no more than that, since the text of a statement may be in it."""
    return type(getattr(error, "orig", None) or error).__name__
