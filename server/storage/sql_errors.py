"""What goes wrong in a transaction, as who calls the store hears of it.

There are two kinds. Either the database can't go on: its disk, its lock, the way to it. Then all fail. Or it
works, and can't hold what one of the commands says: then only that one does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)

from .engines import place_of
from .port import StoreError
from .sql_ledger import TakenMeanwhile
from .sql_sealing import VaultTrouble

_ABOUT_DATA = (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    # What Python's side of a driver, or JSON, can't turn into bytes; and what of the stored makes no sense.
    ValueError,
    TypeError,
    OverflowError,
    LookupError,
)
_LOST_RACES = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock


class Unfit(StoreError):
    """The database works, but can't hold, or make sense of, what this is about."""


class VaultFailing(Unfit):
    """So it may be, or the key store is gone."""


def is_failing(error: Exception) -> bool:
    """Whether it is the database that can't go on."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, SQLAlchemyError | sqlite3.Error | OSError) and not isinstance(error, _ABOUT_DATA)


def lost_race(error: Exception) -> bool:
    """Whether another process was faster, and trying again may do."""
    if isinstance(error, TakenMeanwhile):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _LOST_RACES


@contextmanager
def as_store_errors(engine: Engine) -> Iterator[None]:
    """What is raised inside comes out as a `StoreError`, whose own text has nothing of what was stored."""
    try:
        yield
    except VaultTrouble as error:
        raise VaultFailing(str(error)) from error
    except (SQLAlchemyError, sqlite3.Error, OSError, TakenMeanwhile, *_ABOUT_DATA) as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        if is_failing(error) or isinstance(error, TakenMeanwhile):
            raise StoreError(f"{place_of(engine)} fails: {kind}") from error
        raise Unfit(f"{place_of(engine)} can't hold this: {kind}") from error
