"""HTTP towards peers that come in crowds, in pieces, or not to the point (faults 8 and 11)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from server.listener.connection import Connection
from server.listener.listener import Listener
from tests.listener.apps import app
from tests.listener.raw import TEXT, Raw, close_frame, connect, frame, websocket
from tests.listener.servers import PATIENCE, serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def chunked(path: str, chunks: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"1\r\nx\r\n" * chunks


# -- crowds


async def is_served(port: int) -> bool:
    async with await connect(port) as peer:
        await peer.send(GET)
        return await peer.status() == 200


async def test_one_connection_too_many_is_told_so_and_closed() -> None:
    """Left hanging it would try no other server; and room that is made is used."""
    async with serving("embedded", LIMITS={"connections": 1}) as server:
        first = await websocket(server.port)
        async with first:
            for _ in range(3):
                async with await connect(server.port) as second:
                    with trio.fail_after(PATIENCE):
                        head = await second.head()
                        assert head.startswith("HTTP/1.1 503 ")
                        assert "connection: close" in head
                        assert await second.end() == b""
            await first.send(frame(TEXT, "still there?"))
            assert await first.message() == "still there?"
            await first.send(close_frame(1000))
            with trio.fail_after(PATIENCE):
                await first.end()
                while not await is_served(server.port):
                    await trio.lowlevel.checkpoint()


async def test_open_connections_are_counted_until_they_are_gone() -> None:
    """Operators watch it, and a limit rests on it."""
    async with serving("embedded") as server:
        async with await websocket(server.port, "/count"), await connect(server.port):
            assert (await server.get("/status"))["open"] == 3
        await server.get("/wait?count:1006")
        with trio.fail_after(PATIENCE):
            while (await server.get("/status"))["open"] != 1:
                await trio.lowlevel.checkpoint()


# -- pieces


@asynccontextmanager
async def peer_of(serve: Callable[[trio.SocketStream], Any]) -> AsyncIterator[Raw]:
    """The peer of one connection, which is cut off at the end."""
    ours, theirs = trio.socket.socketpair(socket.AF_UNIX)
    async with trio.open_nursery() as nursery, Raw(trio.SocketStream(theirs)) as peer:
        nursery.start_soon(serve, trio.SocketStream(ours))
        yield peer
        nursery.cancel_scope.cancel()
    ours.close()


async def converse(serve: Callable[[trio.SocketStream], Any], request: bytes) -> bytes | None:
    """What one connection answers to *request*; none if nothing more happens for a day."""
    answer = None
    async with peer_of(serve) as peer:
        await peer.send(request)
        with trio.move_on_after(86_400):
            answer = await peer.end()
    return answer


async def stock(stream: trio.SocketStream) -> None:
    served: Any = app
    secure: Any = stream
    state = ConnectionState({})
    await TCPServer(wrap_app(served, 0, "asgi"), Config(), WorkerContext(None), state, secure).run()


async def guarded(stream: trio.SocketStream) -> None:
    served: Any = app
    listener = Listener(("unix:",), True)
    context = WorkerContext(None)
    await Connection(wrap_app(served, 0, "asgi"), Config(), context, {}, listener, stream).run()


async def test_stock_hypercorn_waits_for_ever_for_half_a_body(autojump_clock: trio.testing.MockClock) -> None:
    """If upstream has cured it (fault 8), our cure may go."""
    autojump_clock.autojump_threshold = 0.01
    half = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf"

    assert await converse(stock, half) is None


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTT",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
        b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n",
    ],
)
async def test_half_a_request_is_not_waited_for(half: bytes, autojump_clock: trio.testing.MockClock) -> None:
    """Otherwise a few idle peers take every connection there is."""
    autojump_clock.autojump_threshold = 0.01

    assert await converse(guarded, half) == b""


async def test_an_answer_leaves_in_one_write() -> None:
    """Its head needs no packet of its own, and its peer wakes up once."""
    with trio.fail_after(PATIENCE):
        async with peer_of(guarded) as peer:
            await peer.send(GET)
            answer = await peer.stream.receive_some(2**16)
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b'\r\n\r\n"hello"')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_head_does_not_wait_for_a_body_that_has_begun(method: str) -> None:
    """Events may be long in coming, and an answer to HEAD shows none."""
    with trio.fail_after(PATIENCE):
        async with peer_of(guarded) as peer:
            await peer.send(f"{method} /quiet HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert await peer.status() == 200


async def test_a_second_head_has_as_long_as_the_first(autojump_clock: trio.testing.MockClock) -> None:
    """What was sent before it does not buy more time."""
    autojump_clock.autojump_threshold = 0.01
    answer = await converse(guarded, GET + GET[:-2])

    assert answer is not None
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_an_endless_answer_is_not_cut(autojump_clock: trio.testing.MockClock) -> None:
    """Server-sent events say nothing for long, and their peer says nothing at all (fault 10)."""
    autojump_clock.autojump_threshold = 0.01
    finished = False

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        nonlocal finished
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await trio.sleep(50_000)
        await send({"type": "http.response.body", "body": b"at last"})
        finished = True

    async def serve(stream: trio.SocketStream) -> None:
        listener = Listener(("unix:",), True)
        context = WorkerContext(None)
        await Connection(wrap_app(patient, 0, "asgi"), Config(), context, {}, listener, stream).run()

    answer = await converse(serve, GET)

    assert finished
    assert answer is not None
    assert b"at last" in answer


# -- what follows


async def test_requests_sent_at_once_are_answered_in_turn() -> None:
    """Pipelining is rare, and allowed (RFC 9112, 9.3.2)."""
    async with serving("embedded") as server, await connect(server.port) as peer:
        await peer.send(GET * 4 + GET.replace(b"host: x", b"host: x\r\nconnection: close"))
        with trio.fail_after(PATIENCE):
            answers = await peer.end()

    assert answers.count(b"HTTP/1.1 200") == 5


async def test_stock_hypercorn_closes_a_connection_it_said_it_would_keep() -> None:
    """If upstream has cured it (fault 8), our cure may go: the next request is lost without a word."""
    async with serving("stock") as server, await connect(server.port) as peer:
        await peer.send(b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
        with trio.fail_after(PATIENCE):
            head = await peer.head()
            assert await peer.end() == b'"not wanted"'

    assert "connection: close" not in head.lower()


@pytest.mark.parametrize("chunks", [0, 1, 100, 100_000])
async def test_an_answer_that_comes_before_the_body_is_the_last(chunks: int) -> None:
    """The peer is told so, reads the answer whatever it was sending, and connects anew."""
    async with serving("embedded") as server, await connect(server.port) as peer:
        await peer.send(chunked("/unread", chunks))
        with trio.fail_after(PATIENCE):
            head = await peer.head()
            assert head.startswith("HTTP/1.1 413")
            assert "connection: close" in head.lower()
            assert await peer.end() == b'"not wanted"'


async def test_an_interrupted_upload_is_told_to_its_application() -> None:
    """It has a file to throw away."""
    async with serving("embedded") as server:
        async with await connect(server.port) as peer:
            await peer.send(chunked("/read", 5))
            await server.get("/")

        assert await server.get("/wait?request:cut") == "seen"


# -- logs


async def test_stock_hypercorn_lets_strangers_write_its_log() -> None:
    """If upstream has cured it (fault 11), our cure may go."""
    async with serving("stock", "--access-logfile", "/dev/stderr") as server:
        await server.get("/%0aforged")
        await server.printed("forged")

    assert any(line.startswith("forged") for line in server.lines)


async def test_no_stranger_writes_our_log() -> None:
    """Telemetry writes its own."""
    async with serving("guarded", "--access-logfile", "/dev/stderr") as server:
        await server.get("/%0aforged")
        await server.printed("access log is not safe")

    assert not any("forged" in line for line in server.lines)
