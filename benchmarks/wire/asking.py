"""Requests to a running server's REST routes, and what they cost it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from .process import ServerProcess


def fetch(server: ServerProcess, path: str) -> bytes:
    """The body of what `GET` *path* is answered with.

    Raises:
        RuntimeError: With another status than 200.
    """
    with closing(_connection(server)) as connection:
        return _get(connection, path)


def data(server: ServerProcess, path: str) -> Any:
    """The `data` of what `GET` *path* is answered with."""
    return json.loads(fetch(server, path))["data"]


def cost(server: ServerProcess, path: str, times: int) -> float:
    """Processor seconds for each of *times* requests on one connection, and their answers."""
    with closing(_connection(server)) as connection:
        _get(connection, path)
        began = server.cpu()
        for _ in range(times):
            _get(connection, path)
        return (server.cpu() - began) / times


def settle(server: ServerProcess, patience: float = 60.0) -> None:
    """Wait until *server* has nothing more to do: less than 4 ms of work in 200."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        began = server.cpu()
        time.sleep(0.2)
        if server.cpu() - began < 0.004:
            return


def _connection(server: ServerProcess) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", server.port, timeout=60)


def _get(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(f"GET {path}: {response.status} {body[:200]!r}")
    return body
