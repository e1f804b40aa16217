"""Asking without waiting: the answer comes as a message."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any

import pytest
import trio
from attrs import frozen
from trio.testing import MockClock

from actors import (
    ActorDied,
    ActorRef,
    Answer,
    AskTimeout,
    MailboxFull,
    Overflow,
    QuestionDropped,
    RecipientStopped,
    Restart,
)

from .puppets import Ask, Boom, Do, Part, Puppet, Stage, answer, busy, crash, settle, stage
from .test_causality import Journal


@frozen
class Heard:
    """What a puppet's requests become."""

    name: object
    answer: Answer[Any]


class Tight(Puppet):
    capacity = 1


class DropsOldest(Tight):
    overflow = Overflow.DROP_OLDEST


class Conflates(Puppet):
    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        return Ask if isinstance(message, Ask) else None


def later(me: Puppet, question: Ask) -> None:
    """Leave *question* unanswered for now."""


def requests(ref: ActorRef[Any], question: Ask, name: object = "", timeout: float = 60) -> Do:
    """Tells a puppet to ask *ref*."""
    return Do(lambda me: me.request(ref, question, partial(Heard, name), timeout=timeout))


def heard(part: Part) -> list[Heard]:
    return [message for message in part.seen if isinstance(message, Heard)]


def asking(here: Stage, kind: type[Puppet] = Puppet, **options: Any) -> tuple[Part, ActorRef[Any]]:
    part = Part(kind)
    return part, here.spawn(part, "asker", **options)


async def test_an_answer_comes_as_a_message() -> None:
    """Whoever asks goes on with what else it is told."""
    async with stage() as here:
        part, asker = asking(here)
        asked = Part()
        ref = here.spawn(asked)
        await asker.tell(requests(ref, Ask(later), "first"))
        await settle()
        assert await asker.ask(answer("not held up"), timeout=1) == "not held up"
        view = here.system.actor("root/asker")
        assert view is not None
        assert (view.requests, view.waits) == (1, ())
        asked.seen[0].answer(7)
        await settle()
        view = here.system.actor("root/asker")
        assert view is not None
        assert view.requests == 0

    (message,) = heard(part)
    assert (message.name, message.answer.get(), message.answer.error) == ("first", 7, None)


async def test_a_refusal_is_in_the_answer() -> None:
    """It is raised where the answer is looked at, and harms neither side."""
    async with stage() as here:
        part, asker = asking(here)
        await asker.tell(requests(here.spawn(Part()), Ask(lambda me, question: question.refuse(Boom()))))
        await settle()
        assert len(part.lives) == 1

    with pytest.raises(Boom):
        heard(part)[0].answer.get()


@pytest.mark.parametrize("room", [1, 256])
async def test_answers_of_one_that_answers_in_order_come_in_order(room: int) -> None:
    """Who asks twice may rely on it, as with messages; a mailbox that is full changes nothing."""
    async with stage() as here:
        part, asker = asking(here, capacity=room)
        ref = here.spawn(Part())

        def ask_all(me: Puppet) -> None:
            for number in range(100):
                me.request(ref, answer(number), partial(Heard, number), timeout=1)

        await asker.tell(Do(ask_all))
        await settle()

    assert [message.answer.get() for message in heard(part)] == list(range(100))


async def test_the_answer_gets_into_a_full_mailbox(autojump_clock: MockClock) -> None:
    """It was asked for, and won't be given again."""
    async with stage() as here:
        part, asker = asking(here, Tight)
        asked = Part()
        ref = here.spawn(asked)
        await asker.tell(requests(ref, Ask(later)))
        await settle()
        await asker.tell(Do(busy(5)))
        await settle()
        asker.tell_nowait("fills it")
        asked.seen[0].answer(1)
        await trio.sleep(10)

    assert part.seen[2] == "fills it"
    assert part.seen[3].answer.get() == 1


def full(here: Stage) -> ActorRef[Any]:
    ref = here.spawn(Part(Tight))
    ref.tell_nowait("fills it")
    return ref


def gone(here: Stage) -> ActorRef[Any]:
    ref = here.spawn(Part())
    ref.stop()
    return ref


