"""Fault 1, upstream #225: one unauthenticated request ends the whole process."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from server.listener.connection import Connection
from server.listener.listener import Listener
from tests.listener.raw import TEXT, close_frame, connect, frame, upgrade, websocket
from tests.listener.servers import PATHS, PATIENCE, Kind, serving

KILLERS = {
    "a frame ahead of the accept": upgrade("/echo") + frame(TEXT, "early"),
    "a letter outside ASCII in the subprotocol": upgrade("/echo", "Sec-WebSocket-Protocol: café"),
    "a number that is none in the deflate offer": upgrade(
        "/echo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=abc"
    ),
    "an h2c upgrade with settings that are none": (
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade, http2-settings\r\n"
        b"http2-settings: A\r\n\r\n"
    ),
    "an application that accepts what was not offered": upgrade("/fail-early"),
}
HARMLESS_TO_STOCK = {
    "no Upgrade value": upgrade().replace(b"Upgrade: websocket\r\n", b""),
    "no key": upgrade().replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
    "an old version": upgrade().replace(b"Version: 13", b"Version: 8"),
    "HTTP/1.0": upgrade(version="HTTP/1.0"),
    "a path outside ASCII": upgrade("/café"),
    "a path with escapes that are no UTF-8": upgrade("/%ff%00"),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
    "TLS where none is spoken": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400),
    "a head that never ends": b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000,
    "a body both chunked and counted": (
        b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nxyz"
    ),
    "a tunnel": b"CONNECT /hello HTTP/1.1\r\nhost: x\r\n\r\n",
    "nothing": b"\r\n\r\n\r\n",
}


@pytest.mark.parametrize("attack", KILLERS.values(), ids=KILLERS)
async def test_stock_hypercorn_dies_of_one_request(attack: bytes) -> None:
    """If upstream has cured it, our cure may go."""
    async with serving("stock") as server, await connect(server.port) as peer:
        await peer.send(attack)

        await server.exit_code()


async def test_no_request_ends_anybody_elses_connection() -> None:
    """Whatever one peer sends is its own business alone."""
    async with serving("guarded") as server:
        before = await server.get("/status")
        async with await websocket(server.port) as witness:
            for attack in [*KILLERS.values(), *HARMLESS_TO_STOCK.values()]:
                async with await connect(server.port) as peer:
                    await peer.send(attack)
                    await witness.send(frame(TEXT, "still there?"))

                    assert await witness.message() == "still there?"
            await server.get("/note?go")
        after = await server.get("/status")

    assert after["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("attack", "status"),
    [
        (KILLERS["a letter outside ASCII in the subprotocol"], 400),
        (KILLERS["a number that is none in the deflate offer"], 101),
        (KILLERS["an h2c upgrade with settings that are none"], 200),
        (KILLERS["an application that accepts what was not offered"], 500),
        (HARMLESS_TO_STOCK["no key"], 400),
        (HARMLESS_TO_STOCK["an old version"], 400),
        (HARMLESS_TO_STOCK["HTTP/1.0"], 400),
        (HARMLESS_TO_STOCK["a tunnel"], 501),
        (HARMLESS_TO_STOCK["a path outside ASCII"], 400),
        (HARMLESS_TO_STOCK["HTTP/2 with prior knowledge"], 505),
        (HARMLESS_TO_STOCK["TLS where none is spoken"], 400),
        (HARMLESS_TO_STOCK["a head that never ends"], 431),
    ],
)
async def test_a_bad_request_is_told_so(attack: bytes, status: int) -> None:
    """Somebody may be debugging a client, and a bare end of file says nothing."""
    async with serving("embedded") as server, await connect(server.port) as peer:
        with trio.fail_after(PATIENCE):
            await peer.send(attack)

            assert await peer.status() == status


@pytest.mark.parametrize("kind", PATHS)
async def test_a_refused_handshake_is_closed(kind: Kind) -> None:
    """hypercorn leaves the peer waiting on a connection on which nothing can follow."""
    async with serving(kind) as server, await connect(server.port) as peer:
        with trio.fail_after(PATIENCE):
            await peer.send(HARMLESS_TO_STOCK["no key"])

            assert await peer.status() == 400
            assert await peer.end() == b""


@pytest.mark.parametrize("kind", PATHS)
async def test_frames_ahead_of_the_accept_wait_for_it(kind: Kind) -> None:
    """Nothing is lost of what a hasty peer sent."""
    async with serving(kind) as server, await connect(server.port) as peer:
        await peer.send(upgrade("/late-accept") + frame(TEXT, "early"))
        await server.get("/wait?late_accept:waiting")
        await peer.send(frame(TEXT, "later"))
        await server.get("/note?go")
        with trio.fail_after(PATIENCE):
            assert await peer.status() == 101
            assert [await peer.message(), await peer.message()] == ["early", "later"]


@pytest.mark.parametrize("kind", PATHS)
async def test_frames_ahead_of_a_refusal_are_dropped(kind: Kind) -> None:
    """They belong to a socket that never was."""
    async with serving(kind) as server, await connect(server.port) as peer:
        await peer.send(upgrade("/late-refusal") + frame(TEXT, "early") * 10_000)
        await server.get("/wait?late_refusal:waiting")
        await server.get("/note?go")
        with trio.fail_after(PATIENCE):
            assert await peer.status() == 403
            assert await peer.end() == b""


async def test_an_application_that_fails_costs_its_own_socket() -> None:
    """Close 1011 says whose fault it was."""
    async with serving("guarded") as server, await websocket(server.port, "/fail") as peer:
        await peer.send(frame(TEXT, "go on"))
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1011
            await peer.send(close_frame(1011))
            assert await peer.end() == b""
            await server.printed("RuntimeError: a bug")
        assert await server.get("/") == "hello"


async def app(scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
    """Answer nothing."""
    await receive()


class PoisonedContext(WorkerContext):
    """A part of hypercorn that fails on every request, by an error nobody foresaw."""

    async def mark_request(self) -> None:
        raise RuntimeError("token=secret")


async def test_an_unforeseen_error_ends_its_connection_in_one_line_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a peer sent may be quoted in an error's text, and a log is read by many."""
    listener = Listener(("127.0.0.1:0",), True)
    ours, theirs = trio.socket.socketpair()
    connection = Connection(app, Config(), PoisonedContext(None), {}, listener, trio.SocketStream(ours))
    with caplog.at_level(logging.INFO), theirs:
        await theirs.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with trio.fail_after(PATIENCE):
            await connection.run()

    assert len(caplog.records) == 1
    assert "RuntimeError in mark_request" in caplog.text
    assert "secret" not in caplog.text
    assert listener.open_connections == 0


async def test_cancellation_passes_the_barrier() -> None:
    """A barrier that kept it could not be shut down."""
    ours, theirs = trio.socket.socketpair()
    listener = Listener(("127.0.0.1:0",), True)
    connection = Connection(app, Config(), WorkerContext(None), {}, listener, trio.SocketStream(ours))
    with theirs, trio.CancelScope() as scope:
        scope.cancel()
        await connection.run()

    assert scope.cancelled_caught
    assert listener.open_connections == 0
