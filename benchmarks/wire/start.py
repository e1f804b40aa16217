"""How long a server takes from its start to the first byte that it serves."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from attrs import frozen

from .contestants import ECHO, Contestant, Dialect
from .generator import Figures
from .process import ServerProcess
from .work import Metric, Pace

_PATHS = {
    Dialect.TRIOLOGUE: f"/api/v1/pipelines/{ECHO}/ws/connect",
    Dialect.DOCUMENT: f"/api/v1/pipelines/{ECHO}/ws/connect",
    Dialect.PLAIN: "/echo",
}


@frozen(kw_only=True)
class Start:
    """A fresh process each time, in an empty directory; the system has its files in memory."""

    name: str
    title: str
    metrics: Sequence[Metric] = (
        Metric("serve_seconds", "s to the first HTTP response", less_is_better=True, digits=2),
        Metric("socket_seconds", "s to the first WebSocket frame", less_is_better=True, digits=2),
        Metric("cpu_seconds", "CPU s until then", less_is_better=True, digits=2),
        Metric("mib", "MiB then", less_is_better=True, digits=0),
    )

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """How long *contestant* took to serve a request, and then to greet a socket."""
        with contestant.running() as server:
            greet(server, contestant.dialect)
            spent = time.monotonic() - server.started
            return {
                # One without HTTP serves a WebSocket first.
                "serve_seconds": server.seconds_to_serve if contestant.health else spent,
                "socket_seconds": spent,
                "cpu_seconds": server.cpu(),
                "mib": server.rss() / 2**20,
            }


def greet(server: ServerProcess, dialect: Dialect) -> None:
    """Open a WebSocket and wait for the first frame; where none comes unasked, for the upgrade."""
    awaited = b" 101 " if dialect is Dialect.PLAIN else b'"connected"'
    request = (
        f"GET {_PATHS[dialect]} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(request.encode())
        got = b""
        while awaited not in got:
            more = connection.recv(65536)
            if not more:
                raise RuntimeError(f"the WebSocket was closed after {got!r}")
            got += more
