"""The watchdog over trio's loop: real holds by real code."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import pytest
import trio

from actors.observation.thread_times import Times
from actors.observation.watchdog import Hold, Mark, Watchdog, explain

from .puppets import Do, Part, answer, stage


def compute(seconds: float) -> None:
    """Keep the thread busy; so much of its own time, however busy the machine is."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@contextmanager
def watching(limit: float = 0.05) -> Iterator[tuple[Watchdog, list[Hold]]]:
    told: list[Hold] = []
    with Watchdog(told.append, limit=limit) as watchdog:
        yield watchdog, told


async def turn() -> None:
    """Let the present turn of the loop end, and the next."""
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()


async def test_a_task_that_computes_for_long_is_named_with_its_line() -> None:
    """Nobody can say afterwards what it was; so it is looked at while it lasts."""
    with watching() as (watchdog, told):
        await turn()
        compute(0.1)
        await turn()

    (hold,) = told
    assert hold.seconds >= 0.1
    assert hold.stack[-1].function == "compute"
    assert hold.stack[-1].file == __file__
    assert "thread_time() < until" in hold.stack[-1].code or hold.stack[-1].code == "pass"
    assert any(frame.code == "compute(0.1)" for frame in hold.stack)
    assert watchdog.total == len(watchdog.holds) == 1


async def test_the_stack_of_a_hold_begins_with_its_task() -> None:
    """What runs trio is the same for all, and tells nothing."""
    with watching() as (_, told):
        await turn()
        compute(0.1)
        await turn()

    (hold,) = told
    assert not any(frame.function == "unrolled_run" for frame in hold.stack)
    assert not any(frame.function.startswith("Runner.") for frame in hold.stack)


async def test_a_task_that_blocks_is_told_from_one_that_computes() -> None:
    """The cures differ: a thread for the one, less work at a time for the other."""
    with watching() as (_, told):
        await turn()
        time.sleep(0.4)  # noqa: ASYNC251 (the fault to find)
        await turn()

    (hold,) = told
    assert hold.stack[-1].code.startswith("time.sleep(0.4)")
    assert "waited for the rest" in hold.note


async def test_short_turns_and_idleness_are_no_holds() -> None:
    """However long they are together."""
    with watching(limit=0.15) as (watchdog, told):
        for _ in range(20):
            compute(0.01)
            await turn()
        await trio.sleep(0.3)
        await turn()

    assert told == []
    assert watchdog.total == 0


async def test_the_actor_that_holds_the_loop_is_named() -> None:
    """That is whom to look at."""
    async with stage() as here:
        ref = here.spawn(Part(), name="busy")
        with watching() as (_, told):
            await ref.tell(Do(lambda me: compute(0.1)))
            await ref.ask(answer(1), timeout=60)
            compute(0.1)
            await turn()

    assert [hold.actor for hold in told] == ["root/busy", None]


async def test_a_helper_that_holds_the_loop_is_told_by_its_actor() -> None:
    """It runs beside the mailbox, on the actor's account."""

    async def helper() -> None:
        await turn()
        compute(0.1)

    async with stage() as here:
        with watching() as (_, told):
            here.spawn(Part(on_start=lambda me: me.start_task(helper, name="helper")), name="busy")
            for _ in range(5):
                await turn()

    assert [hold.actor for hold in told] == ["root/busy"]


async def test_to_look_at_a_handler_keeps_nothing_alive() -> None:
    """A message may be large, and an actor lives long."""

    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1

        def __del__(self) -> None:
            Large.alive -= 1

        def __call__(self, *_: object) -> None:
            compute(0.1)

    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        with watching() as (_, told):
            await ref.tell(Do(Large()))
            await ref.ask(answer(1), timeout=60)
        part.seen.clear()
        gc.collect()
        assert len(told) == 1
        assert Large.alive == 0


async def test_a_hold_of_over_a_second_is_told_while_it_lasts() -> None:
    """It may never end."""
    told: list[tuple[Hold, str]] = []
    with Watchdog(lambda hold: told.append((hold, threading.current_thread().name))) as watchdog:
        await turn()
        while not told:
            compute(0.05)
        compute(0.1)
        await turn()

    ((hold, thread),) = told
    assert hold.note.startswith("still going on")
    assert thread == "watchdog of trio's loop"
    (corrected,) = watchdog.holds
    assert corrected.seconds > hold.seconds
    assert corrected.began == hold.began
    assert "still going on" not in corrected.note
    assert watchdog.total == 1


async def test_code_that_keeps_the_interpreters_lock_is_found_all_the_same() -> None:
    """The watchdog can't look while it lasts, but it notices."""
    with watching() as (_, told):
        await turn()
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            sum(range(5_000_000))  # some 0.1 s in one piece of C
        await turn()

    assert len(told) == 1