@pytest.mark.parametrize(
    ("make", "error", "why"), [(full, MailboxFull, []), (gone, RecipientStopped, ["recipient gone"])]
)
async def test_a_question_that_is_not_taken_is_answered_with_the_reason(
    make: Callable[[Stage], ActorRef[Any]], error: type[Exception], why: list[str]
) -> None:
    """Through the mailbox like all else, so that there is one place to deal with it."""
    question = answer(1)
    async with stage() as here:
        part, asker = asking(here)
        await settle()
        ref = make(here)
        part.now.request(ref, question, partial(Heard, ""), timeout=1)
        assert part.seen == []
        await settle()
        assert [letter.why for letter in here.system.dead_letters.recent] == why
        with pytest.raises(error):
            heard(part)[0].answer.get()
        # It can be asked again, for nobody got it.
        assert await asker.ask(question, timeout=1) == 1


async def test_nobody_gets_ahead_of_a_sender_that_waits_for_room(autojump_clock: MockClock) -> None:
    """A request does not wait, and does not push in either."""
    async with stage() as here:
        part, asker = asking(here)
        ref = here.spawn(Part(Tight))
        await ref.tell(Do(busy(5)))
        await settle()
        ref.tell_nowait("fills it")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.tell, "waits")
            await settle()
            await asker.tell(requests(ref, answer(1)))
            await settle()
        assert isinstance(heard(part)[0].answer.error, MailboxFull)
        view = here.system.actor("root/child")
        assert view is not None
        assert view.rejected == 1


async def test_a_request_that_is_not_answered_in_time_is_told_so(autojump_clock: MockClock) -> None:
    """And the work is skipped, if it did not begin; an answer that comes later is a dead letter."""
    async with stage() as here:
        part, asker = asking(here)
        asked = Part()
        ref = here.spawn(asked)
        for seconds in (3, 1, 2):
            await asker.tell(requests(ref, Ask(later), seconds, timeout=seconds))
        await settle()
        await ref.tell(Do(busy(10)))
        await asker.tell(requests(ref, Ask(later), 4, timeout=4))
        times = []
        for _ in range(4):
            await trio.sleep(1)
            await settle()
            times.append([message.name for message in heard(part)])
        asked.seen[0].answer("too late")
        assert asked.seen[0].settled
        await trio.sleep(10)
        assert [letter.why for letter in here.system.dead_letters.recent] == ["answered too late", "expired"]

    assert times == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
    error = heard(part)[0].answer.error
    assert isinstance(error, AskTimeout)
    assert str(error) == "root/child did not answer Ask within 1 s"


async def test_requests_made_while_others_expire_expire_in_time(autojump_clock: MockClock) -> None:
    """What is called back then may ask again at once, while the heap of deadlines is being tidied up."""
    async with stage() as here:
        part, _ = asking(here)
        ref = here.spawn(Part(), capacity=1000)
        await settle()
        times: list[tuple[int, float]] = []
        left = [0] * 100 + [2] * 100

        def ask(number: int, more: int) -> None:
            part.now.request(ref, Ask(later), partial(again, number, more), timeout=1)

        def again(number: int, more: int, answered: Answer[Any]) -> str:
            assert isinstance(answered.error, AskTimeout)
            times.append((number, trio.current_time()))
            if more:
                ask(number, more - 1)
            return "expired"

        for number in range(200):
            ask(number, left[number])
        for _ in range(250):
            part.now.request(ref, answer(1), partial(Heard, ""), timeout=60)
        await trio.sleep(10)

    assert sorted(times) == [(number, at + 1) for number in range(200) for at in range(left[number] + 1)]


async def test_the_end_of_whoever_owes_the_answer_is_the_answer(autojump_clock: MockClock) -> None:
    """At once: crash or stop, question in hand, queued or put off."""
    async with stage() as here:
        part, asker = asking(here)
        ref = here.spawn(Part(), restart=Restart.TEMPORARY)
        await asker.tell(requests(ref, Ask(later), "put off"))
        await asker.tell(requests(ref, Ask(crash), "in hand"))
        await asker.tell(requests(ref, answer(1), "queued"))
        await settle()
        assert trio.current_time() == 0

    assert {message.name for message in heard(part)} == {"put off", "in hand", "queued"}
    assert {type(message.answer.error) for message in heard(part)} == {ActorDied}


