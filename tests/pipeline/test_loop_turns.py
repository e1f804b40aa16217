"""Whether others had their turn, by the turns of trio's loop."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from server.pipeline.loop_turns import loop_turns


async def test_it_counts_whenever_others_may_have_run() -> None:
    """And nothing else, so that who waited by himself is not made to wait again."""
    turns = loop_turns()
    await trio.lowlevel.checkpoint()
    before = turns.count
    assert loop_turns() is turns
    assert turns.count == before

    await trio.lowlevel.checkpoint()

    assert turns.count == before + 1


async def test_a_turn_begins_when_its_wait_is_over(autojump_clock: MockClock) -> None:
    """Whoever runs in it need not ask the clock."""
    turns = loop_turns()
    await trio.sleep(5.0)
    began = trio.current_time()
    autojump_clock.jump(1.0)

    assert turns.began == began


async def test_a_loop_has_one_from_the_beginning() -> None:
    """Who asks first has to know as much as who asks later."""
    before = trio.current_time()
    assert before <= loop_turns().began <= trio.current_time()


def test_each_loop_has_its_own() -> None:
    """Tests, and embedded servers, run one loop after another."""

    async def one() -> object:
        return loop_turns()

    assert trio.run(one) is not trio.run(one)
