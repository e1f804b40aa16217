"""Five things that go wrong, on our own runtime: the same as in `faults_triotp.py`."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Literal

import trio
from attrs import frozen

from actors import (
    Actor,
    ActorError,
    ActorRef,
    ActorSystem,
    AskTimeout,
    ExitReason,
    Question,
    RestartBudget,
    RestartBudgetSpent,
    Supervisor,
)

PATIENCE = 3.0
"""Seconds after which a supervisor counts as one that goes on."""
LONG = 60.0
"""Seconds that no caller here waits for, if all is well."""


@frozen
class Count(Question["Count", int]):
    """How many it has answered before this one, and what to do first."""

    how: Literal["quick", "slow", "die"]


class Counter(Actor[Count]):
    """Counts the questions it answered. `slow` ones take *seconds*; `die` raises."""

    capacity = 1

    def __init__(self, lives: list[Counter], seconds: float = 0.5) -> None:
        lives.append(self)
        self.seconds = seconds
        self.count = 0

    async def handle(self, message: Count) -> None:
        if message.how == "die":
            raise ValueError("a bug in the server")
        if message.how == "slow":
            await trio.sleep(self.seconds)
        message.answer(self.count)
        self.count += 1


class Parent(Supervisor):
    """Starts its children by *start*, and forgives *forgives* crashes of theirs within a minute."""

    def __init__(self, start: Callable[[Parent], None], forgives: int = 3) -> None:
        self.start = start
        self.forgives = forgives

    async def started(self) -> None:
        self.start(self)

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=self.forgives, within=60.0)


class Running:
    """A system with one `Counter` under a supervisor."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.system = ActorSystem()
        self.lives: list[Counter] = []

    async def start(self, seconds: float = 0.5) -> ActorRef[Count]:
        """The counter, ready."""
        refs: list[ActorRef[Count]] = []
        ready = trio.Event()

        def start(parent: Parent) -> None:
            refs.append(parent.spawn(lambda: Counter(self.lives, seconds), name="counter"))
            ready.set()

        self.nursery.start_soon(partial(self.system.run, lambda: Parent(start), name="root"))
        await ready.wait()
        return refs[0]


async def late_answer() -> str:
    """A caller gives up; the answer comes after that."""
    async with trio.open_nursery() as nursery:
        running = Running(nursery)
        ref = await running.start()
        await ref.ask(Count("quick"), timeout=LONG)
        try:
            await ref.ask(Count("slow"), timeout=0.1)
        except AskTimeout:
            await trio.sleep(1.0)
        count = await ref.ask(Count("quick"), timeout=LONG)
        letters = [letter.why for letter in running.system.dead_letters.recent]
        running.system.stop()
    if len(running.lives) == 1:
        return f"the actor lives on; it had counted {count} questions; dead letters: {letters}"
    return f"the actor was restarted; its count is back at {count}"


async def dying_server() -> str:
    """The actor crashes while it works for an asker who has a minute."""
    said = "an answer"
    async with trio.open_nursery() as nursery:
        running = Running(nursery)
        ref = await running.start()
        began = trio.current_time()
        try:
            await ref.ask(Count("die"), timeout=LONG)
        except ActorError as error:
            said = type(error).__name__
        waited = trio.current_time() - began
        running.system.stop()
    return f"the asker got {said} after {waited:.2f} s"


async def busy_server() -> str:
    """The actor is busy for two seconds, and its mailbox is full; an asker gives it a tenth of one."""
    said = "an answer"
    async with trio.open_nursery() as nursery:
        running = Running(nursery)
        ref = await running.start(seconds=2.0)
        await ref.tell(Count("slow"))
        await trio.sleep(0.05)
        await ref.tell(Count("quick"))  # the one that its mailbox has room for
        began = trio.current_time()
        try:
            await ref.ask(Count("quick"), timeout=0.1)
        except ActorError as error:
            said = type(error).__name__
        waited = trio.current_time() - began
        running.system.stop()
    return f"{said} after {waited:.1f} s"


async def many_failures() -> str:
    """A supervisor that forgives three crashes a minute, and eight children that crash three times each."""
    starts = 0

    class Crashing(Actor[None]):
        def __init__(self, number: int, lives: list[int]) -> None:
            self.number = number
            self.lives = lives

        async def started(self) -> None:
            nonlocal starts
            starts += 1
            self.lives.append(starts)
            await trio.sleep(0.1 + self.number / 100)  # one after the other
            if len(self.lives) <= 3:
                raise ValueError("a bug in the child")

        async def handle(self, message: None) -> None:
            raise AssertionError("nobody writes to it")

    def start(parent: Parent) -> None:
        for number in range(8):
            parent.spawn(partial(Crashing, number, []), name=f"child {number}")

    with contextlib.suppress(RestartBudgetSpent), trio.move_on_after(PATIENCE) as scope:
        await ActorSystem().run(lambda: Parent(start), name="root")
    return f"the supervisor {'goes on' if scope.cancelled_caught else 'gave up'} after {starts - 8} restarts"


async def shutdown() -> str:
    """Eight actors are started one after the other, and their supervisor is stopped; ten times."""
    orders = []
    stopped = 0
    for _ in range(10):
        ends: list[int] = []

        class Server(Actor[None]):
            def __init__(self, number: int, ends: list[int]) -> None:
                self.number = number
                self.ends = ends

            async def handle(self, message: None) -> None:
                raise AssertionError("nobody writes to it")

            async def stopped(self, reason: ExitReason) -> None:
                nonlocal stopped
                stopped += 1
                self.ends.append(self.number)

        def start(parent: Parent, ends: list[int] = ends, server: type[Server] = Server) -> None:
            for number in range(8):
                parent.spawn(partial(server, number, ends), name=f"server {number}")

        system = ActorSystem()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(system.run, partial(Parent, start), name="root"))
            await trio.sleep(0.05)
            system.stop()
        orders.append(tuple(ends))
    reverse = tuple(reversed(range(8)))
    return (
        f"{orders.count(reverse)} of 10 in reverse start order (orders seen: {len(set(orders))}); "
        f"`stopped` was called {stopped} times in 80"
    )


FAULTS = {
    fault.__name__: fault for fault in (late_answer, dying_server, busy_server, many_failures, shutdown)
}


if __name__ == "__main__":
    logging.getLogger().addHandler(logging.NullHandler())
    print(trio.run(FAULTS[sys.argv[1]]))
