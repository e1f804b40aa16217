"""The stores that the suite runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.storage import SqlStore

from .places import Clock, Place, Server, careless


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a fresh database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/triologue.db"
        return
    server: Server = request.getfixturevalue("server")
    url = server.new_database()
    yield url
    server.drop(url)


@pytest.fixture(params=["plain", "sealed"])
def place(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Place]:
    with Place(url, tmp_path if request.param == "sealed" else None) as place:
        yield place


@pytest.fixture
def store(place: Place) -> SqlStore:
    return place.open(prepare=careless)


@pytest.fixture
def clock(place: Place) -> Clock:
    return place.clock


@pytest.fixture
def file_place(tmp_path: Path) -> Iterator[Place]:
    """On SQLite, in clear."""
    with Place(f"sqlite:///{tmp_path}/triologue.db") as place:
        yield place
