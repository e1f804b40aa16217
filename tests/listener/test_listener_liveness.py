"""Fault 10: pings that nobody has to answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.listener.raw import BINARY, PING, PONG, TEXT, Raw, frame, websocket
from tests.listener.servers import PATHS, PATIENCE, Kind, serving

QUICK = {"ping_interval": 0.1, "pong_timeout": 0.2}


async def pinged(peer: Raw, times: int) -> None:
    """Read *times* pings, answering none."""
    while times:
        found = await peer.frame()
        assert found is not None, "closed"
        times -= found[0] == PING


async def test_stock_hypercorn_pings_the_dead_for_ever(tmp_path: Path) -> None:
    """If upstream has cured it, our cure may go."""
    config = tmp_path / "hypercorn.toml"
    config.write_text("websocket_ping_interval = 0.05\n")
    async with serving("stock", "--config", str(config)) as server, await websocket(server.port) as peer:
        with trio.fail_after(PATIENCE):
            await pinged(peer, 20)


@pytest.mark.parametrize("kind", PATHS)
async def test_a_peer_of_whom_nothing_is_heard_is_cut_off(kind: Kind) -> None:
    """A phone out of reach never says goodbye."""
    async with serving(kind, LIMITS=QUICK) as server, await websocket(server.port) as peer:
        with trio.fail_after(PATIENCE):
            await pinged(peer, 1)
            await peer.end()
        assert await server.get("/wait?echo:1006") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_a_peer_that_answers_pings_stays(kind: Kind) -> None:
    """It need not have anything to say."""
    async with serving(kind, LIMITS=QUICK) as server, await websocket(server.port) as peer:
        with trio.fail_after(PATIENCE):
            for _ in range(10):
                await pinged(peer, 1)
                await peer.send(frame(PONG))
            await peer.send(frame(TEXT, "still here"))
            assert await peer.message() == "still here"


@pytest.mark.parametrize("kind", PATHS)
async def test_any_sign_of_life_will_do(kind: Kind) -> None:
    """A peer in the midst of a large message cannot answer between its fragments' bytes."""
    async with serving(kind, LIMITS=QUICK) as server, await websocket(server.port) as peer:
        with trio.fail_after(PATIENCE):
            for index in range(10):
                await pinged(peer, 1)
                await peer.send(frame(TEXT if index == 0 else 0, "x", fin=False))
            await peer.send(frame(0, "!"))
            assert await peer.message() == "x" * 10 + "!"


@pytest.mark.parametrize("kind", PATHS)
async def test_a_peer_is_not_blamed_for_a_busy_application(kind: Kind) -> None:
    """While nobody reads its socket, its pongs lie in the kernel."""
    async with serving(kind, LIMITS=QUICK) as server, await websocket(server.port, "/hold") as peer:
        with trio.fail_after(PATIENCE):
            # One lies in the inbox, the next is in the reader's hands, the last in the kernel's.
            for _ in range(3):
                await peer.send(frame(BINARY, bytes(40_000)))
            await pinged(peer, 10)
            await server.get("/note?go")
            assert [await peer.message() for _ in range(3)] == ["1", "2", "3"]


async def test_its_tasks_can_be_told_by_name() -> None:
    """Triologue is debugged by looking at its tasks."""
    async with serving("embedded") as server, await websocket(server.port, "/count"):
        tasks = (await server.get("/status"))["tasks"]

    assert {"lifespan", "listener accept", "listener ping", "websocket /count"} <= set(tasks)
    assert sum(name.startswith("listener connection 127.0.0.1:") for name in tasks) == 2
