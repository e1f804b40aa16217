"""What a straight WebSocket needs of its socket, tried on a real one and on the simulated one alike."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from server.connection.socket_port import Socket
from server.listener.accepting import prepare
from server.listener.raw_socket import RawSocket
from server.listener.readiness import Readiness
from tests.simulated_socket import connected

Pair = tuple[Socket, Socket]
Connect = Callable[[trio.Nursery], Awaitable[Pair]]

PATTERN = bytes(range(251)) * 1000


async def over_loopback(nursery: trio.Nursery, readiness: Readiness | None = None) -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        prepare(listening)
        client = socket.create_connection(listening.getsockname())
        prepare(client)
        server, _ = listening.accept()
    return RawSocket(server, readiness), RawSocket(client, readiness)


async def over_loopback_together(nursery: trio.Nursery) -> Pair:
    readiness = Readiness()
    nursery.start_soon(readiness.run)
    return await over_loopback(nursery, readiness)


async def in_memory(nursery: trio.Nursery, whim: int | None = None) -> Pair:
    return connected(whim=None if whim is None else random.Random(whim))


KINDS: dict[str, Connect] = {
    "loopback": over_loopback,
    "loopback, one wait for all": over_loopback_together,
    "simulated": in_memory,
    **{f"simulated, whim {seed}": partial(in_memory, whim=seed) for seed in range(3)},
}


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def connect(request: pytest.FixtureRequest) -> Connect:
    kind: Connect = request.param
    return kind


@asynccontextmanager
async def pair(connect: Connect) -> AsyncIterator[Pair]:
    """Two ends of one connection; within the block nothing may take 20 seconds."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            ends = await connect(nursery)
            try:
                yield ends
            finally:
                for end in ends:
                    end.abort()
            nursery.cancel_scope.cancel()


async def fill(end: Socket) -> int:
    """Send until the socket is full, for good; how many bytes it took."""
    sent = 0
    while True:
        with trio.move_on_after(0.05) as waiting:
            await end.wait_writable()
        if waiting.cancelled_caught:
            return sent
        with suppress(BlockingIOError):
            sent += end.send(PATTERN[sent % 251 :])


