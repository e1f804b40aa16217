"""What runs beside an actor's mailbox: timers and helper tasks."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from actors import Crashed, Restart, Stopped

from .puppets import Boom, Do, Part, Puppet, answer, busy, crash, settle, stage


async def test_a_timer_sends_when_its_time_has_come(autojump_clock: MockClock) -> None:
    """An actor waits without blocking."""
    part = Part(on_start=lambda me: (me.after(5, "B"), me.after(1, "A")))
    async with stage() as here:
        here.spawn(part)
        await trio.sleep(0.9)
        assert part.seen == []
        await trio.sleep(0.2)
        assert part.seen == ["A"]
        await trio.sleep(5)
        assert part.seen == ["A", "B"]


async def test_a_timer_gets_into_a_full_mailbox(autojump_clock: MockClock) -> None:
    """What an actor owes itself is bounded by itself."""

    class Small(Puppet):
        capacity = 1

    part = Part(Small, on_start=lambda me: me.after(1, "the timer"))
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(2)))
        await settle()
        ref.tell_nowait("fills it")
        await trio.sleep(3)

    assert part.seen[1:] == ["fills it", "the timer"]


async def test_a_cancelled_timer_sends_nothing(autojump_clock: MockClock) -> None:
    """Whether it was waiting already or not."""
    part = Part()
    async with stage() as here:
        here.spawn(part)
        await settle()
        timer = part.now.after(1, "A")
        await settle()
        timer.cancel()
        at_once = part.now.after(1, "B")
        at_once.cancel()
        await trio.sleep(2)
        assert part.seen == []


async def test_cancelling_a_timer_that_has_sent_does_nothing(autojump_clock: MockClock) -> None:
    """Whoever cancels can't know."""
    part = Part()
    async with stage() as here:
        here.spawn(part)
        await settle()
        timer = part.now.after(1, "A")
        await trio.sleep(2)
        timer.cancel()
        timer.cancel()

    assert part.seen == ["A"]


async def test_a_timer_ends_with_the_life_that_set_it(autojump_clock: MockClock) -> None:
    """The next life would not know what it is about."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        part.now.after(5, "A")
        await ref.tell(Do(crash))
        await ref.ask(answer(1), timeout=60)
        await trio.sleep(10)
        assert "A" not in part.seen
        part.now.after(5, "B")
        ref.stop()
        await ref.wait_gone()
        await trio.sleep(10)

    assert here.system.dead_letters.total == 0


async def test_a_timer_does_not_fire_into_the_next_life_while_this_one_ends(
    autojump_clock: MockClock,
) -> None:
    """Children may take their time, and the mailbox stays."""
    part = Part()

    def begin(me: Puppet) -> None:
        me.spawn(Part(on_end=busy(0.5)), name="slow")
        me.after(0.2, "A")

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(begin))
        await settle()
        await ref.tell(Do(crash))
        assert await ref.ask(answer(1), timeout=60) == 1

    assert "A" not in part.seen


async def test_a_helper_runs_beside_the_mailbox(autojump_clock: MockClock) -> None:
    """It may wait; the actor goes on."""
    part = Part()

    async def helper(me: Puppet) -> None:
        await trio.sleep(5)
        await me.ref.tell("from the helper")

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(lambda me: me.start_task(helper, me, name="helper")))
        assert await ref.ask(answer(1), timeout=1) == 1
        await trio.sleep(6)

    assert part.seen[-1] == "from the helper"


async def test_the_crash_of_a_helper_is_its_actors(autojump_clock: MockClock) -> None:
    """An actor without its helper is not what it claims to be."""
    part = Part()

    async def helper() -> None:
        await trio.sleep(1)
        raise Boom

    async with stage() as here:
        ref = here.spawn(part, restart=Restart.TEMPORARY)
        await ref.tell(Do(lambda me: me.start_task(helper, name="helper")))
        await ref.tell(Do(busy()))
        await ref.wait_gone()
        assert trio.current_time() == 1

    (end,) = part.ends
    assert isinstance(end, Crashed)
    assert isinstance(end.error, Boom)


async def test_a_helper_ends_with_its_actor() -> None:
    """Nothing of an actor is left when it is gone."""
    ended: list[str] = []

    async def helper() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("helper")

    part = Part(on_start=lambda me: me.start_task(helper, name="helper"))
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        ref.stop()
        await ref.wait_gone()

    assert ended == ["helper"]
    assert part.ends == [Stopped("stopped")]


async def test_a_helper_that_fails_while_its_actor_stops_does_not_undo_the_stop(
    autojump_clock: MockClock,
) -> None:
    """It is known as a crash, but nobody starts the actor again."""
    part = Part()

    async def helper() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom

    part.on_start = lambda me: me.start_task(helper, name="helper")
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        ref.stop()
        await ref.wait_gone()

    assert len(part.lives) == 1