@pytest.mark.parametrize("kind", [DropsOldest, Conflates])
async def test_a_question_that_a_mailbox_drops_is_answered_so(
    autojump_clock: MockClock, kind: type[Puppet]
) -> None:
    """Whose mailbox drops can't be known from outside."""
    async with stage() as here:
        part, asker = asking(here)
        ref = here.spawn(Part(kind))
        await ref.tell(Do(busy(5)))
        await settle()
        await asker.tell(requests(ref, answer(1)))
        await settle()
        ref.tell_nowait(answer(2))
        await settle()
        assert isinstance(heard(part)[0].answer.error, QuestionDropped)


async def test_a_request_passed_on_is_owed_by_who_got_it(autojump_clock: MockClock) -> None:
    """Like a question that somebody waits for."""
    async with stage() as here:
        part, asker = asking(here)
        to = here.spawn(Part(), "taker", restart=Restart.TEMPORARY)
        ref = here.spawn(Part(), "giver", restart=Restart.TEMPORARY)

        def pass_on(me: Puppet, question: Ask) -> None:
            if me.ref == ref:
                to.tell_nowait(question)
                me.stop()
            else:
                question.answer(me.ref.address)

        await asker.tell(requests(ref, Ask(pass_on)))
        await settle()
        assert heard(part)[0].answer.get() == "root/taker"
        await to.tell(Do(busy(1)))
        ref = here.spawn(Part(), "giver")
        await asker.tell(requests(ref, Ask(pass_on)))
        await settle()
        to.stop()
        await to.wait_gone()
        await settle()

    assert isinstance(heard(part)[1].answer.error, ActorDied)


async def test_a_request_waits_for_nobody_so_it_closes_no_cycle() -> None:
    """To oneself or to one that waits for the asker: all go on, and all are answered."""
    async with stage() as here:
        part, asker = asking(here)
        other_part = Part()
        other = here.spawn(other_part)

        async def ask_back(me: Puppet, question: Ask) -> None:
            question.answer(await asker.ask(answer("back"), timeout=1))

        await asker.tell(requests(asker, answer("mine"), "to itself"))
        await asker.tell(requests(other, Ask(ask_back), "to one that asks back"))
        await settle()

    assert [message.answer.get() for message in heard(part)] == ["mine", "back"]


async def end_by_a_crash(me: Puppet) -> None:
    await me.ref.tell(Do(crash))


async def end_by_a_helper(me: Puppet) -> None:
    async def fail() -> None:
        raise Boom

    me.start_task(fail, name="helper")


async def end_by_itself(me: Puppet) -> None:
    me.stop()


async def end_with_its_group(me: Puppet) -> None:
    cell: Any = me.ref._recipient
    await cell.rest("a test")
    cell.resume()


@pytest.mark.parametrize("end", [end_by_a_crash, end_by_a_helper, end_by_itself, end_with_its_group])
@pytest.mark.parametrize("at", [0, 0.5, 1.5, 5, 5.5, 20])
async def test_an_answer_is_for_the_life_that_asked(
    autojump_clock: MockClock, end: Callable[[Puppet], Awaitable[None]], at: float
) -> None:
    """The next would not know what it is about; not even if the answer lay in the mailbox already."""

    async def linger(me: Puppet, reason: object) -> None:
        await trio.sleep(1)

    part, asked, receivers = Part(on_end=linger), Part(), list[Puppet]()
    then = Do(receivers.append)
    async with stage() as here:
        asker = here.spawn(part, "asker", restart=Restart.PERMANENT)
        ref = here.spawn(asked)
        await asker.tell(Do(lambda me: me.request(ref, Ask(later), lambda answer: then, timeout=60)))
        await asker.tell(Do(busy(5)))
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, part.now)
            await trio.sleep(at)
            asked.seen[0].answer(1)
        await trio.sleep(20)
        assert len(part.lives) == 2
        assert set(receivers) <= {part.lives[0]}
        await asker.tell(requests(ref, answer(2)))
        await settle()

    assert heard(part)[0].answer.get() == 2


