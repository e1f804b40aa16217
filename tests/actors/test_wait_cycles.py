"""Waits that could never end are refused at once, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import ActorRef, AskTimeout, WaitCycle, origin

from .puppets import Ask, Do, Part, Puppet, Stage, answer, busy, settle, stage


class Small(Puppet):
    capacity = 1


def asks(ref: ActorRef[Any], question: Ask | None = None) -> Ask:
    """A question that its receiver answers with what it gets from *ref*, be it an error."""

    async def pass_the_word(me: Puppet, mine: Ask) -> None:
        try:
            mine.answer(await ref.ask(question or answer("free"), timeout=60))
        except WaitCycle as error:
            mine.answer(error)

    return Ask(pass_the_word)


def trio_of(here: Stage, kind: type[Puppet] = Puppet) -> list[ActorRef[Any]]:
    return [here.spawn(Part(kind), name) for name in "abc"]


async def refused(call: Callable[[], Any]) -> tuple[str, ...]:
    """The cycle for which *call* is refused, without any time passing."""
    begin = trio.current_time()
    error = await call()
    assert isinstance(error, WaitCycle)
    assert trio.current_time() == begin
    return error.cycle


async def test_a_question_to_oneself_is_refused_at_once(autojump_clock: MockClock) -> None:
    """It would be handled after the message that waits for its answer."""
    async with stage() as here:
        ref = here.spawn(Part())
        assert await refused(lambda: ref.ask(asks(ref), timeout=60)) == ("root/child",)


async def test_a_question_in_a_cycle_is_refused_at_once_naming_the_cycle(autojump_clock: MockClock) -> None:
    """Each would wait for the next until the first time-out; who reads the error knows whom to mend."""
    async with stage() as here:
        a, b, c = trio_of(here)
        error = await a.ask(asks(b, asks(c, asks(a))), timeout=60)
        assert isinstance(error, WaitCycle)
        assert error.cycle == ("root/c", "root/a", "root/b")
        assert str(error) == "waiting with Ask would never end: root/c → root/a → root/b → root/c"


async def test_who_is_refused_can_go_on(autojump_clock: MockClock) -> None:
    """It is an error like others; after it everybody is free, and no edge is left."""
    async with stage() as here:
        a, b, _ = trio_of(here)
        assert isinstance(await a.ask(asks(b, asks(a)), timeout=60), WaitCycle)
        assert here.system.waits() == []
        assert await a.ask(asks(b), timeout=60) == "free"
        assert await b.ask(asks(a), timeout=60) == "free"


async def test_a_question_passed_on_into_a_cycle_is_refused_at_once(autojump_clock: MockClock) -> None:
    """Who owes the answer now waits for the asker."""
    async with stage() as here:
        a, b, c = trio_of(here)
        put_off = Ask(lambda me, question: None)
        await c.tell(Do(lambda me: a.ask(put_off, timeout=60)))
        await settle()
        to_c = Ask(lambda me, question: c.tell_nowait(question))
        assert await refused(lambda: a.ask(asks(b, to_c), timeout=60)) == ("root/a", "root/c")


async def test_a_question_passed_back_to_its_asker_is_refused_at_once(autojump_clock: MockClock) -> None:
    """The shortest of such cycles."""
    async with stage() as here:
        a, b, _ = trio_of(here)
        back = Ask(lambda me, question: a.tell_nowait(question))
        assert await refused(lambda: a.ask(asks(b, back), timeout=60)) == ("root/a",)


async def test_a_tell_that_waits_for_room_in_a_cycle_is_refused_at_once(autojump_clock: MockClock) -> None:
    """Two full mailboxes, each reader waiting for room in the other's."""
    errors: list[WaitCycle] = []
    async with stage() as here:
        a, b, _ = trio_of(here, Small)

        def tells(ref: ActorRef[Any]) -> Do:
            async def tell(me: Puppet) -> None:
                await trio.sleep(1)
                try:
                    await ref.tell("no room")
                except WaitCycle as error:
                    errors.append(error)

            return Do(tell)

        for ref, other in ((a, b), (b, a)):
            await ref.tell(tells(other))
        await settle()
        for ref in (a, b):
            ref.tell_nowait("fills it")
        await trio.sleep(1)
        await settle()
        (error,) = errors
        assert set(error.cycle) == {"root/a", "root/b"}
        assert error.message == "no room"


