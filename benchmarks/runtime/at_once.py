"""What handling at once saves: a message to an idle actor, through its mailbox or taken in its sender's task.

`python -m benchmarks.runtime.at_once` prints processor microseconds for each delivery, medians over the
rounds with their quartiles, and how many times cheaper than by mailbox that is. The actors do nothing, so
what is measured is the way to them and, for the mailbox, the turn of the scheduler in which it is handled:

- **one**: `tell_nowait` to one idle actor; the next when it is idle again.
- **fan-out**: the same message to 1,000 idle actors; the next when all of them are idle again.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, Supervisor, fan_out, fan_out_nowait

RECEIVERS = 1_000
FAN_OUTS = 30
TELLS = 10_000


class Event:
    """A message that wants nothing done."""


class Idler(Actor[Any]):
    """Does nothing with a message from its mailbox but to count it."""

    handled = 0

    async def handle(self, message: Any) -> None:
        Idler.handled += 1


class EagerIdler(Idler):
    """Takes it at once."""

    def consume(self, message: Any) -> None:
        return None


Refs = Sequence[ActorRef[Any]]
Work = Callable[[Refs], Awaitable[int]]
"""Delivers, and tells how often."""


async def tell_one(refs: Refs) -> int:
    ref = refs[0]
    for _ in range(TELLS):
        ref.tell_nowait(Event())
    return TELLS


async def tell_one_by_mailbox(refs: Refs) -> int:
    ref = refs[0]
    for number in range(Idler.handled, Idler.handled + TELLS):
        ref.tell_nowait(Event())
        while Idler.handled <= number:
            await trio.lowlevel.checkpoint()
    return TELLS


async def tell_each(refs: Refs) -> int:
    for _ in range(FAN_OUTS):
        message = Event()
        for ref in refs:
            ref.tell_nowait(message)
    return FAN_OUTS * len(refs)


async def tell_each_by_mailbox(refs: Refs) -> int:
    for _ in range(FAN_OUTS):
        message, until = Event(), Idler.handled + len(refs)
        for ref in refs:
            ref.tell_nowait(message)
        while Idler.handled < until:
            await trio.lowlevel.checkpoint()
    return FAN_OUTS * len(refs)


async def fan_out_to_all_nowait(refs: Refs) -> int:
    for _ in range(FAN_OUTS):
        fan_out_nowait(refs, Event())
    return FAN_OUTS * len(refs)


async def fan_out_to_all(refs: Refs) -> int:
    for _ in range(FAN_OUTS):
        await fan_out(refs, Event())
    return FAN_OUTS * len(refs)


WORK: dict[str, tuple[type[Idler], Work]] = {
    "one, by mailbox": (Idler, tell_one_by_mailbox),
    "one, at once": (EagerIdler, tell_one),
    "fan-out by mailbox": (Idler, tell_each_by_mailbox),
    "fan-out at once, `tell_nowait` to each": (EagerIdler, tell_each),
    "fan-out at once, `fan_out`": (EagerIdler, fan_out_to_all),
    "fan-out at once, `fan_out_nowait`": (EagerIdler, fan_out_to_all_nowait),
}


async def measure(kind: type[Idler], work: Work) -> float:
    """Processor seconds for each delivery."""
    system, root = ActorSystem(), Supervisor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, lambda: root, name="root"))
        await trio.testing.wait_all_tasks_blocked()
        refs = [root.spawn(kind, name=str(number)) for number in range(RECEIVERS)]
        await trio.testing.wait_all_tasks_blocked()
        await work(refs)  # the warm-up
        gc.collect()
        began = time.process_time()
        count = await work(refs)
        took = time.process_time() - began
        system.stop()
    return took / count


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what handling at once saves.")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the server does
    costs: dict[str, list[float]] = {name: [] for name in WORK}
    for number in range(arguments.rounds):
        # Who goes first changes: the machine's mood drifts.
        for name in WORK if number % 2 else reversed(WORK):
            costs[name].append(trio.run(measure, *WORK[name]))
    for name, measured in costs.items():
        base = costs["one, by mailbox" if name.startswith("one") else "fan-out by mailbox"]
        ratio = statistics.median(before / after for before, after in zip(base, measured, strict=True))
        low, *_, high = statistics.quantiles(measured, n=4)
        print(
            f"| {name} | {statistics.median(measured) * 1e6:.2f}"
            f" ({low * 1e6:.2f}–{high * 1e6:.2f}) | {ratio:.1f}× |"
        )


if __name__ == "__main__":
    main()
