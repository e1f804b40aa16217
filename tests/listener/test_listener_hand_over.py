"""Handing a WebSocket's TCP socket over, to peers that do not mean well."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from server.listener.connection import HEAD_TIMEOUT, LINGER
from server.listener.hand_over import Arrival
from server.listener.listener import Listener
from server.listener.raw_socket import RawSocket
from tests.listener.inside import listener
from tests.listener.raw import PING, PONG, TEXT, Raw, close_frame, connect, frame, upgrade, websocket
from tests.listener.servers import PATIENCE, Server, serving

# -- which way it goes


async def ways(server: Server) -> int:
    """How many WebSockets go hypercorn's way: there, each has a task that pings its peer."""
    tasks: list[str] = (await server.get("/status"))["tasks"]
    return tasks.count("listener ping")


async def test_a_plain_handshake_in_one_piece_is_handed_over() -> None:
    """And everything else goes the old way, where it is served as well."""
    async with serving("straight") as server, await websocket(server.port) as peer:
        assert await ways(server) == 0
        async with await connect(server.port) as other:
            await other.send(upgrade()[:40])
            await server.get("/status")
            await other.send(upgrade()[40:])
            with trio.fail_after(PATIENCE):
                assert await other.status() == 101
            assert await ways(server) == 1
            for each in (peer, other):
                await each.send(frame(TEXT, "hello"))
                assert await each.message() == "hello"


async def test_requests_are_answered_as_ever_beside_them() -> None:
    """Their first bytes were read already, and must not be lost; nor those of the next request."""
    async with serving("straight") as server, await connect(server.port) as peer:
        request = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
        with trio.fail_after(PATIENCE):
            for pieces in ([request + b"hi"], [request[:5], request[5:], b"h", b"i"], [request, b"hi"]):
                for piece in pieces:
                    await peer.send(piece)
                    await server.get("/status")
                assert await peer.status() == 200
                while b"2" not in peer.buffer:
                    assert await peer._more()
                peer.buffer = b""


async def test_what_a_hasty_client_sent_ahead_is_not_lost() -> None:
    """With the head, and right behind it, whole frames and halves."""
    async with serving("straight") as server, await connect(server.port) as peer:
        await peer.send(upgrade() + frame(TEXT, "one") + frame(TEXT, "two")[:3])
        await peer.send(frame(TEXT, "two")[3:])
        with trio.fail_after(PATIENCE):
            assert await peer.status() == 101
            assert [await peer.message(), await peer.message()] == ["one", "two"]
        assert await ways(server) == 0


# -- peers that go


STEPS: dict[str, bytes] = {
    "nothing": b"",
    "half a head": upgrade()[:50],
    "a head": upgrade(),
    "a head and a frame": upgrade() + frame(TEXT, "early"),
    "half a frame": upgrade() + frame(TEXT, "early")[:4],
    "a ping": upgrade() + frame(PING),
    "a Close": upgrade() + close_frame(1000),
    "a refused one": upgrade("/late-refusal") + bytes(100_000),
    "one that is never answered": upgrade("/late-accept"),
}


async def reset(peer: Raw) -> None:
    peer.reset()


async def half_close(peer: Raw) -> None:
    assert isinstance(peer.stream, trio.SocketStream)
    await peer.stream.send_eof()


async def leave(peer: Raw) -> None:
    await trio.aclose_forcefully(peer.stream)


@pytest.mark.parametrize("how", [reset, half_close, leave])
async def test_one_that_goes_at_any_step_costs_nothing(how: Callable[[Raw], Awaitable[None]]) -> None:
    """No task is left, nobody else is harmed, and nothing is said of it in the log."""
    async with serving("straight") as server, await websocket(server.port) as witness:
        for data in STEPS.values():
            for answered in (False, True):
                peer = await connect(server.port)
                await peer.send(data)
                if answered:
                    await server.get("/status")
                await how(peer)
                if how is half_close:
                    await server.get("/note?go")
                    with trio.fail_after(PATIENCE):
                        await peer.end()
                    await leave(peer)
                await witness.send(frame(TEXT, "still there?"))
                assert await witness.message() == "still there?"
        await server.get("/note?go")
        with trio.fail_after(PATIENCE):
            while (await server.get("/status"))["open"] > 2:  # the witness, and whoever asks
                pass
        server.signal(signal.SIGTERM)
        await witness.close_code()
        assert await server.exit_code() == 0

    said = [line for line in server.lines if "Running on" not in line and "loopback" not in line]
    assert [line for line in said if "lifespan" not in line] == []