async def test_what_an_ended_life_asked_for_and_was_not_begun_is_skipped(autojump_clock: MockClock) -> None:
    """Nobody waits for it any more."""
    async with stage() as here:
        part, asker = asking(here)
        asked = Part()
        ref = here.spawn(asked)
        await ref.tell(Do(busy(5)))
        await asker.tell(requests(ref, answer(1)))
        await asker.tell(Do(crash))
        await trio.sleep(10)
        assert [letter.why for letter in here.system.dead_letters.recent] == ["expired"]

    assert len(part.lives) == 2
    assert len(asked.seen) == 1


async def test_what_is_done_on_an_answer_comes_of_what_asked() -> None:
    """Whoever answered is another's business, and what was handled meanwhile too."""
    journal = Journal()
    async with stage() as here:
        here.system.attach(journal)
        part, asker = asking(here)
        asked = Part()
        ref = here.spawn(asked)
        question = Ask(later)
        first = requests(ref, question)
        await asker.tell(first)
        await settle()
        await asker.tell("another")
        await ref.tell(Do(lambda me: question.answer(1)))
        await settle()
        timed = requests(here.spawn(Part(), "mute"), Ask(later), timeout=0)
        await asker.tell(timed)
        await settle()

    answered, expired = heard(part)
    journal.comes_of(question, first)
    journal.comes_of(answered, first)
    journal.comes_of(expired, timed)
    assert journal[answered].sender == "root/asker"


async def test_an_answer_that_can_not_be_told_is_the_askers_crash() -> None:
    """Not the trouble of whoever answered."""
    async with stage() as here:
        part, _ = asking(here)
        asked = Part()
        ref = here.spawn(asked)

        def raises(answered: Answer[Any]) -> None:
            raise Boom

        await settle()
        part.now.request(ref, answer(1), raises, timeout=1)
        await settle()
        assert len(asked.lives) == 1
        view = here.system.actor("root/asker")
        assert view is not None
        assert [crash.error for crash in view.crashes] == ["Boom()"]


async def test_a_wrong_request_is_the_callers_error() -> None:
    """A time that is none, a question that was asked before, a life that is over."""
    async with stage() as here:
        part, asker = asking(here)
        ref, question = here.spawn(Part()), answer(1)
        await settle()
        with pytest.raises(ValueError, match="NaN"):
            part.now.request(ref, question, partial(Heard, ""), timeout=math.nan)
        part.now.request(ref, question, partial(Heard, ""), timeout=1)
        with pytest.raises(ValueError, match="was asked before"):
            part.now.request(ref, question, partial(Heard, ""), timeout=1)
        await settle()
        assert len(heard(part)) == 1
        asker.stop()
        await asker.wait_gone()
        with pytest.raises(RuntimeError, match="not running"):
            part.now.request(ref, answer(1), partial(Heard, ""), timeout=1)


async def test_ten_thousand_requests_cost_no_task_and_leave_nothing() -> None:
    """A conversation asks the store with every message."""
    async with stage() as here:
        part, asker = asking(here)
        ref = here.spawn(Part(), capacity=20_000)
        await settle()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for number in range(10_000):
            part.now.request(ref, answer(number), partial(Heard, number), timeout=60)
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        await settle()
        assert [message.answer.get() for message in heard(part)] == list(range(10_000))
        cell: Any = asker._recipient
        assert cell.deadlines._heap == []
        assert len(cell.life.intake.requests) == 0


@frozen(eq=False)
class Large(Ask):
    """A question that can be seen to be forgotten."""

    what: Any = lambda me, question: question.answer(1)


async def test_an_answered_request_is_forgotten_at_once() -> None:
    """Its deadline may be long in coming, and what it asked may be large."""
    gc.disable()
    try:
        async with stage() as here:
            part, _ = asking(here)
            ref = here.spawn(Part())
            await settle()
            part.now.request(ref, Ask(later), partial(Heard, ""), timeout=60)  # the heap is kept
            question = Large()
            forgotten = weakref.ref(question)
            part.now.request(ref, question, partial(Heard, ""), timeout=60)
            del question
            await settle()
            assert len(heard(part)) == 1
            cell: Any = ref._recipient
            cell.life.actor.part.seen.clear()
            assert forgotten() is None
    finally:
        gc.enable()
