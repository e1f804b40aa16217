"""Our own runtime at work: one function a case. Run by `run.py`, or by hand, see `measure.main`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from actors import Actor, ActorRef, ActorSystem, Backoff, Question, RestartBudget

from .measure import ASKERS, TIMEOUT, Add, Boom, Crash, Laps, Stopwatch, main


@dataclass(slots=True)
class Get(Question["Message", int]):
    """A message whose answer is *number*."""

    number: int


Message = Add | Get | Crash


class Worker(Actor[Message]):
    """Adds, answers and crashes as it is told. `done` is set once it has added *awaited* times."""

    def __init__(self, awaited: int, done: trio.Event) -> None:
        self.left = awaited
        self.done = done

    async def handle(self, message: Message) -> None:
        match message:
            case Add():
                self.left -= 1
                if not self.left:
                    self.done.set()
            case Get():
                message.answer(message.number)
            case Crash():
                raise Boom


class Parent(Actor[int]):
    """Has its workers under it, and restarts them without a wait as often as they need it."""

    backoff = Backoff(first=0.0, longest=0.0, jitter=0.0)

    def __init__(self, started: Callable[[Parent], None]) -> None:
        self._started = started

    async def started(self) -> None:
        self._started(self)

    async def handle(self, message: int) -> None:
        raise AssertionError("nobody writes to it")

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=1_000_000, within=1.0)


def with_parent(work: Callable[[Parent], Awaitable[Laps]]) -> Laps:
    """Run *work* in a task outside the actors, beside a system of one parent that runs."""

    async def run() -> Laps:
        ready = trio.Event()
        parents: list[Parent] = []

        def is_there(parent: Parent) -> None:
            parents.append(parent)
            ready.set()

        system = ActorSystem()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, system, lambda: Parent(is_there))
            await ready.wait()
            laps = await work(parents[0])
            system.stop()
        return laps

    return trio.run(run)


async def _run(system: ActorSystem, root: Callable[[], Parent]) -> None:
    await system.run(root, name="root")


def tell(operations: int) -> Laps:
    """One sender that waits for room, one receiver."""

    async def send(ref: ActorRef[Message], worker: Worker, count: int) -> None:
        for number in range(count):
            await ref.tell(Add(number))

    return _tells("tell", send, operations)


def tell_nowait(operations: int) -> Laps:
    """The sender never waits, but lets others run after as many messages as the mailbox has room for."""

    async def send(ref: ActorRef[Message], worker: Worker, count: int) -> None:
        for number in range(count):
            ref.tell_nowait(Add(number))
            if number % Worker.capacity == Worker.capacity - 1:
                while worker.left > count - number - 1:
                    await trio.lowlevel.checkpoint()

    return _tells("tell_nowait", send, operations)


def _tells(
    name: str, send: Callable[[ActorRef[Message], Worker, int], Awaitable[None]], operations: int
) -> Laps:
    async def work(parent: Parent) -> Laps:
        laps: Laps = {}
        for count in (operations // 10, operations):  # the first is the warm-up
            worker = Worker(count, trio.Event())
            ref = parent.spawn(partial(_given, worker), name=f"worker {count}")
            watch = Stopwatch()
            await send(ref, worker, count)
            await worker.done.wait()
            laps = {name: watch.lap(count)}
        return laps

    return with_parent(work)


def _given(worker: Worker) -> Worker:
    return worker


def ask(operations: int) -> Laps:
    """One asker that waits for every answer."""
    return _asks("ask", operations, 1)


def ask64(operations: int) -> Laps:
    """Many askers at once, one actor to answer."""
    return _asks("ask64", operations, ASKERS)


def _asks(name: str, operations: int, askers: int) -> Laps:
    async def asker(ref: ActorRef[Message], count: int) -> None:
        for number in range(count):
            assert await ref.ask(Get(number), timeout=TIMEOUT) == number

    async def work(parent: Parent) -> Laps:
        ref = parent.spawn(lambda: Worker(0, trio.Event()), name="worker")
        await asker(ref, operations // 10)
        watch = Stopwatch()
        async with trio.open_nursery() as nursery:
            for _ in range(askers):
                nursery.start_soon(asker, ref, operations // askers)
        return {name: watch.lap(operations // askers * askers)}

    return with_parent(work)


class Starter(Worker):
    """A worker that tells when it has started."""

    async def started(self) -> None:
        self.left -= 1
        Starter.running += 1
        if Starter.running == Starter.awaited:
            self.done.set()

    running = 0
    awaited = 0


def spawn(operations: int) -> Laps:
    """Start so many children of one parent; then stop it, and them with it."""

    async def work(parent: Parent) -> Laps:
        laps: Laps = {}
        for count in (operations // 10, operations):
            family = await _start_family(parent, f"family {count}")
            done = trio.Event()
            Starter.running, Starter.awaited = 0, count
            watch = Stopwatch()
            for number in range(count):
                family.spawn(partial(Starter, 0, done), name=f"worker {number}")
            await done.wait()
            started = watch.lap(count)
            family.ref.stop()
            await family.ref.wait_gone()
            laps = {"spawn": started, "stop": watch.lap(count)}
        return laps

    return with_parent(work)


async def _start_family(parent: Parent, name: str) -> Parent:
    ready = trio.Event()
    families: list[Parent] = []

    def is_there(family: Parent) -> None:
        families.append(family)
        ready.set()

    parent.spawn(lambda: Parent(is_there), name=name)
    await ready.wait()
    return families[0]


def restart(operations: int) -> Laps:
    """Crash it and ask at once: the question waits in the mailbox, which outlives the crash."""

    async def work(parent: Parent) -> Laps:
        ref = parent.spawn(lambda: Worker(0, trio.Event()), name="worker")
        laps: Laps = {}
        for count in (operations // 10, operations):
            watch = Stopwatch()
            for number in range(count):
                await ref.tell(Crash())
                assert await ref.ask(Get(number), timeout=TIMEOUT) == number
            laps = {"restart": watch.lap(count)}
        return laps

    return with_parent(work)


if __name__ == "__main__":
    main(
        {
            "tell": tell,
            "tell_nowait": tell_nowait,
            "ask": ask,
            "ask64": ask64,
            "spawn": spawn,
            "restart": restart,
        }
    )
