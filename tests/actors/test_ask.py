"""Questions: every asker learns what came of it, in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import ActorDied, ActorRef, AskTimeout, RecipientStopped, Restart, Stopped

from .puppets import Ask, Boom, Do, Part, Puppet, answer, busy, crash, settle, stage


class Small(Puppet):
    capacity = 1


def later(me: Puppet, question: Ask) -> None:
    """Leave *question* unanswered for now."""


async def failure_of(ref: ActorRef[Any], question: Ask, cause: Callable[[], object]) -> Exception:
    """What *question* fails with when *cause* is called while its asker waits; no time may pass till then."""
    failures: list[Exception] = []

    async def ask() -> None:
        try:
            await ref.ask(question, timeout=60)
        except Exception as error:
            failures.append(error)

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await settle()
        cause()
    assert trio.current_time() == begin
    return failures[0]


async def test_an_answer_reaches_the_asker() -> None:
    """That is what a question is."""
    async with stage() as here:
        assert await here.spawn(Part()).ask(answer(42), timeout=1) == 42


async def test_a_refusal_is_raised_at_the_asker_alone() -> None:
    """Declining is no crash of the actor that declines."""
    part = Part()
    async with stage() as here:
        with pytest.raises(Boom):
            await here.spawn(part).ask(Ask(lambda me, question: question.refuse(Boom())), timeout=1)

    assert len(part.lives) == 1


async def test_an_answer_may_come_later() -> None:
    """An actor that waits for something else can go on handling messages meanwhile."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        async with trio.open_nursery() as nursery:
            answers: list[int] = []

            async def ask() -> None:
                answers.append(await ref.ask(Ask(later), timeout=1))

            nursery.start_soon(ask)
            await settle()
            assert await ref.ask(answer("busy"), timeout=1) == "busy"
            part.seen[0].answer(7)

    assert answers == [7]


async def test_the_deadline_covers_handling(autojump_clock: MockClock) -> None:
    """Else a slow actor holds its asker as long as it likes."""
    async with stage() as here:
        ref = here.spawn(Part())
        with pytest.raises(AskTimeout, match=r"root/child did not answer Ask within 2 s") as late:
            await ref.ask(Ask(busy(5)), timeout=2)
        assert trio.current_time() == 2

    assert (late.value.address, late.value.seconds, type(late.value.question)) == ("root/child", 2, Ask)


async def test_the_deadline_covers_the_wait_in_the_mailbox(autojump_clock: MockClock) -> None:
    """Expired work is skipped: nobody waits for it, and doing it would make the next one late too."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(5)))
        with pytest.raises(AskTimeout):
            await ref.ask(answer(1), timeout=2)
        await trio.sleep(10)
        assert len(part.seen) == 1
        assert [d.why for d in here.system.dead_letters.recent] == ["expired"]


async def test_work_that_expires_just_now_is_skipped_as_well(autojump_clock: MockClock) -> None:
    """At the deadline itself the asker has already left."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(2)))
        with pytest.raises(AskTimeout):
            await ref.ask(answer(1), timeout=2)
        await settle()
        assert len(part.seen) == 1


async def test_the_deadline_covers_the_wait_for_room(autojump_clock: MockClock) -> None:
    """A full mailbox is the likeliest place to wait."""
    part = Part(Small)
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(5)))
        await settle()
        ref.tell_nowait("fills it")
        with pytest.raises(AskTimeout):
            await ref.ask(answer(1), timeout=2)
        assert trio.current_time() == 2
        await trio.sleep(10)

    assert len(part.seen) == 2


async def test_a_late_answer_is_a_dead_letter_and_harms_nobody(autojump_clock: MockClock) -> None:
    """The measured fault of a peer: a late reply kills the server."""
    part = Part()

    async def slowly(me: Puppet, question: Ask) -> None:
        await trio.sleep(5)
        question.answer("too late")

    async with stage() as here:
        ref = here.spawn(part)
        with pytest.raises(AskTimeout):
            await ref.ask(Ask(slowly), timeout=1)
        assert await ref.ask(answer("next"), timeout=10) == "next"

    assert len(part.lives) == 1
    (letter,) = here.system.dead_letters.recent
    assert (letter.address, letter.why) == ("root/child", "answered too late")


async def test_only_the_first_answer_counts() -> None:
    """A second one is a bug of the answering side, seen as a dead letter."""

    def twice(me: Puppet, question: Ask) -> None:
        question.answer(1)
        question.answer(2)
        question.refuse(Boom())

    async with stage() as here:
        assert await here.spawn(Part()).ask(Ask(twice), timeout=1) == 1

    assert here.system.dead_letters.total == 2


async def test_an_asker_that_is_cancelled_leaves_nothing_behind() -> None:
    """Its answer is late whenever it comes."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        with trio.move_on_after(0):
            await ref.ask(Ask(later), timeout=60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ref.ask(Ask(later), timeout=60))
            await settle()
            nursery.cancel_scope.cancel()
        part.seen[0].answer(1)
        assert here.system.dead_letters.total == 1


async def test_a_told_question_is_answered_into_the_void() -> None:
    """The same message can be an order to somebody who does not care for the answer."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(answer(1))
        await ref.tell(Ask(lambda me, question: question.refuse(Boom())))
        await settle()

    assert len(part.lives) == 1
    assert here.system.dead_letters.total == 0


