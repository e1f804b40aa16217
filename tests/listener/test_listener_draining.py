"""Faults 3, 4 and 5: ends that come without notice, and ends that do not come."""

from __future__ import annotations

import os
import signal
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from server.listener import Listener, ListenerLimits, run
from tests.listener.raw import TEXT, close_frame, connect, frame, upgrade, websocket
from tests.listener.servers import PATHS, PATIENCE, Kind, serving

OURS: list[Kind] = ["guarded", "embedded"]


async def test_stock_hypercorn_cuts_its_sockets_off_when_it_ends() -> None:
    """If upstream has cured it (fault 3), our cure may go."""
    async with (
        serving("stock", "--graceful-timeout", "0") as server,
        await websocket(server.port) as peer,
    ):
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            code = await peer.close_code()

    assert code != 1012


@pytest.mark.parametrize("kind", OURS)
async def test_sockets_are_told_that_the_server_restarts(kind: Kind) -> None:
    """1012 means: come back with your cursor; 1006 would mean: something broke."""
    async with serving(kind) as server, await websocket(server.port) as peer:
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1012
            await peer.send(close_frame(1012))
            assert await peer.end() == b""
        await server.printed("lifespan.shutdown")
        assert await server.exit_code() == 0


async def test_stock_workers_die_unfinished_when_the_process_group_is_signalled() -> None:
    """If upstream has cured it (fault 4), our cure may go."""
    async with serving("stock") as server:
        os.killpg(server.process.pid, signal.SIGTERM)
        await server.exit_code()

    assert "lifespan.shutdown" not in server.lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", OURS)
async def test_the_application_shuts_down_when_the_process_group_is_signalled(
    kind: Kind, number: signal.Signals
) -> None:
    """That is what systemd does, and a terminal on Ctrl-C."""
    async with serving(kind) as server:
        os.killpg(server.process.pid, number)

        await server.printed("lifespan.shutdown")
        assert await server.exit_code() == 0
        assert not any("Traceback" in line for line in server.lines)


@pytest.mark.parametrize("kind", PATHS)
async def test_an_idle_connection_ends_with_the_server(kind: Kind) -> None:
    """A browser's spare connection must not hold up a deploy."""
    async with serving(kind, LIMITS={"drain": 1e6}) as server, await connect(server.port) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with trio.fail_after(PATIENCE):
            assert await peer.status() == 200
            server.signal(signal.SIGTERM)
            await peer.end()

        assert await server.exit_code() == 0


