"""Opens a store for a server, or for a command that takes a server's place."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import structlog
from attrs import frozen
from sqlalchemy import Engine, exists, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from .engines import for_reading, for_writing, make_engine, place_of
from .mark import Mark, Verdict
from .marked import MarkedStore
from .migrations import upgrade
from .port import StoreError, StoreUnusable
from .schema import messages
from .sql_meta import get, put
from .sql_store import SqlStore
from .vault import PlainVault, Vault

log: FilteringBoundLogger = structlog.get_logger(__name__)

KEY_STORE = "key_store"
"""Where the data's `meta` names the key store beside it."""

_SAID: dict[Verdict, str] = {
    "older": "an older copy of the store was put back",
    "foreign": "another copy of the store was put back",
    "garbled": "the store's mark makes no sense",
    "unmarked": "the store has no mark",
}


def name_of_key_store(vault: Vault) -> str | None:
    """What the data calls *vault*'s key store: a digest that only that one can make. None if it has none."""
    if isinstance(vault, PlainVault):
        return None
    return vault.digest(b"the key store beside this data").hex()


def open_store(
    url: str, *, mark: Path, readers: int, vault: Vault, now: Callable[[], datetime]
) -> MarkedStore:
    """The store at *url*, its tables brought up to date, its history checked against the file *mark*.

    Blocks. Whoever calls owns the data directory, where *mark* is. *vault* is closed with the store, also if
    there will be none.

    Raises:
        StoreUnusable: It can't be opened. The text is one line without secrets.
    """
    return _open(url, mark=mark, readers=readers, vault=vault, now=now)[1]


@frozen
class Alone:
    """A store that no server uses now, and the database it is in."""

    engine: Engine
    store: MarkedStore


@contextmanager
def opened_alone(
    url: str, *, mark: Path, vault: Vault, now: Callable[[], datetime], replacing: bool = False
) -> Iterator[Alone]:
    """The store at *url*, opened as a server opens it, for who changes it in a server's place.

    Who is *replacing* all of it may do so while it and the key store do not belong together yet.

    Raises:
        StoreUnusable: It can't be opened.
    """
    engine, store = _open(url, mark=mark, readers=1, vault=vault, now=now, replacing=replacing)
    with closing(store):
        yield Alone(engine, store)


@contextmanager
def opened_beside(url: str) -> Iterator[Engine]:
    """The database at *url* for who reads it while a server may run: nothing is made, nothing upgraded.

    Raises:
        StoreUnusable: It can't be opened, or isn't there.
    """
    _is_there(url)
    engine = make_engine(url, readers=1)
    try:
        yield engine
    finally:
        engine.dispose()


def _open(
    url: str,
    *,
    mark: Path,
    readers: int,
    vault: Vault,
    now: Callable[[], datetime],
    replacing: bool = False,
) -> tuple[Engine, MarkedStore]:
    try:
        engine = open_engine(url, readers=readers)
        try:
            _can_be_read(engine, vault)
            _belong_together(engine, vault, replacing=replacing)
            # A file without its mark was copied here. A database server stays where it is, while the machines
            # that use it, and what is on their disks, come and go.
            trusting = engine.dialect.name != "sqlite"
            return engine, _marked(SqlStore(engine, vault, now=now), mark, trusting=trusting)
        except BaseException:
            engine.dispose()
            raise
    except BaseException as error:
        vault.close()
        if isinstance(error, StoreError) and not isinstance(error, StoreUnusable):
            raise StoreUnusable(str(error)) from error
        raise


def open_engine(url: str, *, readers: int = 1) -> Engine:
    """The database at *url*, its tables brought up to date.

    Raises:
        StoreUnusable: It can't be opened.
    """
    engine = make_engine(url, readers)
    try:
        upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _marked(store: SqlStore, path: Path, *, trusting: bool) -> MarkedStore:
    mark = Mark.open(path)
    counted = mark.known.commits if mark.known is not None else 0
    try:
        verdict = mark.begin(store, secrets.token_hex(8), trusting=trusting)
    except BaseException:
        mark.close()
        raise
    if verdict == "unmarked" and trusting:
        log.info("the store has no mark yet: it is taken for the newest of its history", mark=str(path))
    elif verdict == "empty" and store.commits < counted:
        log.warning("the store is empty, and was not before: the history is gone", mark=str(path))
    elif verdict in _SAID:
        log.warning(f"{_SAID[verdict]}: every conversation has a new epoch", mark=str(path))
    return MarkedStore(store, mark)


def _is_there(url: str) -> None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # told when it is opened
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise StoreUnusable(f"there is no database {parsed.database}")


def _can_be_read(engine: Engine, vault: Vault) -> None:
    """A server that could read no message must not start."""
    if not isinstance(vault, PlainVault):
        return
    try:
        with for_reading(engine).begin() as connection:
            sealed = connection.execute(select(exists().where(messages.c.key_id.is_not(None)))).scalar_one()
    except SQLAlchemyError as error:
        raise StoreError(f"{place_of(engine)} can't be read") from error
    if sealed:
        raise StoreUnusable(
            f"messages in {place_of(engine)} are encrypted: encryption.key_file has to name their master keys"
        )


def _belong_together(engine: Engine, vault: Vault, *, replacing: bool) -> None:
    """A key store serves the data that it sealed, and no other.

    Beside data of which it knows nothing, `maintain` would take all its keys for orphans and destroy them;
    and without them, all messages would look recalled. Who is *replacing* all data may put just that right.
    """
    name = name_of_key_store(vault)
    if name is None:
        return
    try:
        with for_writing(engine).begin() as connection:
            known = get(connection, KEY_STORE)
            if known is None and not (replacing and not vault.is_empty()):
                if not vault.is_empty():
                    raise StoreUnusable(
                        f"the key store holds keys of other data than {place_of(engine)}: restore that,"
                        " or move the key store away"
                    )
                put(connection, KEY_STORE, name)
    except SQLAlchemyError as error:
        raise StoreError(f"{place_of(engine)} can't be written") from error
    if known is not None and known != name and not replacing:
        raise StoreUnusable(
            f"the key store is not the one that sealed what is in {place_of(engine)}: restore that one"
        )
