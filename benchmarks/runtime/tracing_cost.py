"""What the always-on traces cost: with and without, in turns, in one run.

`python -m benchmarks.runtime.tracing_cost` prints processor seconds per message, medians over the rounds:

- **served ping**, **served chat message**: of a real server process, by real sockets.
- **chat message**: one client message through the whole assembly (in-memory sockets, so that hypercorn's and
  the kernel's share does not hide the cost) to the last of its frames: about twenty messages between actors.
- **ping**: a frame that only its connection's actor handles.
- **tell**, **tell_nowait**, **ask**: one message to an actor that does nothing with it.
- **recording**: the same chat message while a recording is attached, and after it was detached.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing

from actors import Actor, ActorSystem, Question, Supervisor
from actors.observation.recording import record
from server.pipeline import EchoModel
from tests.in_memory import running

from . import on_the_wire
from .untraced import untraced

TEXT = "How many words does an echo need to come back to where it was said first?"


class Query(Question[Any, None]):
    """Asks for nothing."""


class Sink(Actor[Any]):
    """Does nothing, and says when it has done it often enough."""

    capacity = 10**6

    def __init__(self, expected: int) -> None:
        self._left = expected
        self.done = trio.Event()

    async def handle(self, message: Any) -> None:
        if isinstance(message, Query):
            message.answer(None)
        self._left -= 1
        if self._left == 0:
            self.done.set()


async def with_sink(number: int, send: Callable[[Any, int], Awaitable[None]]) -> float:
    system, sink, root = ActorSystem(), Sink(number), Supervisor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, lambda: root, name="root"))
        await trio.testing.wait_all_tasks_blocked()
        ref = root.spawn(lambda: sink, name="sink")
        await trio.testing.wait_all_tasks_blocked()
        began = time.process_time()
        await send(ref, number)
        await sink.done.wait()
        took = time.process_time() - began
        system.stop()
    return took / number


async def tell(ref: Any, number: int) -> None:
    for _ in range(number):
        await ref.tell(None)


async def tell_nowait(ref: Any, number: int) -> None:
    for _ in range(number):
        ref.tell_nowait(None)


async def ask(ref: Any, number: int) -> None:
    for _ in range(number):
        await ref.ask(Query(), timeout=60)


async def chat(number: int) -> float:
    async with running(EchoModel) as server:
        client = await server.connect()
        began = time.process_time()
        for _ in range(number):
            client.say(TEXT)
            await client.final()
        return (time.process_time() - began) / number


async def ping(number: int) -> float:
    async with running(EchoModel) as server:
        client = await server.connect()
        began = time.process_time()
        for _ in range(number):
            client.send({"type": "ping"})
            await client.receive()
        return (time.process_time() - began) / number


async def chat_while_recorded(number: int) -> float:
    async with running(EchoModel) as server, trio.open_nursery() as nursery:
        client = await server.connect()
        nursery.start_soon(record, server.system, math.inf)
        await trio.testing.wait_all_tasks_blocked()
        began = time.process_time()
        for _ in range(number):
            client.say(TEXT)
            await client.final()
        took = (time.process_time() - began) / number
        nursery.cancel_scope.cancel()
    return took


async def chat_after_recording(number: int) -> float:
    async with running(EchoModel) as server:
        client = await server.connect()
        await record(server.system, 0.01)
        began = time.process_time()
        for _ in range(number):
            client.say(TEXT)
            await client.final()
        return (time.process_time() - began) / number


Work = Callable[[], Awaitable[float]]

WORK: dict[str, Work] = {
    "chat message": partial(chat, 300),
    "ping": partial(ping, 3000),
    "tell": partial(with_sink, 20_000, tell),
    "tell_nowait": partial(with_sink, 40_000, tell_nowait),
    "ask": partial(with_sink, 10_000, ask),
}


def measure(work: Work, *, bare: bool) -> float:
    gc.collect()
    with untraced() if bare else nullcontext():
        return trio.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the always-on traces cost.")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the server does
    results = []
    traced_chat = partial(measure, partial(chat, 300), bare=False)
    comparisons: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        *(
            (
                f"served {what}",
                partial(on_the_wire.measure, what, bare=False),
                partial(on_the_wire.measure, what, bare=True),
            )
            for what in on_the_wire.WORK
        ),
        *(
            (what, partial(measure, work, bare=False), partial(measure, work, bare=True))
            for what, work in WORK.items()
        ),
        (
            "chat message, recording attached",
            partial(measure, partial(chat_while_recorded, 300), bare=False),
            traced_chat,
        ),
        (
            "chat message, recording detached",
            partial(measure, partial(chat_after_recording, 300), bare=False),
            traced_chat,
        ),
    ]
    for name, subject, reference in comparisons:
        ratios, costs = [], []
        for round_ in range(arguments.rounds):
            # Who goes first changes: the machine's mood drifts.
            if round_ % 2:
                cost, base = subject(), reference()
            else:
                base, cost = reference(), subject()
            ratios.append(cost / base)
            costs.append(cost)
        ratio = statistics.median(ratios)
        low, *_, high = statistics.quantiles(ratios, n=4)
        results.append({"work": name, "ratio": ratio, "quartiles": [low, high]})
        print(
            f"{name:35s} {statistics.median(costs) * 1e6:8.2f} µs"
            f"  {ratio:6.3f} × without  (quartiles {low:.3f} to {high:.3f})",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"python": sys.version, "results": results}, indent=1))


if __name__ == "__main__":
    main()
