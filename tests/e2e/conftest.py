"""One server for each way to start and test module: the tests keep apart by their session ids."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from . import client
from .running import WAYS, Triologue, running


@pytest.fixture(scope="module", params=WAYS)
def triologue(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Triologue]:
    """A running server, started in one way and then the other."""
    with running(request.param, tmp_path_factory.mktemp("triologue")) as server:
        yield server


@pytest.fixture(params=["straight", "asgi"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients whose TCP sockets are handed over to the application, and clients that hypercorn serves."""
    monkeypatch.setattr(client, "always", client.NOT_PLAIN if request.param == "asgi" else [])


@pytest.fixture
def session() -> str:
    """A query string for a conversation that no other test is in."""
    return f"session_id={uuid.uuid4()}"
