"""Fault 2: a peer that stops reading hangs shutdown for ever."""

from __future__ import annotations

import signal

import pytest
import trio

from tests.listener.raw import TEXT, connect, frame, upgrade, websocket
from tests.listener.servers import PATHS, PATIENCE, Kind, serving

LONG = 1e6


async def test_stock_hypercorn_waits_for_ever_for_a_peer_that_stopped_reading() -> None:
    """If upstream has cured it, our cure may go."""
    async with serving("stock", "--graceful-timeout", "0") as server, await connect(server.port) as peer:
        await peer.send(upgrade("/flood"))
        await server.get("/stuck")
        server.signal(signal.SIGTERM)

        with trio.move_on_after(2) as waiting:
            await server.exit_code()

    assert waiting.cancelled_caught


@pytest.mark.parametrize("kind", PATHS)
async def test_a_peer_that_stopped_reading_is_aborted(kind: Kind) -> None:
    """Its socket's buffers and its application's task are held for nobody."""
    async with (
        serving(kind, LIMITS={"send_timeout": 0.2}) as server,
        await connect(server.port) as peer,
        await websocket(server.port) as witness,
    ):
        await peer.send(upgrade("/flood"))

        assert await server.get("/wait?flood:1006") == "seen"
        await witness.send(frame(TEXT, "still there?"))
        assert await witness.message() == "still there?"


@pytest.mark.parametrize("kind", ["guarded", "straight"])
async def test_shutdown_does_not_wait_for_a_peer_that_stopped_reading(kind: Kind) -> None:
    """A deploy must not hang on one stalled phone."""
    async with (
        serving(kind, LIMITS={"send_timeout": LONG, "drain": 0}) as server,
        await connect(server.port) as peer,
    ):
        await peer.send(upgrade("/flood"))
        await server.get("/stuck")
        server.signal(signal.SIGTERM)

        await server.printed("lifespan.shutdown")
        assert await server.exit_code() == 0


async def test_a_response_to_a_peer_that_left_is_given_up() -> None:
    """An endless response would run for ever for nobody."""
    async with serving("embedded", LIMITS={"send_timeout": LONG}) as server:
        async with await connect(server.port) as peer:
            await peer.send(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
            with trio.fail_after(PATIENCE):
                assert await peer.status() == 200
            peer.reset()

        assert await server.get("/wait?endless:disconnect") == "seen"
