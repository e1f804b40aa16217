"""Whether others had their turn, by the turns of trio's loop."""

from __future__ import annotations

import trio

from server.pipeline.loop_turns import loop_turns


async def test_it_counts_whenever_others_may_have_run() -> None:
    """And nothing else, so that who waited by himself is not made to wait again."""
    turns = loop_turns()
    before = turns.count
    assert loop_turns() is turns
    assert turns.count == before

    await trio.lowlevel.checkpoint()

    assert turns.count == before + 1


def test_each_loop_has_its_own() -> None:
    """Tests, and embedded servers, run one loop after another."""

    async def one() -> object:
        return loop_turns()

    assert trio.run(one) is not trio.run(one)
