"""What a server loads, and when: nearly all of a cold start is imports."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .client import connect
from .running import WAYS, Triologue, running

BUILT_IN = "00000000-0000-4000-8000-000000000001"

# What makes tables, what other pipelines, stores and settings need, and what belongs to the command line.
IDLE = (
    "alembic",
    "cryptography",
    "httpx",
    "mako",
    "opentelemetry",
    "psycopg",
    "pygments",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "trio_websocket",
)


def loaded(lines: Iterable[str]) -> set[str]:
    """The modules of which Python tells in *lines* that it has loaded them."""
    return {found[1] for line in lines if (found := re.search(r"import time:.*\| +(\S+)$", line.rstrip()))}


@pytest.fixture(params=WAYS)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Triologue]:
    """A server with the defaults, and the tables of an earlier start, that tells what it loads; ready."""
    with running(request.param, tmp_path, settings=""):
        pass
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with running(request.param, tmp_path, settings="") as server:
        yield server


def test_a_start_loads_nothing_that_the_defaults_can_do_without(server: Triologue) -> None:
    """From the command to the first answer there is a second, and each of these is a good part of it."""
    server.kill()
    modules = loaded(server.lines)

    assert {"server.application", "sqlalchemy", "structlog", "trio"} <= modules
    # Python tells of `rich` itself when it was looked for and not found.
    assert {name for name in modules if name.startswith(tuple(f"{package}." for package in IDLE))} == set()


async def test_a_server_that_is_ready_has_loaded_what_requests_need(server: Triologue) -> None:
    """An import holds every socket; and what is missing is to end the start, not the first request."""
    for path in ("/healthz", "/readyz", "/metrics", "/", "/api/v1/pipelines", "/nowhere"):
        server.call("GET", path)
    async with connect(server.socket_url(BUILT_IN)) as client:
        await client.say("hello")
        await client.until_final()
    assert server.json("GET", f"/api/v1/pipelines/{BUILT_IN}/ws/messages/person")[0] == 200
    server.kill()
    ready = next(place for place, line in enumerate(server.lines) if "Running on" in line)
    late = loaded(server.lines[ready:])

    # A few parts of Python itself are loaded when they are first needed, each within a millisecond or two.
    assert {name for name in late if name.partition(".")[0] not in sys.stdlib_module_names} == set()
