"""Handlers and programs that misbehave: what they do to themselves, and that they do it to nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorError,
    ActorRef,
    Crashed,
    MailboxFull,
    Overflow,
    RecipientStopped,
    Restart,
    State,
    Stopped,
    WaitCycle,
)

from .puppets import Do, Part, Puppet, answer, busy, crash, running_tasks, settle, stage


class Small(Puppet):
    capacity = 10


async def test_a_handler_that_raises_harms_neither_its_siblings_nor_its_mailbox(
    autojump_clock: MockClock,
) -> None:
    """It is one message that went wrong."""
    part, sibling = Part(), Part()
    async with stage() as here:
        ref, other = here.spawn(part), here.spawn(sibling, "sibling")
        for message in (Do(crash), "A", Do(crash), "B"):
            await ref.tell(message)
            await other.tell(message if isinstance(message, str) else "C")
        assert await ref.ask(answer(1), timeout=60) == 1
        view = here.system.actor("root/child")
        assert view is not None
        assert (view.restarts, [crash.error for crash in view.crashes]) == (2, ["Boom()"] * 2)
        assert [crash.kind for crash in view.crashes] == ["Do", "Do"]

    assert [message for message in part.seen if isinstance(message, str)] == ["A", "B"]
    assert sibling.seen == ["C", "A", "C", "B"]
    assert len(sibling.lives) == 1


async def test_a_handler_that_hangs_is_seen_and_holds_up_nobody_else(autojump_clock: MockClock) -> None:
    """Its askers time out, its siblings go on, its stop takes no longer than its grace."""
    async with stage() as here:
        ref, other = here.spawn(Part(), grace=3), here.spawn(Part(), "sibling")
        await ref.tell(Do(busy()))
        await trio.sleep(100)
        view = here.system.actor("root/child")
        assert view is not None
        assert (view.state, view.since) == (State.HANDLING, 100)
        assert await other.ask(answer(1), timeout=1) == 1
        here.system.stop()
        await ref.wait_gone()
        assert trio.current_time() == 103


async def test_a_handler_that_swallows_its_cancellation_and_returns_is_ended(
    autojump_clock: MockClock,
) -> None:
    """It takes no further message."""
    part = Part()

    async def swallow(me: Puppet) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            part.seen.append("swallowed")

    async with stage() as here:
        ref = here.spawn(part, grace=1)
        await ref.tell(Do(swallow))
        await ref.tell("never handled")
        await settle()
        here.system.stop()

    assert part.seen[1:] == ["swallowed"]
    assert part.ends == [Stopped("parent stops")]


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_a_flood_is_bounded_by_the_mailbox(autojump_clock: MockClock, overflow: Overflow) -> None:
    """Whatever the policy: memory does not grow, and what was lost is counted."""

    class Flooded(Small):
        pass

    Flooded.overflow = overflow
    part = Part(Flooded)
    refused = 0
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(1)))
        await settle()
        for number in range(100_000):
            try:
                ref.tell_nowait(number)
            except MailboxFull:
                refused += 1
        view = here.system.actor("root/child")
        assert view is not None
        assert (view.queued, view.peak, view.dropped + view.rejected) == (10, 10, 99_990)
        assert refused == view.rejected
        await trio.sleep(2)

    kept = range(99_990, 100_000) if overflow is Overflow.DROP_OLDEST else range(10)
    assert part.seen[1:] == list(kept)


async def test_actors_that_flood_themselves_let_others_run() -> None:
    """Two that always have work, and a third that is asked."""
    async with stage() as here:

        def again(me: Puppet) -> None:
            me.ref.tell_nowait(Do(again))

        for name in "ab":
            here.spawn(Part(), name).tell_nowait(Do(again))
        ref = here.spawn(Part())
        for number in range(10):
            assert await ref.ask(answer(number), timeout=60) == number


async def test_sending_to_the_dead_costs_the_sender_an_error_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    """It may catch it, or crash of it: its own doing either way."""
    part = Part()
    async with stage() as here:
        dead = here.spawn(Part(), "dead")
        dead.stop()
        await dead.wait_gone()

        def send(me: Puppet) -> None:
            dead.tell_nowait("A")

        ref = here.spawn(part)
        await ref.tell(Do(send))
        assert await ref.ask(answer(1), timeout=60) == 1
        assert here.system.dead_letters.total == 1

    (end, *_) = part.ends
    assert isinstance(end, Crashed)
    assert isinstance(end.error, RecipientStopped)


async def test_who_asks_during_shutdown_learns_at_once_that_none_will_answer(
    autojump_clock: MockClock,
) -> None:
    """In `stopped`: a parent, a sibling that is gone, one that is still there, or oneself."""
    outcomes: dict[str, object] = {}
    refs: dict[str, ActorRef[Any]] = {}

    async def ask_everybody(me: Puppet, reason: object) -> None:
        for name, ref in refs.items():
            try:
                outcomes[name] = await ref.ask(answer("here"), timeout=60)
            except ActorError as error:
                outcomes[name] = type(error)

    async with stage() as here:
        refs |= {"parent": here.root.ref, "older": here.spawn(Part(), "older")}
        refs["itself"] = here.spawn(Part(on_end=ask_everybody), "itself")
        refs["newer"] = here.spawn(Part(), "newer")
        await settle()
        here.system.stop()

    assert outcomes == {
        "parent": RecipientStopped,
        "older": "here",
        "itself": WaitCycle,
        "newer": RecipientStopped,
    }
    assert trio.current_time() == 0


async def test_an_actor_that_crashes_in_every_start_spends_the_budget(autojump_clock: MockClock) -> None:
    """And is not tried for ever."""
    part, top = Part(on_start=crash), Part()
    async with stage() as here:
        supervisor = here.spawn(top, "supervisor", restart=Restart.TEMPORARY)
        await settle()
        top.now.spawn(part, name="child")
        await supervisor.wait_gone()

    assert len(part.lives) == 11
    assert len(part.ends) == 11
    (end,) = top.ends
    assert isinstance(end, Crashed)


async def test_an_actor_that_crashes_in_its_stop_is_gone_all_the_same(autojump_clock: MockClock) -> None:
    """Its watchers hear how it ended, and not how it failed to say goodbye."""
    words: list[object] = []
    part = Part(on_end=crash)
    async with stage() as here:
        ref = here.spawn(part)
        here.root.watch(ref, lambda down: words.append(down.reason))
        await settle()
        ref.stop("enough")
        await ref.wait_gone()
        assert words == [Stopped("enough")]


async def test_ten_thousand_actors_live_and_end(autojump_clock: MockClock) -> None:
    """A task each: what a crowded server needs."""
    part = Part()
    async with stage() as here:
        refs = [here.spawn(part, str(number)) for number in range(10_000)]
        await settle()
        for ref in refs:
            ref.tell_nowait("A")
        await settle()
        assert len(part.seen) == 10_000

    assert len(part.ends) == 10_000
    assert not running_tasks()


async def test_a_name_that_looks_like_a_grandchilds_address_is_refused() -> None:
    """An address is one actor's; who leaves must not take another out of the books."""
    async with stage() as here:
        part = Part(on_start=lambda me: me.spawn(Part(), name="b"))
        here.spawn(part, "a")
        await settle()
        with pytest.raises(ValueError, match="there is an actor root/a/b already"):
            here.spawn(Part(), "a/b")