async def test_a_slow_peer_is_waited_for_and_is_in_nobody_s_way() -> None:
    """Byte by byte, from its first frame to its Close."""
    async with serving("straight") as server, await websocket(server.port) as peer:
        for byte in frame(TEXT, "slow") + frame(PING, "?") + close_frame(1000):
            await peer.send(bytes([byte]))
            await server.get("/status")
        with trio.fail_after(PATIENCE):
            assert await peer.frame() == (TEXT, b"slow")
            assert await peer.frame() == (PONG, b"?")
            assert await peer.close_code() == 1000
            assert await peer.end() == b""


async def test_handed_over_sockets_count_as_connections() -> None:
    """Whoever comes when there are enough is refused, and let in once one has left."""
    async with (
        serving("straight", LIMITS={"connections": 2}) as server,
        await websocket(server.port) as first,
        await websocket(server.port) as second,
    ):
        async with await connect(server.port) as third:
            await third.send(upgrade())
            with trio.fail_after(PATIENCE):
                assert await third.status() == 503
                assert await third.end() == b""
        for peer in (first, second):
            await peer.send(frame(TEXT, "still there?"))
            assert await peer.message() == "still there?"
        await first.send(close_frame(1000))
        with trio.fail_after(PATIENCE):
            await first.end()
            while await _status(server) == 503:
                pass


async def _status(server: Server) -> int | None:
    async with await connect(server.port) as peer:
        await peer.send(upgrade())
        return await peer.status()


async def test_ten_thousand_bytes_behind_a_refused_handshake_do_not_hide_the_answer() -> None:
    """Closing over unread input sends RST, which would take the answer with it."""
    async with serving("straight") as server:
        for _ in range(20):
            async with await connect(server.port) as peer, trio.open_nursery() as nursery:
                nursery.start_soon(_flood, peer, upgrade("/unknown") + bytes(2**20))
                with trio.fail_after(PATIENCE):
                    assert await peer.status() == 403
                    assert await peer.end() == b""
                nursery.cancel_scope.cancel()


