"""Five things that go wrong, on triotp: what a user would write, and what can then be seen.

One fault is one process: `python -m benchmarks.runtime.faults_triotp late_answer` prints what happened. See
`faults.py` for what each is about.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from triotp import gen_server, node, supervisor
from triotp.application import app_spec

from . import old_name  # noqa: F401 (imported for its effect)

PATIENCE = 3.0
"""Seconds after which a caller that still waits counts as hanging."""


class Counter:
    """Counts the calls it answered, in its state. `slow` calls take half a second; `die` raises."""

    __name__ = "counter"

    def __init__(self) -> None:
        self.ready = trio.Event()
        self.lives = 0
        self.errors: list[str] = []

    async def init(self, _: object) -> int:
        self.lives += 1
        self.ready.set()
        return 0

    async def handle_call(self, message: str, _: object, count: int) -> tuple[Any, int]:
        if message == "die":
            raise ValueError("a bug in the server")
        if message == "slow":
            await trio.sleep(0.5)
        return gen_server.Reply(count), count + 1

    async def terminate(self, reason: BaseException | None, _: int) -> None:
        self.errors.append(type(reason).__name__)


async def late_answer() -> str:
    """A caller gives up; the answer comes after that."""
    server = Counter()
    async with trio.open_nursery() as nursery:
        await _start(nursery, server)
        await gen_server.call("counter", "quick")
        try:
            await gen_server.call("counter", "slow", timeout=0.1)
        except trio.TooSlowError:
            await trio.sleep(1.0)
        count = await gen_server.call("counter", "quick")
        nursery.cancel_scope.cancel()
    if server.lives == 1:
        return f"the server lives on; it had counted {count} calls"
    return f"the server died of {server.errors[0]} and was restarted; its count is back at {count}"


async def dying_server() -> str:
    """The server crashes while it works for a caller who set no time-out."""
    server = Counter()
    said = "nothing"
    async with trio.open_nursery() as nursery:
        await _start(nursery, server)
        began = trio.current_time()
        with trio.move_on_after(PATIENCE) as scope:
            try:
                await gen_server.call("counter", "die")
            except Exception as error:  # whatever it says is the result
                said = f"{type(error).__name__} after {trio.current_time() - began:.2f} s"
        nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        return f"the server died of {server.errors[0]}; its caller still waited {PATIENCE:g} s later"
    return f"the caller got {said}"


async def busy_server() -> str:
    """The server is busy for two seconds, and a caller wants its answer within a tenth of one."""

    class Busy(Counter):
        async def handle_call(self, message: str, _: object, count: int) -> tuple[Any, int]:
            await trio.sleep(2.0)
            return gen_server.Reply(count), count + 1

    said = "an answer"
    async with trio.open_nursery() as nursery:
        await _start(nursery, Busy())
        nursery.start_soon(gen_server.call, "counter", "first")
        await trio.sleep(0.05)
        began = trio.current_time()
        try:
            await gen_server.call("counter", "second", timeout=0.1)
        except Exception as error:  # whatever it says is the result
            said = type(error).__name__
        waited = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return f"{said} after {waited:.1f} s"


async def many_failures() -> str:
    """A supervisor that forgives three crashes a minute, and eight children that crash three times each."""
    starts = 0

    def crash_thrice(number: int) -> Callable[[], Awaitable[None]]:
        lives = 0

        async def child() -> None:
            nonlocal lives, starts
            starts += 1
            lives += 1
            await trio.sleep(0.1 + number / 100)  # one after the other
            if lives > 3:
                await trio.sleep_forever()
            raise ValueError("a bug in the child")

        return child

    children = [
        supervisor.child_spec(id=f"child {number}", task=crash_thrice(number), args=[]) for number in range(8)
    ]
    with contextlib.suppress(ValueError, BaseExceptionGroup), trio.move_on_after(PATIENCE) as scope:
        await supervisor.start(children, supervisor.options(max_restarts=3, max_seconds=60))
    return f"the supervisor {'goes on' if scope.cancelled_caught else 'gave up'} after {starts - 8} restarts"


async def shutdown() -> str:
    """Eight servers are started one after the other, and their supervisor is stopped; ten times."""
    orders = []
    terminated = 0

    class Terminating(Counter):
        async def terminate(self, reason: BaseException | None, _: int) -> None:
            nonlocal terminated
            terminated += 1

    for _ in range(10):
        ends: list[int] = []

        async def server(number: int, ends: list[int] = ends) -> None:
            try:
                await gen_server.start(Terminating(), None, f"server {number}")
            finally:
                ends.append(number)

        async with trio.open_nursery() as nursery:
            children = [
                supervisor.child_spec(id=f"server {number}", task=server, args=[number])
                for number in range(8)
            ]
            await nursery.start(supervisor.start, children, supervisor.options())
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        orders.append(tuple(ends))
    reverse = tuple(reversed(range(8)))
    return (
        f"{orders.count(reverse)} of 10 in reverse start order (orders seen: {len(set(orders))}); "
        f"`terminate` was called {terminated} times in 80"
    )


async def _start(nursery: trio.Nursery, server: Counter) -> None:
    child = supervisor.child_spec(id="counter", task=gen_server.start, args=[server, None, "counter"])
    await nursery.start(supervisor.start, [child], supervisor.options(max_restarts=3, max_seconds=5))
    await server.ready.wait()


FAULTS = {
    fault.__name__: fault for fault in (late_answer, dying_server, busy_server, many_failures, shutdown)
}


def main() -> None:
    """Let the fault that the command line names happen in a node, and print what could be seen."""
    fault = FAULTS[sys.argv[1]]

    class Application:
        __name__ = "faults"

        async def start(self, _: object) -> None:
            print(await fault())

    node.run(apps=[app_spec(module=Application(), start_arg=None, permanent=False)])


if __name__ == "__main__":
    main()
