"""One clock for all replies of a pipeline: each is told in time, and telling leaves time for writing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from server.pipeline.teller import LONGEST, LONGEST_REST, SHARE, TICK, TICKS, Teller

INTERVAL = 0.02


@define(eq=False)
class Held:
    """A reply that always has something to tell, which takes a while."""

    clock: MockClock
    takes: float = 0.0
    tells_at: float = 0.0
    told: list[float] = field(factory=list)
    full: int = 0
    was_told: trio.Event = field(factory=trio.Event)

    def tell(self, now: float) -> bool:
        if self.full:
            self.full -= 1
            return False
        self.clock.jump(self.takes)
        self.told.append(now)
        self.was_told.set()
        self.tells_at = now + INTERVAL
        return True


@asynccontextmanager
async def telling(interval: float = INTERVAL) -> AsyncIterator[Teller]:
    teller = Teller(interval)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller.run)
        await trio.testing.wait_all_tasks_blocked()
        yield teller
        nursery.cancel_scope.cancel()


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    return autojump_clock


async def test_what_is_held_is_told_a_quarter_of_the_interval_late_at_most(clock: MockClock) -> None:
    """Nobody sees a difference of five milliseconds, and one clock is cheaper than two hundred."""
    async with telling() as teller:
        replies = [Held(clock, tells_at=trio.current_time() + INTERVAL * n / 7) for n in range(7)]
        due = [reply.tells_at for reply in replies]
        for reply in replies:
            teller.hold(reply)
        await trio.sleep(3 * INTERVAL)

    for reply, at in zip(replies, due, strict=True):
        assert [at <= told <= at + INTERVAL / TICKS + 1e-9 for told in reply.told] == [True]


async def test_what_a_conversation_has_no_room_for_is_told_later(clock: MockClock) -> None:
    """Nothing is lost meanwhile: the reply keeps it."""
    async with telling() as teller:
        teller.hold(reply := Held(clock, full=3))
        await trio.sleep(0.9 * INTERVAL)
        assert reply.told == []
        await trio.sleep(INTERVAL)
        assert len(reply.told) == 1


async def test_one_that_has_told_meanwhile_waits_for_its_moment_anew(clock: MockClock) -> None:
    """It may tell by itself, when it has too much."""
    async with telling() as teller:
        teller.hold(reply := Held(clock, tells_at=trio.current_time()))
        reply.tells_at = due = trio.current_time() + 3 * INTERVAL
        await trio.sleep(2 * INTERVAL)
        assert reply.told == []
        await reply.was_told.wait()

    assert due <= reply.told[0] <= due + INTERVAL / TICKS + 1e-9


async def test_telling_leaves_most_of_the_time_to_others(clock: MockClock) -> None:
    """With very many replies at once, each is told less often; else none of them would get on."""
    async with telling() as teller:
        replies, began = [Held(clock, takes=0.001) for _ in range(10)], trio.current_time()
        for _ in range(10):
            for reply in replies:
                teller.hold(reply)
            replies[-1].was_told = trio.Event()
            await replies[-1].was_told.wait()
        spent = sum(len(reply.told) for reply in replies) * 0.001
        all_time = trio.current_time() - began

    assert spent / all_time == pytest.approx(1 / (SHARE + 1), rel=0.2)


async def test_a_stop_of_the_whole_process_is_no_reason_to_rest(clock: MockClock) -> None:
    """Suspended in the midst of telling for an hour, it would be silent for a working day."""
    async with telling() as teller:
        teller.hold(suspended := Held(clock, takes=3600.0))
        await suspended.was_told.wait()
        began = trio.current_time()
        teller.hold(reply := Held(clock))
        await reply.was_told.wait()

    assert trio.current_time() - began <= (LONGEST + 1) * INTERVAL


def test_with_an_interval_a_reply_waits_for_it(clock: MockClock) -> None:
    """However little telling took: what is told too often is read by nobody."""
    assert Teller(INTERVAL).rest_after(5.0) == 5.0 + INTERVAL


async def test_without_an_interval_telling_leaves_most_of_the_time_to_others_too(clock: MockClock) -> None:
    """Each that tells goes behind those before it, so that all together take no more than their share."""
    teller = Teller(0)
    began = trio.current_time()
    for number in range(1, 4):
        since = trio.current_time()
        clock.jump(0.001)
        assert teller.rest_after(since) == pytest.approx(began + number * (SHARE + 1) * 0.001)


async def test_without_an_interval_what_was_told_in_one_go_is_counted_once(clock: MockClock) -> None:
    """The clock tells many that began, for it, at the same moment."""
    teller = Teller(0)
    since = trio.current_time()
    for number in range(1, 4):
        clock.jump(0.001)
        assert teller.rest_after(since) == pytest.approx(since + number * (SHARE + 1) * 0.001)


async def test_without_an_interval_nobody_rests_for_long(clock: MockClock) -> None:
    """A process that was stopped in the midst of telling is not silent for many times as long."""
    teller = Teller(0)
    since = trio.current_time()
    clock.jump(3600.0)
    assert teller.rest_after(since) == trio.current_time() + LONGEST_REST


async def test_without_an_interval_what_is_held_is_told_soon(clock: MockClock) -> None:
    """A millisecond later, if nobody has to rest."""
    async with telling(0) as teller:
        teller.hold(reply := Held(clock, tells_at=trio.current_time()))
        began = trio.current_time()
        await reply.was_told.wait()
    assert reply.told == [pytest.approx(began + TICK)]
