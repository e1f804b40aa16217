"""Which endings are for good."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors import ActorSystem, Crashed, Restart, RestartBudget, RestartBudgetSpent, Stopped

from .puppets import Do, Part, Puppet, answer, crash, settle, stage


def leave_twice(me: Puppet) -> None:
    me.stop("mine")
    me.ref.stop("theirs")


def leave(me: Puppet) -> None:
    me.stop("enough")


async def test_a_permanent_actor_that_stops_itself_comes_back(autojump_clock: MockClock) -> None:
    """It is meant to be there, whatever it thinks."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(leave))
        await ref.tell("for the next life")
        assert await ref.ask(answer(1), timeout=60) == 1
        assert part.ends == [Stopped("enough")]

    assert len(part.lives) == 2
    assert "for the next life" in part.seen


async def test_a_permanent_actor_that_stops_itself_costs_a_restart(autojump_clock: MockClock) -> None:
    """One that leaves again and again is as broken as one that crashes."""

    class Strict(Puppet):
        def budget(self) -> RestartBudget:
            return RestartBudget(restarts=2, within=1000)

    top, part = Part(Strict), Part(on_start=leave)
    async with stage() as here:
        ref = here.spawn(top, "supervisor", restart=Restart.TEMPORARY)
        await settle()
        top.now.spawn(part, name="child")
        await ref.wait_gone()

    assert len(part.lives) == 3
    (end,) = top.ends
    assert isinstance(end, Crashed)
    assert isinstance(end.error, RestartBudgetSpent)


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
async def test_any_other_actor_that_stops_itself_is_gone(autojump_clock: MockClock, restart: Restart) -> None:
    """Its work is done."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part, restart=restart)
        await ref.tell(Do(leave))
        await ref.wait_gone()
        await trio.sleep(60)

    assert len(part.lives) == 1
    assert part.ends == [Stopped("enough")]


@pytest.mark.parametrize("restart", list(Restart))
async def test_a_stop_by_the_ref_is_for_good_even_after_a_stop_by_itself(
    autojump_clock: MockClock, restart: Restart
) -> None:
    """The word from outside counts, in whatever order they come."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part, restart=restart)
        await ref.tell(Do(leave_twice))
        await ref.wait_gone()
        await trio.sleep(60)

    assert len(part.lives) == 1
    assert part.ends == [Stopped("theirs" if restart is Restart.PERMANENT else "mine")]


async def test_a_stop_by_the_ref_is_for_good_between_two_lives(autojump_clock: MockClock) -> None:
    """There is no life to end, and none is begun."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        await settle()
        ref.stop()
        await ref.wait_gone()
        await trio.sleep(60)

    assert len(part.lives) == 1


async def test_a_root_that_stops_itself_ends_the_system() -> None:
    """Nobody is there to bring it back."""
    part = Part(on_start=leave)
    await ActorSystem().run(part, name="root")

    assert part.ends == [Stopped("enough")]


async def test_an_actor_stopped_while_it_starts_may_finish_its_start(autojump_clock: MockClock) -> None:
    """A stop is not a crash: what it spawns is stopped with it."""
    below = Part()

    async def begin(me: Puppet) -> None:
        await trio.sleep(0.5)
        me.spawn(below, name="below")

    part = Part(on_start=begin)
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        ref.stop("at once")
        await ref.wait_gone()

    assert part.ends == [Stopped("at once")]
    assert below.ends == [Stopped("parent stops")]