async def test_a_request_under_way_is_answered_in_the_drain() -> None:
    """The peer did nothing wrong; but no further request will be served on its connection."""
    async with serving("embedded", LIMITS={"drain": 1e6}) as server:
        async with await websocket(server.port) as witness, await connect(server.port) as peer:
            await peer.send(b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nh")
            # Requests are read in the order they came in, so this one's answer means that one has begun.
            await server.get("/")
            server.signal(signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                assert await witness.close_code() == 1012
                await peer.send(b"i")
                head = await peer.head()
                assert head.startswith("HTTP/1.1 200")
                assert "connection: close" in head.lower()
                assert await peer.end() == b"2"
            await witness.send(close_frame(1012))

        assert await server.exit_code() == 0


async def test_new_connections_are_refused_in_the_drain() -> None:
    """So that a load balancer goes elsewhere."""
    async with (
        serving("embedded", LIMITS={"drain": 1e6}) as server,
        await websocket(server.port) as witness,
        await websocket(server.port, "/hold"),
    ):
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            assert await witness.close_code() == 1012

        with pytest.raises(OSError, match="connect"):
            await connect(server.port)


@pytest.mark.parametrize("kind", PATHS)
async def test_a_second_signal_waits_for_nobody(kind: Kind) -> None:
    """Whoever sends it has waited long enough."""
    async with (
        serving(kind, LIMITS={"drain": 1e6}) as server,
        await websocket(server.port) as witness,
        await websocket(server.port, "/hold") as peer,
    ):
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            assert await witness.close_code() == 1012
            server.signal(signal.SIGTERM)
            await peer.end()

        await server.printed("lifespan.shutdown")
        assert await server.exit_code() == 0


@pytest.mark.parametrize("kind", PATHS)
async def test_an_application_can_end_its_server(kind: Kind) -> None:
    """A drain by REST is as good as one by signal."""
    async with serving(kind) as server, await websocket(server.port) as peer:
        await server.get("/terminate")
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1012
            await peer.send(close_frame(1012))

        assert await server.exit_code() == 0


async def test_a_stuck_shutdown_is_given_up() -> None:
    """A service manager would kill it, and with it what else has to be put away."""
    async with serving("embedded", LIFESPAN="stuck") as server:
        server.signal(signal.SIGTERM)

        await server.printed("did not shut down within")
        assert await server.exit_code() == 0


async def test_stock_hypercorn_serves_on_without_its_application() -> None:
    """If upstream has cured it (fault 5), our cure may go."""
    async with serving("stock") as server:
        await server.get("/crash")
        await server.printed("the root actor died")

        assert await server.get("/") == "hello"


async def test_a_crash_of_the_lifespan_ends_the_server() -> None:
    """Without its root the application only looks alive; a service manager can start another."""
    async with serving("embedded") as server, await websocket(server.port) as peer:
        await server.get("/crash")
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1012
            await peer.send(close_frame(1012))

        assert await server.exit_code() == 1
        assert sum("RuntimeError: the root actor died" in line for line in server.lines) == 1


@pytest.mark.parametrize("kind", PATHS)
async def test_an_upgrade_does_not_survive_the_drain_half_done(kind: Kind) -> None:
    """A handshake nobody answers is cut with the rest."""
    async with serving(kind, LIMITS={"drain": 0}) as server, await connect(server.port) as peer:
        await peer.send(upgrade("/late-accept") + frame(TEXT, "early"))
        await server.get("/wait?late_accept:waiting")
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            await peer.end()

        assert await server.exit_code() == 0


@attrs.define(eq=False)
class Busy:
    """An application whose work needs no connection, and what became of it, with the time of each."""

    listener: Listener | None = None
    working: trio.Event = attrs.field(factory=trio.Event)
    stop: trio.Event = attrs.field(factory=trio.Event)
    done: trio.Event = attrs.field(factory=trio.Event)
    crash: trio.Event = attrs.field(factory=trio.Event)
    diary: list[tuple[str, float]] = attrs.field(factory=list)

    def note(self, what: str) -> None:
        self.diary.append((what, trio.current_time()))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.listener = listener = scope["extensions"]["triologue.listener"]
        listener.limits = ListenerLimits(drain=5)
        listener.drained = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.work, listener)
            nursery.start_soon(self.crash_on_demand)
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.startup"
            assert (await receive())["type"] == "lifespan.shutdown"
            self.note("shutdown")
            nursery.cancel_scope.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def work(self, listener: Listener) -> None:
        assert listener.drained is not None
        await listener.draining.wait()
        self.note("draining")
        self.working.set()
        await self.done.wait()
        self.note("done")
        listener.drained.set()

    async def crash_on_demand(self) -> None:
        await self.crash.wait()
        raise RuntimeError("the root actor died")

    async def serve(self) -> None:
        """Serve nobody until `stop`."""
        served: Any = self
        await run(served, bind=["127.0.0.1:0"], shutdown_trigger=self.stop.wait)


async def test_work_without_any_connection_is_finished_before_the_shutdown(
    mock_clock: trio.testing.MockClock,
) -> None:
    """A reply goes on while its reader is away, and is read when they are back."""
    busy = Busy()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy.serve)
        busy.stop.set()
        await busy.working.wait()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(7)
        await trio.testing.wait_all_tasks_blocked()
        busy.done.set()

    assert busy.diary == [("draining", 0), ("done", 7), ("shutdown", 7)]


async def test_work_without_an_end_is_not_waited_for_beyond_the_drain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It shares one bound with the connections: the drain, and a grace of three seconds."""
    busy = Busy()
    busy.stop.set()
    await busy.serve()

    assert busy.diary == [("draining", 0), ("shutdown", 8)]


async def test_an_application_that_crashed_has_no_work_to_wait_for(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Nobody is left who could say that it is done."""
    busy = Busy()
    busy.crash.set()
    with pytest.raises(SystemExit, match="1"):
        await busy.serve()

    assert busy.diary == []


async def test_a_second_signal_does_not_wait_for_work_either() -> None:
    """Whoever sends it has waited long enough."""
    async with serving("embedded", LIFESPAN="busy", LIMITS={"drain": 1e6}) as server:
        server.signal(signal.SIGTERM)
        await server.printed("still busy")
        server.signal(signal.SIGTERM)

        await server.printed("lifespan.shutdown")
        assert await server.exit_code() == 0
