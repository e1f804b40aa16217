"""triotp at work: one function a case, as in `peer_actors.py`.

A generic server is a module in triotp; a class with the same callbacks serves as well, and lets one file hold
them. Servers have names, since nobody could send to one without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import trio
from triotp import application, dynamic_supervisor, gen_server, node, supervisor

from . import old_name  # noqa: F401 (imported for its effect)
from .measure import ASKERS, TIMEOUT, Add, Boom, Crash, Get, Laps, Stopwatch, main

PATIENT = supervisor.options(max_restarts=1_000_000, max_seconds=1)


class Worker:
    """Adds, answers and crashes as it is told; its state is how often it has still to add."""

    __name__ = "worker"

    def __init__(self, done: trio.Event | None = None, started: Callable[[], None] | None = None) -> None:
        self._done = done
        self._started = started

    async def init(self, awaited: int) -> int:
        if self._started is not None:
            self._started()
        return awaited

    async def handle_cast(self, message: Add | Crash, left: int) -> tuple[Any, int]:
        match message:
            case Add():
                left -= 1
                if not left and self._done is not None:
                    self._done.set()
                return gen_server.NoReply(), left
            case Crash():
                raise Boom

    async def handle_call(self, message: Get, _: object, left: int) -> tuple[Any, int]:
        return gen_server.Reply(message.number), left

    async def terminate(self, reason: BaseException | None, left: int) -> None:
        """Without this one, a crash is formatted for a log that is off."""


def in_node(work: Callable[[], Awaitable[Laps]]) -> Laps:
    """Run *work* as the one application of a node."""
    laps: Laps = {}

    async def start(_: object) -> None:
        laps.update(await work())

    app = SimpleNamespace(__name__="benchmark", start=start)
    node.run(apps=[application.app_spec(module=app, start_arg=None, permanent=False)])
    return laps


def worker(
    name: str, server: Worker, awaited: int = 0, restart: Any = supervisor.restart_strategy.PERMANENT
) -> Any:
    """What a supervisor needs to run *server*."""
    return supervisor.child_spec(
        id=name, task=gen_server.start, args=[server, awaited, name], restart=restart
    )


async def supervised(nursery: trio.Nursery, server: Worker, awaited: int = 0) -> None:
    """Start *server* as the only child of a supervisor, by the name "worker"."""
    ready = trio.Event()
    server._started = ready.set
    await nursery.start(supervisor.start, [worker("worker", server, awaited)], PATIENT)
    await ready.wait()


def tell(operations: int) -> Laps:
    """A cast waits until the server takes it: there is no queue, and no way to send without a wait."""

    async def work() -> Laps:
        laps: Laps = {}
        for count in (operations // 10, operations):  # the first is the warm-up
            done = trio.Event()
            async with trio.open_nursery() as nursery:
                await supervised(nursery, Worker(done), count)
                watch = Stopwatch()
                for number in range(count):
                    await gen_server.cast("worker", Add(number))
                await done.wait()
                laps = {"tell": watch.lap(count)}
                nursery.cancel_scope.cancel()
        return laps

    return in_node(work)


def ask(operations: int) -> Laps:
    """One asker that waits for every answer."""
    return _asks("ask", operations, 1, TIMEOUT)


def ask_untimed(operations: int) -> Laps:
    """The same, ready to wait for ever: triotp's default."""
    return _asks("ask_untimed", operations, 1, None)


def ask64(operations: int) -> Laps:
    """Many askers at once, one server to answer."""
    return _asks("ask64", operations, ASKERS, TIMEOUT)


def ask64_untimed(operations: int) -> Laps:
    """The same, ready to wait for ever."""
    return _asks("ask64_untimed", operations, ASKERS, None)


def _asks(name: str, operations: int, askers: int, timeout: float | None) -> Laps:
    async def asker(count: int) -> None:
        for number in range(count):
            assert await gen_server.call("worker", Get(number), timeout) == number

    async def work() -> Laps:
        async with trio.open_nursery() as outer:
            await supervised(outer, Worker())
            await asker(operations // 10)
            watch = Stopwatch()
            async with trio.open_nursery() as nursery:
                for _ in range(askers):
                    nursery.start_soon(asker, operations // askers)
            lap = watch.lap(operations // askers * askers)
            outer.cancel_scope.cancel()
        return {name: lap}

    return in_node(work)


def spawn(operations: int) -> Laps:
    """Start so many children of one dynamic supervisor; then cancel it, which is how triotp stops things."""

    async def work() -> Laps:
        laps: Laps = {}
        for count in (operations // 10, operations):
            done = trio.Event()
            running = 0

            def one_more(done: trio.Event = done, count: int = count) -> None:
                nonlocal running
                running += 1
                if running == count:
                    done.set()

            server = Worker(started=one_more)
            async with trio.open_nursery() as nursery:
                pool = await nursery.start(dynamic_supervisor.start, PATIENT)
                watch = Stopwatch()
                for number in range(count):
                    await dynamic_supervisor.start_child(pool, worker(f"worker {number}", server))
                await done.wait()
                started = watch.lap(count)
                nursery.cancel_scope.cancel()
            laps = {"spawn": started, "stop": watch.lap(count)}
        return laps

    return in_node(work)


def restart(operations: int) -> Laps:
    """Crash it, wait until the next life has its name, and ask.

    The wait is on an event that `init` sets: a caller without it would get `MailboxDoesNotExist` meanwhile.
    """

    async def work() -> Laps:
        laps: Laps = {}
        server = Worker()
        async with trio.open_nursery() as nursery:
            await supervised(nursery, server)
            for count in (operations // 10, operations):
                watch = Stopwatch()
                for number in range(count):
                    reborn = trio.Event()
                    server._started = reborn.set
                    await gen_server.cast("worker", Crash())
                    await reborn.wait()
                    assert await gen_server.call("worker", Get(number), TIMEOUT) == number
                laps = {"restart": watch.lap(count)}
            nursery.cancel_scope.cancel()
        return laps

    return in_node(work)


if __name__ == "__main__":
    main(
        {
            "tell": tell,
            "ask": ask,
            "ask_untimed": ask_untimed,
            "ask64": ask64,
            "ask64_untimed": ask64_untimed,
            "spawn": spawn,
            "restart": restart,
        }
    )
