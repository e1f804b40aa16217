"""The database that outlives the simulated processes: the real store's, in memory.

Its tables are made once; each run begins with a copy, which takes a fraction of what migrations do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Engine

from server.storage import PlainVault, SqlStore, make_engine, upgrade

# Statements once compiled, for the engines of all runs: else each would compile them anew.
_compiled: dict[Any, Any] = {}


class Database:
    """One run's database. Calls on its stores never overlap, so each store finds it whole."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine.execution_options(compiled_cache=_compiled)
        self._now = now
        self.store = self.open_store()

    def open_store(self) -> SqlStore:
        """A store as a new process opens it."""
        self.store = SqlStore(self._engine, PlainVault(), now=self._now)
        return self.store

    def dump(self) -> bytes:
        """Every byte of it."""
        data: bytes = _connection(self._engine).serialize()
        return data

    def put_back(self, data: bytes) -> None:
        """Make it what it was when it was dumped."""
        _connection(self._engine).deserialize(data)

    def copy(self) -> Database:
        """Another one with the same content."""
        engine = make_engine("sqlite://")
        _connection(engine).deserialize(self.dump())
        return Database(engine, self._now)

    def close(self) -> None:
        self._engine.dispose()


def fresh_database(now: Callable[[], datetime]) -> Database:
    """An empty database with all its tables."""
    engine = make_engine("sqlite://")
    _connection(engine).deserialize(_template())
    return Database(engine, now)


@cache
def _template() -> bytes:
    engine = make_engine("sqlite://")
    upgrade(engine)
    data: bytes = _connection(engine).serialize()
    engine.dispose()
    return data


def _connection(engine: Engine) -> Any:
    # The pool of a database in memory has one connection, which stays.
    with engine.connect() as connection:
        return connection.connection.driver_connection