async def test_a_question_is_asked_once() -> None:
    """Its first answer would settle the second ask as well."""
    question = answer(1)
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.ask(question, timeout=1)
        with pytest.raises(ValueError, match="was asked before"):
            await ref.ask(question, timeout=1)


async def test_asking_the_dead_fails_at_once() -> None:
    """The measured fault of a peer: a dying server hangs the caller."""
    async with stage() as here:
        ref = here.spawn(Part())
        ref.stop()
        with pytest.raises(RecipientStopped):
            await ref.ask(answer(1), timeout=60)


@pytest.mark.parametrize("restart", list(Restart))
async def test_the_asker_of_a_question_in_hand_learns_of_the_crash_at_once(
    autojump_clock: MockClock, restart: Restart
) -> None:
    """No answer can come any more: neither the children's grace nor a restart is worth waiting for."""
    gate = trio.Event()
    slow = Part(on_start=busy())

    async def wait_and_crash(me: Puppet, question: Ask) -> None:
        me.spawn(slow, name="slow")
        await gate.wait()
        raise Boom

    async with stage() as here:
        ref = here.spawn(Part(), restart=restart)
        error = await failure_of(ref, Ask(wait_and_crash), gate.set)

    assert isinstance(error, ActorDied)
    assert error.address == "root/child"
    assert str(error) == "root/child ended before it answered Ask"


async def test_the_asker_of_a_put_off_question_learns_of_a_stop_at_once(autojump_clock: MockClock) -> None:
    """A question may be open long after its handling."""
    async with stage() as here:
        ref = here.spawn(Part())
        assert isinstance(await failure_of(ref, Ask(later), ref.stop), ActorDied)


async def test_the_asker_of_a_queued_question_learns_of_a_stop_at_once(autojump_clock: MockClock) -> None:
    """Stopped is stopped: what was queued will not be handled."""
    gate = trio.Event()
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell(Do(lambda me: gate.wait()))
        assert isinstance(await failure_of(ref, answer(1), ref.stop), ActorDied)
        gate.set()

    assert here.system.dead_letters.total == 1


async def test_a_queued_question_learns_of_the_crash_of_an_actor_that_will_not_come_back(
    autojump_clock: MockClock,
) -> None:
    """Its goodbye may take all of its grace, and the asker need not wait for that."""
    gate = trio.Event()

    async def wait_and_crash(me: Puppet) -> None:
        await gate.wait()
        raise Boom

    async with stage() as here:
        part = Part(on_end=busy())
        ref = here.spawn(part, restart=Restart.TEMPORARY)
        await ref.tell(Do(wait_and_crash))
        assert isinstance(await failure_of(ref, answer(1), gate.set), ActorDied)


async def test_a_queued_question_outlives_the_crash_of_an_actor_that_comes_back() -> None:
    """The mailbox is not lost with the life that was reading it."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        assert await ref.ask(answer("the second life"), timeout=60) == "the second life"

    assert len(part.lives) == 2


async def test_a_timed_out_question_is_one_dead_letter_when_the_actor_stops(
    autojump_clock: MockClock,
) -> None:
    """Counting it twice would hide real losses."""
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell(Do(busy(5)))
        with pytest.raises(AskTimeout):
            await ref.ask(answer(1), timeout=1)
        ref.stop()
        assert here.system.dead_letters.total == 1


async def test_who_passes_a_question_on_owes_no_answer() -> None:
    """It may end, and must not keep the question for its own lifetime."""
    giver, taker = Part(), Part()
    async with stage() as here:
        to = here.spawn(taker, "taker")
        ref = here.spawn(giver, "giver")
        async with trio.open_nursery() as nursery:
            answers: list[Any] = []

            async def ask() -> None:
                answers.append(await ref.ask(question, timeout=1))

            def pass_on(me: Puppet, question: Ask) -> None:
                if me.part is giver:
                    to.tell_nowait(question)

            question = Ask(pass_on)
            nursery.start_soon(ask)
            await settle()
            ref.stop()
            await ref.wait_gone()
            question.answer("from the taker")

    assert answers == ["from the taker"]


async def test_an_actor_that_stops_itself_may_still_answer_first() -> None:
    """The order of the two statements is what counts."""
    part = Part()

    def answer_and_stop(me: Puppet, question: Ask) -> None:
        me.stop("done")
        question.answer("goodbye")

    async with stage() as here:
        assert await here.spawn(part).ask(Ask(answer_and_stop), timeout=1) == "goodbye"
        await settle()

    assert part.ends == [Stopped("done")]


async def test_a_time_out_that_is_no_number_is_refused() -> None:
    """Nothing is sooner or later than it: it would never come, and spoil the deadlines of all others."""
    async with stage() as here:
        ref = here.spawn(Part())
        question = answer(1)
        with pytest.raises(ValueError, match="must not be NaN"):
            await ref.ask(question, timeout=float("nan"))
        with pytest.raises(ValueError, match="must not be NaN"):
            here.root.after(float("nan"), "never")
        assert await ref.ask(question, timeout=1) == 1