async def test_a_hold_is_told_in_trios_thread_when_it_is_over() -> None:
    """Whoever hears of it may touch what belongs to that thread."""
    threads: list[int] = []
    with Watchdog(lambda hold: threads.append(threading.get_ident()), limit=0.05):
        await turn()
        compute(0.1)
        await turn()

    assert threads == [threading.get_ident()]


async def test_a_listener_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The watchdog goes on watching, and trio knows nothing of it."""

    def fail(hold: Hold) -> None:
        raise ValueError("no ears")

    with Watchdog(fail, limit=0.05) as watchdog:
        for _ in range(2):
            await turn()
            compute(0.1)
            await turn()

    assert watchdog.total == 2
    assert [record.name for record in caplog.records] == ["actors", "actors"]


async def test_nothing_is_left_of_a_watchdog_that_was_left() -> None:
    """No thread, no hook in the loop or in the garbage collector."""
    threads, hooks = set(threading.enumerate()), list(gc.callbacks)
    with watching() as (watchdog, _):
        assert set(threading.enumerate()) != threads
    assert set(threading.enumerate()) == threads
    assert gc.callbacks == hooks
    with pytest.raises(KeyError):
        trio.lowlevel.remove_instrument(watchdog)


async def test_the_turn_in_which_a_watchdog_is_left_counts() -> None:
    """A program that holds the loop at its very end holds it."""
    with watching() as (_, told):
        compute(0.1)

    assert len(told) == 1


async def test_a_watchdog_can_be_entered_again() -> None:
    """Its books go on."""
    told: list[Hold] = []
    watchdog = Watchdog(told.append, limit=0.05)
    for _ in range(2):
        with watchdog:
            compute(0.1)
    assert watchdog.total == len(told) == 2


def test_a_watchdog_needs_a_loop_to_watch() -> None:
    """Without one, nothing is begun."""
    threads = set(threading.enumerate())
    with pytest.raises(RuntimeError), watching():
        pass
    assert set(threading.enumerate()) == threads


async def test_a_program_that_fails_leaves_its_watchdog() -> None:
    """As any context."""
    threads = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), watching():
        _ = 1 / 0
    assert set(threading.enumerate()) == threads


async def test_what_the_garbage_collector_took_is_said() -> None:
    """The stack only shows who happened to allocate."""
    waste = [[i] for i in range(500_000)]  # so many things that a look at all takes long
    with watching() as (_, told):
        await turn()
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            gc.collect()
        await turn()
    del waste

    assert "garbage was collected for" in told[0].note


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process can't be stopped here")
def test_a_process_that_was_stopped_did_not_hold_its_loop() -> None:
    """A laptop that slept, a container that was frozen: no line of code is to blame."""
    program = dedent("""
        import os, signal, trio
        from actors.observation.watchdog import Watchdog

        async def main():
            with Watchdog(print) as watchdog:
                await trio.lowlevel.checkpoint()
                os.kill(os.getpid(), signal.SIGSTOP)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
            print(watchdog.total, watchdog.starved)

        trio.run(main)
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        time.sleep(0.5)
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate()
    finally:
        child.kill()

    assert said == "0 1\n"


def mark(*, computed: float | None = 0.0, held_off: float | None = 0.0, stopped: float = 0.0) -> Mark:
    return Mark(0.0, Times(computed, held_off, 0.0), 0.0, stopped)


def test_a_turn_that_was_long_only_because_the_machine_was_busy_is_no_hold() -> None:
    """It would have been within the limit on a processor of its own."""
    assert explain(0.15, mark(), mark(computed=0.05, held_off=0.1), limit=0.1, seen=True) is None
    assert explain(0.15, mark(), mark(computed=0.05, stopped=0.1), limit=0.1, seen=True) is None


def test_a_hold_on_a_busy_machine_is_a_hold() -> None:
    """With a word about the machine."""
    note = explain(0.5, mark(), mark(computed=0.3, held_off=0.2), limit=0.1, seen=True)

    assert note == ["the machine was busy with others for 0.200 s of it"]


def test_a_hold_that_could_not_be_seen_says_so() -> None:
    """An empty stack is no answer."""
    note = explain(0.5, mark(), mark(computed=0.5), limit=0.1, seen=False)

    assert note == ["where could not be seen: something kept the interpreter's lock"]


def test_a_system_that_tells_nothing_of_its_threads_is_believed() -> None:
    """There, a turn that was long is a hold."""
    assert explain(0.2, mark(), mark(computed=None, held_off=None), limit=0.1, seen=True) == []
