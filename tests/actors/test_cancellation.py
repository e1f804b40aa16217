"""Who may cancel what, what passes through, and what is left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import ActorSystem, Crashed, Restart, Stopped

from .puppets import Boom, Do, Part, Puppet, answer, busy, running_tasks, settle, stage


async def fail_when_cancelled(*_: Any) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise Boom


async def half_fails(*_: Any) -> None:
    """Raises, when cancelled, an error and a cancellation in one group."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(fail_when_cancelled)
        await trio.sleep_forever()


async def test_a_cancellation_carries_its_reason(autojump_clock: MockClock) -> None:
    """Whoever finds one in a log knows who did it and why."""
    reasons: list[str | None] = []

    async def note_the_reason(*_: object) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            reasons.append(cancelled.reason)
            raise

    async with stage() as here:
        hanging = here.spawn(Part(), "hanging", grace=2)
        await hanging.tell(Do(note_the_reason))
        helped = here.spawn(Part(on_start=lambda me: me.start_task(note_the_reason, name="helper")), "helped")
        broken = here.spawn(Part(), "broken", restart=Restart.TEMPORARY)
        await settle()
        await broken.tell(Do(lambda me: me.start_task(fail_soon, name="fail")))
        await broken.tell(Do(note_the_reason))
        await broken.wait_gone()
        helped.stop()
        await helped.wait_gone()
        here.system.stop()

    assert reasons == [
        "root/broken crashed: Boom",
        "root/helped ends",
        "root/hanging: parent stops; its grace of 2 s is over",
    ]


async def fail_soon() -> None:
    await trio.sleep(1)
    raise Boom


@pytest.mark.parametrize("where", ["handle", "helper", "started", "stopped"])
async def test_an_error_beside_a_cancellation_is_still_the_actors_own(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """Nurseries put both into one group; it must not pass through the supervisor and end the program."""
    part, sibling = Part(), Part()
    match where:
        case "handle":
            part.on_start = lambda me: me.after(0, Do(half_fails))
        case "helper":
            part.on_start = lambda me: me.start_task(half_fails, name="helper")
        case "started":
            part.on_start = half_fails
        case "stopped":
            part.on_end = half_fails
    async with stage() as here:
        other = here.spawn(sibling, "sibling")
        ref = here.spawn(part, grace=1, restart=Restart.TEMPORARY)
        await settle()
        await ref._recipient.stop_and_wait("a test")  # type: ignore[attr-defined]
        assert await other.ask(answer(1), timeout=1) == 1

    assert len(sibling.lives) == 1
    assert "root/child failed while stopping" in caplog.text or isinstance(part.ends[0], Crashed)


async def test_an_error_beside_a_cancellation_from_outside_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The cancellation goes on as it must; the error is not lost, and not raised at who cancelled."""
    system = ActorSystem()
    part = Part(on_start=lambda me: me.after(0, Do(half_fails)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, part, name="root"))
        await settle()
        nursery.cancel_scope.cancel()

    assert "root crashed, and all was cancelled" in caplog.text
    assert part.ends == [Stopped("cancelled")]


async def test_cancelled_always_passes(autojump_clock: MockClock) -> None:
    """It belongs to whoever cancelled: the runtime neither keeps it nor takes it for a crash."""
    part = Part()

    async def cancel_oneself(me: Puppet) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        part.seen.append("went on")

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(cancel_oneself))
        assert await ref.ask(answer(1), timeout=1) == 1

    assert "went on" in part.seen
    assert len(part.lives) == 1


async def test_stopped_runs_last_in_every_life_even_when_all_is_cancelled(autojump_clock: MockClock) -> None:
    """In whatever state the actor was: starting, idle, handling, or ending."""
    parts = {
        "starting": Part(on_start=busy()),
        "idle": Part(),
        "handling": Part(on_start=lambda me: me.after(0, Do(busy()))),
        "ending": Part(on_start=lambda me: me.stop(), on_end=busy(0.5)),
    }
    with trio.CancelScope() as scope:
        async with stage() as here:
            for name, part in parts.items():
                here.spawn(part, name, restart=Restart.TRANSIENT)
            await trio.sleep(0.1)
            scope.cancel()

    assert {name: len(part.ends) for name, part in parts.items()} == dict.fromkeys(parts, 1)


async def test_who_uses_its_grace_is_not_called_stuck(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is a parent that gives it to its children."""
    parent, child = Part(), Part(on_end=busy(8))
    async with stage() as here:
        here.spawn(parent, "parent", grace=1)
        await settle()
        parent.now.spawn(child, name="child", grace=10)
        await settle()
        here.system.stop()

    assert trio.current_time() == 8
    assert len(child.ends) == len(parent.ends) == 1
    assert "still runs" not in caplog.text


async def test_a_task_that_swallows_its_cancellation_is_named_and_holds_up_its_parent(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Python can't end it; so it must be known who is to blame for a shutdown that hangs."""

    async def stubborn(me: Puppet) -> None:
        while trio.current_time() < 60:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)

    async with stage() as here:
        await here.spawn(Part(), "stubborn", grace=2).tell(Do(stubborn))
        await settle()
        here.system.stop()

    assert trio.current_time() == 60
    assert [record.getMessage() for record in caplog.records] == [
        f"root/stubborn was cancelled and still runs after {seconds} s" for seconds in (7, 14, 28)
    ]


@pytest.mark.parametrize("depth", [1000])
@pytest.mark.parametrize("how", ["stop", "cancel", "interrupt"])
def test_a_deep_tree_ends_like_a_flat_one(how: str, depth: int) -> None:
    """A group of exceptions that grew by a layer with every parent would break Python's recursion."""
    ended: list[int] = []
    ends: dict[str, Callable[[trio.Nursery, ActorSystem], None]] = {
        "stop": lambda nursery, system: system.stop(),
        "cancel": lambda nursery, system: nursery.cancel_scope.cancel(),
        "interrupt": lambda nursery, system: None,
    }

    def begin(level: int, me: Puppet) -> None:
        if level < depth:
            part = Part(on_start=partial(begin, level + 1), on_end=lambda me, reason: ended.append(level))
            me.spawn(part, name="x")
        elif how == "interrupt":
            raise KeyboardInterrupt

    async def main() -> None:
        system = ActorSystem()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(system.run, Part(on_start=partial(begin, 0)), name="root"))
            await settle()
            ends[how](nursery, system)
        assert not running_tasks()

    if how == "interrupt":
        with pytest.raises(BaseExceptionGroup) as raised:
            trio.run(main)
        assert raised.group_contains(KeyboardInterrupt, depth=1)
    else:
        trio.run(main)
    assert ended == list(reversed(range(depth)))


async def test_nothing_logs_in_an_orderly_end(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody would look at what is logged in another."""
    with caplog.at_level(logging.DEBUG, "actors"):
        async with stage() as here:
            for name in "abc":
                here.spawn(Part(on_start=lambda me: me.spawn(Part(), name="below")), name)
            await settle()

    assert caplog.records == []


async def test_an_interrupt_beside_an_error_in_a_goodbye_leaves_as_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the error is logged."""

    async def raise_(error: BaseException) -> None:
        raise error

    async def both(*_: object) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raise_, Boom())
            nursery.start_soon(raise_, KeyboardInterrupt())

    system, part = ActorSystem(), Part(on_end=both)
    system.stop()
    with pytest.raises(KeyboardInterrupt):
        await system.run(part, name="root")

    assert "root failed while stopping" in caplog.text
