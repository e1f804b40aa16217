"""Pykka at work, one function a case, as in `peer_actors.py`.

An actor is a thread; its queue has no bound.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pykka

from .measure import ASKERS, TIMEOUT, Add, Boom, Crash, Get, Laps, Stopwatch, main


class Worker(pykka.ThreadingActor):
    """Adds, answers and crashes as it is told. `done` is set once it has added *awaited* times."""

    def __init__(self, awaited: int = 0, done: threading.Event | None = None) -> None:
        super().__init__()
        self.left = awaited
        self.done = done

    def on_receive(self, message: Any) -> Any:
        match message:
            case Add():
                self.left -= 1
                if not self.left and self.done is not None:
                    self.done.set()
            case Get():
                return message.number
            case Crash():
                raise Boom
        return None


def tell(operations: int) -> Laps:
    """One sender, which never waits: nothing bounds what it can pile up."""
    laps: Laps = {}
    for count in (operations // 10, operations):  # the first is the warm-up
        done = threading.Event()
        ref = Worker.start(count, done)
        watch = Stopwatch()
        for number in range(count):
            ref.tell(Add(number))
        done.wait()
        laps = {"tell": watch.lap(count)}
        ref.stop()
    return laps


def ask(operations: int) -> Laps:
    """One asker that waits for every answer."""
    return _asks("ask", operations, 1, TIMEOUT)


def ask_untimed(operations: int) -> Laps:
    """The same, ready to wait for ever: Pykka's default."""
    return _asks("ask_untimed", operations, 1, None)


def ask64(operations: int) -> Laps:
    """Many askers at once, each in a thread, and one actor to answer."""
    return _asks("ask64", operations, ASKERS, TIMEOUT)


def ask64_untimed(operations: int) -> Laps:
    """The same, ready to wait for ever."""
    return _asks("ask64_untimed", operations, ASKERS, None)


def _asks(name: str, operations: int, askers: int, timeout: float | None) -> Laps:
    def asker(count: int) -> None:
        for number in range(count):
            assert ref.ask(Get(number), timeout=timeout) == number

    ref = Worker.start()
    asker(operations // 10)
    if askers == 1:
        watch = Stopwatch()
        asker(operations)
    else:
        threads = [threading.Thread(target=asker, args=(operations // askers,)) for _ in range(askers)]
        watch = Stopwatch()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lap = watch.lap(operations // askers * askers)
    ref.stop()
    return {name: lap}


def ask64_futures(operations: int) -> Laps:
    """As many questions open at once, but one thread that asks them all: what suits Pykka best."""
    ref = Worker.start()
    laps: Laps = {}
    for count in (operations // 10, operations):
        watch = Stopwatch()
        open_ones: deque[tuple[int, pykka.Future[Any]]] = deque()
        for number in range(count):
            if len(open_ones) == ASKERS:
                expected, future = open_ones.popleft()
                assert future.get(timeout=TIMEOUT) == expected
            open_ones.append((number, ref.ask(Get(number), block=False)))
        for expected, future in open_ones:
            assert future.get(timeout=TIMEOUT) == expected
        laps = {"ask64_futures": watch.lap(count)}
    ref.stop()
    return laps


class Starter(Worker):
    """A worker that tells when it has started."""

    lock = threading.Lock()
    running = 0
    awaited = 0

    def on_start(self) -> None:
        with Starter.lock:
            Starter.running += 1
            if Starter.running == Starter.awaited and self.done is not None:
                self.done.set()


def spawn(operations: int) -> Laps:
    """Start so many threads; then stop them all, newest first and each waited for, as Pykka offers it."""
    laps: Laps = {}
    for count in (operations // 10, operations):
        done = threading.Event()
        Starter.running, Starter.awaited = 0, count
        watch = Stopwatch()
        for _ in range(count):
            Starter.start(0, done)
        done.wait()
        started = watch.lap(count)
        pykka.ActorRegistry.stop_all()
        laps = {"spawn": started, "stop": watch.lap(count)}
    return laps


class Reborn(Worker):
    """Starts its own successor when it crashes: Pykka supervises nothing, so this is made by hand."""

    def __init__(self, tell: Callable[[pykka.ActorRef[Any]], None]) -> None:
        super().__init__()
        self.tell = tell

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tell(Reborn.start(self.tell))


def restart(operations: int) -> Laps:
    """Crash it, wait for the ref of its successor, and ask that one."""
    laps: Laps = {}
    refs: list[pykka.ActorRef[Any]] = []
    is_there = threading.Event()

    def take(ref: pykka.ActorRef[Any]) -> None:
        refs.append(ref)
        is_there.set()

    ref: pykka.ActorRef[Any] = Reborn.start(take)
    for count in (operations // 10, operations):
        watch = Stopwatch()
        for number in range(count):
            is_there.clear()
            ref.tell(Crash())
            is_there.wait()
            ref = refs.pop()
            assert ref.ask(Get(number), timeout=TIMEOUT) == number
        laps = {"restart": watch.lap(count)}
    ref.stop()
    return laps


if __name__ == "__main__":
    main(
        {
            "tell": tell,
            "ask": ask,
            "ask_untimed": ask_untimed,
            "ask64": ask64,
            "ask64_untimed": ask64_untimed,
            "ask64_futures": ask64_futures,
            "spawn": spawn,
            "restart": restart,
        }
    )
