"""Messages to oneself for later: their order, their time, and their end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors import Restart

from .puppets import Do, Part, Puppet, answer, busy, crash, settle, stage


async def test_a_timers_message_queues_when_its_actor_next_looks(autojump_clock: MockClock) -> None:
    """Behind all that has come until then: it is no interruption."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        part.now.after(1, "the timer")
        await ref.tell(Do(busy(5)))
        await trio.sleep(0.5)
        ref.tell_nowait("before it is due")
        await trio.sleep(2)
        ref.tell_nowait("after it is due")
        await trio.sleep(5)
        ref.tell_nowait("later")
        await settle()

    assert part.seen[1:] == ["before it is due", "after it is due", "the timer", "later"]


async def test_timers_of_one_moment_come_in_the_order_they_were_set(autojump_clock: MockClock) -> None:
    """Else `after(0, …)` twice would be a toss-up."""
    part = Part(on_start=lambda me: [me.after(seconds, f"{seconds} {n}") for n in "AB" for seconds in (2, 1)])
    async with stage() as here:
        here.spawn(part)
        await trio.sleep(3)

    assert part.seen == ["1 A", "1 B", "2 A", "2 B"]


async def test_a_busy_actor_is_not_kept_from_its_timers(autojump_clock: MockClock) -> None:
    """A mailbox that is never empty must not starve them."""
    part = Part()

    async def again(me: Puppet) -> None:
        await trio.sleep(0.1)
        me.ref.tell_nowait(Do(again))

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(again))
        await settle()
        part.now.after(1, "the timer")
        await trio.sleep(1.5)
        assert "the timer" in part.seen
        ref.stop()


async def test_a_timer_cancelled_when_it_is_due_sends_nothing(autojump_clock: MockClock) -> None:
    """Until its message is in the queue, it is not too late."""
    part = Part()

    async def wait_and_cancel(me: Puppet) -> None:
        timer = me.after(1, "the timer")
        await trio.sleep(5)
        assert timer.pending
        timer.cancel()
        assert not timer.pending

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(wait_and_cancel))
        await trio.sleep(10)

    assert len(part.seen) == 1


async def test_a_timer_whose_message_is_queued_is_spent(autojump_clock: MockClock) -> None:
    """To cancel it then does nothing, and harms no other."""
    part = Part()

    async def two(me: Puppet) -> None:
        first, second = me.after(1, Do(lambda me: second.cancel())), me.after(1, "second")
        first.cancel()
        first.cancel()
        me.after(1, "third")

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(two))
        await trio.sleep(2)

    assert part.seen[1:] == ["second", "third"]


async def test_a_timer_set_in_the_past_is_due_at_once(autojump_clock: MockClock) -> None:
    """Whoever computes a time may be late."""
    part = Part(on_start=lambda me: me.after(-1, "A"))
    async with stage() as here:
        here.spawn(part)
        await settle()
        assert part.seen == ["A"]
        assert trio.current_time() == 0


async def test_a_timer_that_is_set_anew_with_every_message_leaves_no_trail(autojump_clock: MockClock) -> None:
    """An idle time-out would grow with the traffic."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        for _ in range(10_000):
            part.now.after(60, "idle").cancel()
        assert await ref.ask(answer(1), timeout=1) == 1
        cell = ref._recipient
        assert len(cell.life.intake.timers._heap) < 100  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["crash", "stop", "group"])
async def test_a_timer_dies_with_its_life(autojump_clock: MockClock, how: str) -> None:
    """The next life would not know what it is about."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part, restart=Restart.PERMANENT)
        await ref.tell(Do(lambda me: me.after(5, "the timer")))
        await settle()
        match how:
            case "crash":
                await ref.tell(Do(crash))
            case "stop":
                await ref.tell(Do(lambda me: me.stop()))
            case "group":
                cell = ref._recipient
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cell.rest, "a test")  # type: ignore[attr-defined]
                cell.resume()  # type: ignore[attr-defined]
        await trio.sleep(20)
        assert len(part.lives) == 2

    assert "the timer" not in part.seen