async def _flood(peer: Raw, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        await peer.send(data)


async def test_the_drain_waits_for_a_handed_over_socket_and_then_cuts_it_off() -> None:
    """As for all others: an application that does not say goodbye in time is ended."""
    async with (
        serving("straight", LIMITS={"drain": 0}) as server,
        await websocket(server.port) as polite,
        await websocket(server.port, "/hold") as peer,
        await connect(server.port) as silent,
    ):
        server.signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            await silent.end()
            assert await polite.close_code() == 1012
            await polite.send(close_frame(1012))
            assert await polite.end() == b""
            await peer.end()

        assert await server.exit_code() == 0


# -- in this process, where the clock is at hand


@attrs.define(eq=False)
class Taking:
    """An application that takes a socket as *how* says."""

    how: Callable[[Any], Awaitable[None]]
    offers: list[Any] = attrs.field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        offer = scope["extensions"]["triologue.stream"]
        self.offers.append(offer)
        await self.how(offer)


@attrs.frozen(eq=False)
class Come:
    """A peer that has come, and what became of its arrival."""

    peer: Raw
    listener: Listener
    arrival: Arrival
    left: list[bytes]


@asynccontextmanager
async def arriving(how: Callable[[Any], Awaitable[None]]) -> AsyncIterator[Come]:
    ours, theirs = socket.socketpair()
    under = listener()
    served: Any = Taking(how)
    app = wrap_app(served, 0, "asgi")
    arrival = Arrival(app, WorkerContext(None), {}, under, RawSocket(ours), "")
    client = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    left: list[bytes] = []

    async def run() -> None:
        left.append(await arrival.run())
        arrival.socket.close()

    async with Raw(client) as peer, trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        yield Come(peer, under, arrival, left)
        nursery.cancel_scope.cancel()


async def accept(offer: Any) -> None:
    await offer.accept(None)
    offer.serve = partial(trio.sleep, 100)


async def nothing(offer: Any) -> None:
    """Neither takes it nor refuses."""


async def crash(offer: Any) -> None:
    raise RuntimeError("a bug")


async def crash_later(offer: Any) -> None:
    await offer.accept(None)
    offer.serve = partial(crash, offer)


async def test_one_that_says_nothing_is_left_after_a_while(mock_clock: MockClock) -> None:
    """Otherwise it would be one of the connections that there may be, for nothing."""
    async with arriving(accept) as it:
        mock_clock.jump(HEAD_TIMEOUT - 1)
        await wait_all_tasks_blocked()
        assert it.left == []
        mock_clock.jump(2)
        await wait_all_tasks_blocked()

        assert it.left == [b""]
        assert it.listener.open_connections == 0


async def test_one_that_says_nothing_ends_with_the_server() -> None:
    """A browser's spare connection must not hold up a deploy."""
    async with arriving(accept) as it:
        it.listener.start_draining()
        await wait_all_tasks_blocked()

        assert it.left == [b""]


@pytest.mark.parametrize("said", [b"", upgrade()], ids=["before", "after"])
async def test_one_that_is_cut_off_is_gone_at_once(said: bytes) -> None:
    """By a shutdown that waits for nobody, before its handshake and after."""
    async with arriving(_serve_while_readable) as it:
        if said:
            await it.peer.send(said)
            await it.peer.head()
        await wait_all_tasks_blocked()
        it.listener.abort_connections()
        await wait_all_tasks_blocked()

        assert it.left == [b""]
        assert it.listener.open_connections == 0


async def _serve_while_readable(offer: Any) -> None:
    await offer.accept(None)

    async def serve() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await offer.socket.wait_readable()

    offer.serve = serve


async def test_what_serves_it_runs_when_the_application_s_call_is_over() -> None:
    """So that nothing of the request is kept; and the connection counts for as long."""
    served = trio.Event()

    async def take(offer: Any) -> None:
        await offer.accept("chat")
        offer.serve = served.wait

    async with arriving(take) as it:
        await it.peer.send(upgrade("/", "Sec-WebSocket-Protocol: chat"))
        assert "sec-websocket-protocol: chat" in await it.peer.head()
        await wait_all_tasks_blocked()
        assert (it.left, it.listener.open_connections) == ([], 1)
        served.set()
        await it.peer.end()
        await wait_all_tasks_blocked()

        assert (it.left, it.listener.open_connections) == ([b""], 0)


@pytest.mark.parametrize(("how", "logged"), [(nothing, 0), (crash, 1), (crash_later, 1)])
async def test_an_application_that_fails_costs_its_own_socket(
    how: Callable[[Any], Awaitable[None]], logged: int
) -> None:
    """It is cut off, and the fault is logged once."""
    with capture_logs() as log:
        async with arriving(how) as it:
            await it.peer.send(upgrade())
            await it.peer.end()
            await wait_all_tasks_blocked()

    assert (it.left, it.listener.open_connections) == ([b""], 0)
    assert len(log) == logged


async def test_a_refused_one_is_not_read_for_ever(mock_clock: MockClock) -> None:
    """It may read its answer for two seconds, whatever it is sending."""
    async with arriving(lambda offer: offer.refuse(404, "Not Found")) as it:
        await it.peer.send(upgrade() + bytes(100))
        assert await it.peer.status() == 404
        await it.peer.send(bytes(100))
        await wait_all_tasks_blocked()
        assert it.left == []
        mock_clock.jump(LINGER + 0.1)
        await wait_all_tasks_blocked()

        assert it.left == [b""]


async def test_a_peer_that_is_gone_before_it_is_looked_at_is_no_fault() -> None:
    """Its socket has no address any more, which is nothing to report."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = await connect(listening.getsockname()[1])
        accepted, address = listening.accept()
        await peer.send(upgrade())
        peer.reset()
    under = listener()
    served: Any = Taking(accept)
    app = wrap_app(served, 0, "asgi")
    with capture_logs() as log:
        await Arrival(app, WorkerContext(None), {}, under, RawSocket(accepted), address).run()

    assert log == []
    assert under.open_connections == 0