async def read(end: Socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    came = b""
    while len(came) < size:
        await end.wait_readable()
        data = end.recv_nowait(size - len(came))
        if data == b"":
            break
        came += data or b""
    return came


async def read_until_gone(end: Socket) -> bytes:
    """What comes before the connection is cut off."""
    came = b""
    while True:
        await end.wait_readable()
        try:
            came += end.recv_nowait(2**16) or b""
        except ConnectionResetError:
            return came


async def send(end: Socket, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        await end.wait_writable()
        with suppress(BlockingIOError):
            rest = rest[end.send(rest) :]


async def test_bytes_come_as_they_were_sent(connect: Connect) -> None:
    """In order, all of them and once, however they were cut on the way; in both directions at a time."""
    async with pair(connect) as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(send, one, PATTERN)
        nursery.start_soon(send, other, PATTERN[::-1])

        assert await read(other, len(PATTERN)) == PATTERN
        assert await read(one, len(PATTERN)) == PATTERN[::-1]


async def test_nothing_is_none_and_not_the_end(connect: Connect) -> None:
    """Whoever takes silence for the end hangs up on a quiet peer."""
    async with pair(connect) as (one, _):
        assert one.recv_nowait(100) is None


async def test_a_full_socket_takes_nothing_until_its_peer_reads(connect: Connect) -> None:
    """Its room is bounded, so that a peer that does not read is noticed; and nobody is made to wait."""
    async with pair(connect) as (one, other):
        size = await fill(one)
        with pytest.raises(BlockingIOError):
            one.send(b"more")
        assert size > 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.wait_writable)
            got = await read(other, size)
        assert got == (PATTERN * (size // len(PATTERN) + 2))[:size]


async def test_no_more_is_read_than_was_asked_for(connect: Connect) -> None:
    """How much one read brings is how long others wait."""
    async with pair(connect) as (one, other):
        await send(one, b"x" * 100)
        await other.wait_readable()
        data = other.recv_nowait(10)

    assert data is not None
    assert 1 <= len(data) <= 10


async def test_the_end_comes_after_all_that_was_sent(connect: Connect) -> None:
    """And stays the end, whoever asks again."""
    async with pair(connect) as (one, other):
        await send(one, b"last words")
        one.close()

        assert await read(other, 100) == b"last words"
        await other.wait_readable()
        assert other.recv_nowait(100) == b""


async def test_who_sends_no_more_may_still_be_told(connect: Connect) -> None:
    """TCP closes each direction by itself: so a peer reads our Close before the connection ends."""
    async with pair(connect) as (one, other):
        one.send_eof()
        assert await read(other, 100) == b""
        await send(other, b"still there?")

        assert await read(one, 12) == b"still there?"
        with pytest.raises(OSError, match=r"."):
            one.send(b"one more thing")


async def test_cutting_off_is_noticed_by_the_peer(connect: Connect) -> None:
    """Whatever it waits for; and afterwards it can't send."""
    async with pair(connect) as (one, other):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.wait_readable)
            await wait_all_tasks_blocked()
            one.abort()

        assert await read_until_gone(other) == b""
        with pytest.raises(OSError, match=r"."):
            other.send(b"x")


async def test_a_blocked_sender_notices_that_its_peer_cut_it_off(connect: Connect) -> None:
    """Otherwise it would wait for room that never comes."""
    async with pair(connect) as (one, other):
        await fill(one)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.wait_writable)
            await wait_all_tasks_blocked()
            other.abort()

        with pytest.raises(OSError, match=r"."):
            one.send(b"x")


async def test_closing_over_unread_input_cuts_the_peer_off(connect: Connect) -> None:
    """What it has not read yet may be lost with that, so whoever said goodbye reads on for a while."""
    async with pair(connect) as (one, other):
        await send(other, b"unread")
        await one.wait_readable()
        await send(one, b"goodbye")
        one.close()

        assert b"goodbye".startswith(await read_until_gone(other))


async def test_sending_to_one_that_closed_cuts_the_sender_off(connect: Connect) -> None:
    """As its system answers for a socket that it does not know any more."""
    async with pair(connect) as (one, other):
        one.close()
        assert await read(other, 1) == b""

        with pytest.raises(OSError, match=r"."):
            await send(other, PATTERN * 100)


WAITS: list[str] = ["wait_readable", "wait_writable"]
ENDS: list[str] = ["wake", "close", "abort"]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("what", WAITS)
async def test_who_waits_is_woken_from_this_side(connect: Connect, what: str, how: str) -> None:
    """One task writes, another reads, and each may have to tell the other that it is over."""
    async with pair(connect) as (one, _):
        await fill(one)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await getattr(one, what)()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            getattr(one, how)()


async def test_one_task_reads(connect: Connect) -> None:
    """Two would take each other's bytes; so the second is told."""
    async with pair(connect) as (one, _), trio.open_nursery() as nursery:
        nursery.start_soon(one.wait_readable)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await one.wait_readable()
        nursery.cancel_scope.cancel()


async def test_waking_changes_nothing_else(connect: Connect) -> None:
    """The socket goes on, and what was waited for can be waited for again."""
    async with pair(connect) as (one, other):
        one.wake()
        await send(other, b"hello")

        assert await read(one, 5) == b"hello"
        await send(one, b"hello yourself")
        assert await read(other, 14) == b"hello yourself"


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_closed_end_is_of_no_use(connect: Connect, how: str) -> None:
    """And says so, instead of touching another connection that got its number; closing again is nothing."""
    async with pair(connect) as (one, _):
        getattr(one, how)()
        for end in (one.close, one.abort, one.wake, one.send_eof):
            end()

        with pytest.raises(OSError, match=r"."):
            one.send(b"x")
        with pytest.raises(OSError, match=r"."):
            one.recv_nowait(1)
        for wait in (one.wait_readable, one.wait_writable):
            with pytest.raises(trio.ClosedResourceError):
                await wait()


async def test_waiting_lets_others_run(connect: Connect) -> None:
    """Even for what is there: a peer that always has something to say must not hold everybody up."""
    async with pair(connect) as (one, other):
        await send(one, b"x")
        await other.wait_readable()
        with trio.testing.assert_checkpoints():
            await other.wait_readable()
        with trio.testing.assert_checkpoints():
            await one.wait_writable()


@pytest.mark.parametrize("done", [True, False])
async def test_what_is_shown_at_once_is_seen_once(connect: Connect, done: bool) -> None:
    """It may be taken by whoever notices it, or left to the reader; either way nothing is lost or doubled."""
    async with pair(connect) as (one, other), trio.open_nursery() as nursery:
        came = b""

        def take(later: list[Any]) -> bool:
            nonlocal came
            came += one.recv_nowait(7) or b""
            return done

        async def listen() -> None:
            nonlocal came
            while True:
                await one.wait_readable(take)
                data = one.recv_nowait(1000)
                if data == b"":
                    return
                came += data or b""

        nursery.start_soon(listen)
        for at in range(0, 3000, 30):
            await send(other, PATTERN[at : at + 30])
            if at % 20 == 0:
                await wait_all_tasks_blocked()
        other.send_eof()

    assert came == PATTERN[:3000]


@pytest.mark.parametrize("done", [True, False])
async def test_one_that_can_not_rest_may_look_after_all_sockets(done: bool) -> None:
    """What came is shown at once, on nobody's behalf; and it is told whether anybody has to run for it."""
    on_behalf_of = ContextVar("on_behalf_of", default="nobody")
    readiness = Readiness()
    async with pair(partial(over_loopback, readiness=readiness)) as (one, other):
        came: list[tuple[bytes | None, str]] = []

        def take(later: list[Any]) -> bool:
            came.append((one.recv_nowait(7), on_behalf_of.get()))
            return done

        async def listen() -> None:
            await one.wait_readable(take)
            came.append((None, "the reader"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(readiness.run)
            nursery.start_soon(listen)
            await wait_all_tasks_blocked()
            on_behalf_of.set("me")
            assert readiness.pump()  # nothing came
            assert other.send(b"x") == 1
            assert readiness.pump() == done
            assert came == [(b"x", "nobody")]
            await wait_all_tasks_blocked()
            assert ((None, "the reader") in came) == (not done)
            nursery.cancel_scope.cancel()
        assert not readiness.pump()  # nobody is looked after any more


async def test_what_follows_is_done_when_all_were_noticed() -> None:
    """So one system call follows the other; also of one that is not done, and if another fails."""
    log: list[str] = []
    readiness = Readiness()
    connect = partial(over_loopback, readiness=readiness)
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(pair(connect)) for _ in range(3)]
        nursery = await stack.enter_async_context(trio.open_nursery())

        async def listen(number: int, one: Socket) -> None:
            def take(later: list[Callable[[], None]]) -> bool:
                one.recv_nowait(7)
                log.append("taken")
                later.append(lambda: log.append("answered"))
                if number == 1:
                    raise ValueError("a bug")
                return number == 2

            with suppress(ValueError):
                await one.wait_readable(take)

        for number, (one, _) in enumerate(pairs):
            nursery.start_soon(listen, number, one)
        nursery.start_soon(readiness.run)
        await wait_all_tasks_blocked()
        for _, other in pairs:
            assert other.send(b"x") == 1
        readiness.pump()
        assert log == ["taken"] * 3 + ["answered"] * 3
        nursery.cancel_scope.cancel()


async def test_a_fault_of_whoever_is_shown_something_is_the_reader_s(connect: Connect) -> None:
    """And not the trouble of whoever noticed, who has all others to look after."""

    def fail(later: list[Any]) -> bool:
        raise ValueError("a bug")

    async with pair(connect) as (one, other):

        async def listen() -> None:
            await one.wait_readable(fail)
            fail([])  # it is not shown to anybody else: so it is the reader's from the beginning

        async def fail_reading() -> None:
            with pytest.raises(ValueError, match="a bug"):
                await listen()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_reading)
            await wait_all_tasks_blocked()
            await send(other, b"x")
        await send(other, b"y")

        assert await read(one, 2) == b"xy"