async def test_a_tell_to_ones_own_full_mailbox_is_refused_at_once(autojump_clock: MockClock) -> None:
    """Nobody else will make room."""
    async with stage() as here:
        ref = here.spawn(Part(Small))

        async def tell(me: Puppet, question: Ask) -> None:
            me.ref.tell_nowait("fills it")
            try:
                await me.ref.tell("no room")
            except WaitCycle as error:
                question.answer(error)

        assert await refused(lambda: ref.ask(Ask(tell), timeout=60)) == ("root/child",)


async def test_a_task_that_its_handler_waits_for_blocks_like_the_handler(autojump_clock: MockClock) -> None:
    """A nursery in a handler does not let it take messages."""
    errors: list[object] = []

    async def ask_in_a_nursery(me: Puppet, question: Ask) -> None:
        async def ask() -> None:
            try:
                await me.ref.ask(answer(1), timeout=60)
            except WaitCycle as error:
                errors.append(error)

        with origin("of its own"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                nursery.start_soon(ask)
        question.answer(errors[-1])

    async with stage() as here:
        ref = here.spawn(Part())
        assert await refused(lambda: ref.ask(Ask(ask_in_a_nursery), timeout=60)) == ("root/child",)

    assert len(errors) == 2


async def test_a_helper_may_ask_its_own_actor(autojump_clock: MockClock) -> None:
    """The handler is free to answer; even if it asks somebody who waits for the helper's actor."""
    answers: list[object] = []

    async def helper(me: Puppet) -> None:
        answers.append(await me.ref.ask(answer("itself"), timeout=60))

    async with stage() as here:
        part = Part(on_start=lambda me: me.start_task(helper, me, name="helper"))
        here.spawn(part)
        await settle()

    assert answers == ["itself"]


async def test_a_task_in_a_helpers_nursery_blocks_nobody(autojump_clock: MockClock) -> None:
    """A handler may start work there and not wait for it."""
    answers: list[object] = []
    nurseries: list[trio.Nursery] = []

    async def helper() -> None:
        async with trio.open_nursery() as nursery:
            nurseries.append(nursery)
            await trio.sleep_forever()

    async def ask(ref: ActorRef[Any]) -> None:
        answers.append(await ref.ask(answer("itself"), timeout=60))

    async with stage() as here:
        ref = here.spawn(Part(on_start=lambda me: me.start_task(helper, name="helper")))
        await settle()
        await ref.tell(Do(lambda me: nurseries[0].start_soon(ask, me.ref)))
        await settle()

    assert answers == ["itself"]


async def test_two_may_wait_for_the_same_one(autojump_clock: MockClock) -> None:
    """That is no cycle, and neither is a chain."""
    async with stage() as here:
        a, b, c = trio_of(here)
        await c.tell(Do(busy(1)))
        got: list[object] = []

        async def ask(ref: ActorRef[Any], question: Ask) -> None:
            got.append(await ref.ask(question, timeout=60))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, a, asks(c))
            nursery.start_soon(ask, b, asks(c))
        assert got == ["free", "free"]
        assert await a.ask(asks(b, asks(c)), timeout=60) == "free"


async def test_an_edge_shows_who_waits_for_whom_and_goes_with_the_wait(autojump_clock: MockClock) -> None:
    """Whether it ends by an answer, a time-out or a crash."""
    async with stage() as here:
        a, b, c = trio_of(here)

        async def wait(me: Puppet) -> None:
            with pytest.raises(AskTimeout):
                await b.ask(Ask(busy()), timeout=5)

        await a.tell(Do(wait))
        await settle()
        (edge,) = here.system.waits()
        assert (edge.waiter, edge.address, edge.what, edge.kind) == ("root/a", "root/b", "answer", "Ask")
        await trio.sleep(5)
        await settle()
        assert here.system.waits() == []
        await c.tell(Do(lambda me: b.ask(answer(1), timeout=60)))
        await settle()
        assert len(here.system.waits()) == 1
        b.stop()
        await settle()
        assert here.system.waits() == []
