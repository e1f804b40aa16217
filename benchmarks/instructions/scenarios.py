"""The message path in small: the real server in memory, and clients that cost nothing.

Each scenario is prepared once and then operated; preparing is not counted. Of every operation it is checked
that it wrote what it should: a path that does nothing would be cheap.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import trio
import trio.testing
from attrs import frozen

from actors import fan_out
from server.chat import Turn
from server.config import Config
from server.config.model import Limits, Timeouts
from server.connection.socket_port import Bounds
from server.connection.straight import StraightTransport
from server.messages import Adopt, Announced, Deliver
from server.pipeline import EchoModel
from tests.in_memory import START, memory_store, running

from .null_socket import NullSocket, connect, text_frame

Operate = Callable[[int], Awaitable[None]]
"""Does so many operations."""

RECEIVERS = 1_000
QUESTION = (
    b'{"type":"message","message":[{"type":"Plain","text":"How much is a word?"}],"client_msg_id":"%06d"}'
)
PIECE = "a piece "
# Seconds from a ping to the next, so that they don't share their pongs; and from a piece to the next, so that
# they don't share a chunk.
MILLISECOND, PAUSE = 0.001, 0.03
# Nothing is due by the clock while a scenario lasts: neither a ping nor the saving of a reply.
CONFIG = Config(limits=Limits(queue=1024), timeouts=Timeouts(ping_interval=3600.0, checkpoint=60.0))


@frozen
class Scenario:
    """Something that a server does often.

    Attributes:
        operation: What is counted, for who reads the figures.
        count: How many operations are told apart from the rest.
        prepare: What there must be beforehand.
    """

    operation: str
    count: int
    prepare: Callable[[], AbstractAsyncContextManager[Operate]]


@asynccontextmanager
async def yardstick() -> AsyncIterator[Operate]:
    """Plain Python, and none of our code: it tells interpreters apart."""
    table = {str(number): number for number in range(64)}

    async def operate(count: int) -> None:
        await trio.lowlevel.checkpoint()
        for number in range(count):
            table[str(number % 64)] = sum([len(f"{key}{value}") for key, value in table.items()])

    yield operate


@asynccontextmanager
async def ping() -> AsyncIterator[Operate]:
    """From the bytes of a ping to those of its pong, in the task that noticed them."""
    async with running(EchoModel, CONFIG) as server:
        socket = await connect(server)
        data = text_frame(b'{"type":"ping"}')

        async def operate(count: int) -> None:
            await trio.lowlevel.checkpoint()
            due = socket.writes + count
            for _ in range(count):
                _pass(MILLISECOND)
                socket.bring(data)
            assert socket.writes == due, "a ping was not answered at once"

        yield operate


@asynccontextmanager
async def broadcast() -> AsyncIterator[Operate]:
    """One delivery of an announcement to each of a thousand sockets."""
    async with running(EchoModel, CONFIG) as server:
        connections = server.find("triologue/connections")
        sockets = [NullSocket() for _ in range(RECEIVERS)]
        refs = [
            await connections.ask(
                Adopt(f"{number:04d}", StraightTransport(socket, Bounds()), "document"), timeout=60
            )
            for number, socket in enumerate(sockets)
        ]
        await trio.testing.wait_all_tasks_blocked()

        async def operate(count: int) -> None:
            due = sockets[-1].writes + count // RECEIVERS
            for number in range(count // RECEIVERS):
                untold = await fan_out(refs, Deliver(Announced(f"announcement {number}", START)))
                assert not untold
            assert all(socket.writes == due for socket in sockets), "a delivery was not written at once"

        yield operate


class Pieces:
    """A model that says as much as it is told to, in pieces of eight characters."""

    def __init__(self) -> None:
        self.count = 0

    async def reply(self, turn: Turn) -> AsyncGenerator[str, None]:
        for _ in range(self.count):
            yield PIECE
            _pass(PAUSE)
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def chunk(stream: str) -> AsyncIterator[Operate]:
    """A piece of a reply from the model to the one socket that hears it."""
    model = Pieces()
    async with running(lambda: model, CONFIG) as server:
        socket = await connect(server, f"stream={stream}")

        async def operate(count: int) -> None:
            model.count = count
            due = socket.writes + 2 + count  # after the message and its ack
            socket.bring(text_frame(QUESTION % 0))
            await socket.wait_written(due)

        yield operate


class Silent:
    """A model that never says anything: messages wait behind the first."""

    async def reply(self, turn: Turn) -> AsyncGenerator[str, None]:
        await trio.Event().wait()
        yield ""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def message() -> AsyncIterator[Operate]:
    """From the bytes of a message, through a store in memory, to its `user_message` and `ack`."""
    store = memory_store()
    async with running(Silent, CONFIG, store=store) as server:
        socket = await connect(server)

        async def operate(count: int) -> None:
            for number in range(count):
                due = socket.writes + 2
                socket.bring(text_frame(QUESTION % number))
                await socket.wait_written(due)
                assert socket.writes == due

        yield operate
    store.close()


def _pass(seconds: float) -> None:
    """Let time pass. That the clock waits until all tasks sleep would cost more than what is counted."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.jump(seconds)


SCENARIOS = {
    "yardstick": Scenario("a loop of plain Python", 200, yardstick),
    "ping": Scenario("a ping and its pong", 500, ping),
    "broadcast": Scenario("a delivery to one of 1,000 sockets", 5 * RECEIVERS, broadcast),
    "delta": Scenario("a chunk of a reply to a `delta` socket", 100, partial(chunk, "delta")),
    "cumulative": Scenario("a chunk of a reply to a `cumulative` socket", 100, partial(chunk, "cumulative")),
    "message": Scenario("a chat message until its `ack`", 50, message),
}
