"""Questions that leave a mailbox unread, or pass through several hands."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import ActorDied, Overflow, QuestionDropped, Restart
from actors.testing import run_seeded

from .puppets import Ask, Do, Part, Puppet, answer, busy, crash, settle, stage


class DropsOldest(Puppet):
    capacity = 1
    overflow = Overflow.DROP_OLDEST


class DropsNewest(DropsOldest):
    overflow = Overflow.DROP_NEWEST


class Conflates(Puppet):
    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        return Ask if isinstance(message, Ask) else None


async def asked(ref: Any, question: Ask, outcomes: list[object]) -> None:
    try:
        outcomes.append(await ref.ask(question, timeout=60))
    except Exception as error:
        outcomes.append(error)


async def test_the_asker_of_a_question_that_is_dropped_learns_it_at_once(autojump_clock: MockClock) -> None:
    """It would wait for its time-out; and whose mailbox drops can't be known from outside."""
    outcomes: list[object] = []
    async with stage() as here:
        ref = here.spawn(Part(DropsOldest))
        await ref.tell(Do(busy(5)))
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked, ref, answer(1), outcomes)
            await settle()
            ref.tell_nowait("newer")
        assert trio.current_time() == 0
        view = here.system.actor("root/child")
        assert view is not None
        assert view.dropped == 1

    (error,) = outcomes
    assert isinstance(error, QuestionDropped)
    assert str(error) == "root/child dropped Ask unread"


async def test_the_asker_of_a_question_that_is_replaced_learns_it_at_once(autojump_clock: MockClock) -> None:
    """Only the newest of a key is handled, and its asker alone is answered."""
    outcomes: list[object] = []
    async with stage() as here:
        ref = here.spawn(Part(Conflates))
        await ref.tell(Do(busy(5)))
        await settle()
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(asked, ref, answer(number), outcomes)
                await settle()
            assert [type(outcome) for outcome in outcomes] == [QuestionDropped] * 2
            assert trio.current_time() == 0

    assert outcomes[2] == 2


async def test_a_question_passed_on_to_a_mailbox_that_drops_it_is_known_to_be_lost(
    autojump_clock: MockClock,
) -> None:
    """Who passed it on is not told, so the asker must be."""
    outcomes: list[object] = []
    async with stage() as here:
        to = here.spawn(Part(DropsNewest), "taker")
        ref = here.spawn(Part(), "giver")
        await to.tell(Do(busy(5)))
        await settle()
        to.tell_nowait("fills it")
        await asked(ref, Ask(lambda me, question: to.tell_nowait(question)), outcomes)
        assert trio.current_time() == 0

    assert isinstance(outcomes[0], QuestionDropped)


async def test_a_question_passed_on_and_still_queued_outlives_the_one_that_passed_it_on(
    autojump_clock: MockClock,
) -> None:
    """It is owed by the one in whose mailbox it lies."""
    outcomes: list[object] = []
    async with stage() as here:
        to = here.spawn(Part(), "taker")
        ref = here.spawn(Part(), "giver", restart=Restart.TEMPORARY)
        await to.tell(Do(busy(5)))

        def pass_on(me: Puppet, question: Ask) -> None:
            if me.ref == ref:
                to.tell_nowait(question)
                raise ZeroDivisionError
            question.answer("from the taker")

        await asked(ref, Ask(pass_on), outcomes)
        assert trio.current_time() == 5
        assert not ref.alive

    assert outcomes == ["from the taker"]


async def test_who_got_a_question_passed_on_owes_its_answer(autojump_clock: MockClock) -> None:
    """Its end ends the wait, queued or in hand, though another was asked."""
    outcomes: list[object] = []
    async with stage() as here:
        to = here.spawn(Part(), "taker")
        ref = here.spawn(Part(), "giver")

        def pass_on(me: Puppet, question: Ask) -> None:
            if me.ref == ref:
                to.tell_nowait(question)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked, ref, Ask(pass_on), outcomes)
            await settle()
            await to.tell(Do(busy(0.5)))
            nursery.start_soon(asked, ref, Ask(pass_on), outcomes)
            await settle()
            to.stop()
            await settle()
            assert len(outcomes) == 1  # the one in hand may still be answered, until the actor ends
        assert trio.current_time() == 0.5

    assert [type(outcome) for outcome in outcomes] == [ActorDied, ActorDied]


async def test_a_question_passed_on_and_answered_twice_is_answered_once() -> None:
    """The second answer is a dead letter, whoever gives it."""
    outcomes: list[object] = []
    async with stage() as here:
        to = here.spawn(Part(), "taker")
        ref = here.spawn(Part(), "giver")

        def pass_on(me: Puppet, question: Ask) -> None:
            if me.ref == ref:
                to.tell_nowait(question)
            question.answer(me.ref.address)

        await asked(ref, Ask(pass_on), outcomes)
        await settle()
        assert [letter.why for letter in here.system.dead_letters.recent][-1:] in (
            ["answered too late"],
            ["expired"],
        )

    assert outcomes == ["root/giver"]


async def test_a_question_told_to_oneself_again_is_answered_later() -> None:
    """A way to put it off behind what waits."""
    outcomes: list[object] = []
    async with stage() as here:
        ref = here.spawn(Part())
        seen: list[Ask] = []

        def again(me: Puppet, question: Ask) -> None:
            seen.append(question)
            if len(seen) < 3:
                me.ref.tell_nowait(question)
            else:
                question.answer("at last")

        await asked(ref, Ask(again), outcomes)

    assert outcomes == ["at last"]


def test_a_question_passed_on_through_a_full_mailbox_is_owed_by_who_got_it() -> None:
    """It waited for room; whoever let it in may be gone before its sender runs again."""
    for seed in range(20):
        outcomes: list[object] = []

        async def scene(seed: int, outcomes: list[object] = outcomes) -> None:
            async with stage() as here:
                b = here.spawn(Part(), "b", restart=Restart.TEMPORARY, capacity=1)
                a = here.spawn(Part(), "a")
                b.tell_nowait(Do(busy(1)))
                await settle()
                b.tell_nowait(Do(lambda me: None))  # it is full now
                await asked(
                    a, Ask(lambda me, it: work_and_crash(me) if me.ref == b else b.tell(it)), outcomes
                )

        run_seeded(scene, seed, seed=seed)
        assert [type(outcome) for outcome in outcomes] == [ActorDied]


async def work_and_crash(me: Puppet) -> None:
    await trio.sleep(1)
    crash(me)


async def test_an_ask_that_is_refused_leaves_no_promise_behind() -> None:
    """Its question can be told, or asked again."""
    async with stage() as here:
        ref, question = here.spawn(Part()), answer(1)
        ref.stop()
        await ref.wait_gone()
        with pytest.raises(Exception, match="root/child is gone"):
            await ref.ask(question, timeout=1)
        other = here.spawn(Part(), "other")
        assert await other.ask(question, timeout=1) == 1

    assert here.system.dead_letters.total == 1
