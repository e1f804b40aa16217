"""A ping is answered while the loop has no turn to give: amid a fan-out to thousands, say."""

from __future__ import annotations

import select
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from .embedded import embedded
from .running import ECHO

HANDSHAKE = (
    f"GET /api/v1/pipelines/{ECHO}/ws/connect?session_type=person HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
# Masked with zeros, which change nothing.
PING = b'\x81\x8f\0\0\0\0{"type":"ping"}'


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="needs epoll")
async def test_a_fan_out_can_have_pings_answered_without_letting_anybody_run(tmp_path: Path) -> None:
    """The server gives its actors what they need for that; nobody runs between the ping and its pong here."""
    async with embedded(tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
            client.sendall(HANDSHAKE.encode())
            came = b""
            while b'"connected"' not in came:
                came += await trio.to_thread.run_sync(client.recv, 4096)
            await trio.testing.wait_all_tasks_blocked()
            pump = server.app.system.pump
            assert pump is not None
            client.sendall(PING)

            assert pump()

            client.setblocking(False)
            assert b'"pong"' in client.recv(4096)
