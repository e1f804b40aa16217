"""Many members told in turns: everything once, in order, and together what can be."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Actor, ActorRef, ActorSystem, Later, current, origin
from actors.testing import run_seeded
from server.conversation import telling
from server.conversation.actor import Conversation
from server.conversation.members import FEW, Members
from server.conversation.telling import BEARING, MOST, Telling
from server.messages import ConnectionInfo, Deliver, FinishReplies, Join, Welcomed
from server.pipeline import EchoModel
from tests.in_memory import Socket, is_end, now, running

from .test_lasting import POISON, of_type


class Member(Actor[Any], Later):
    """Writes down what it is told, and what of it in one write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self._begun: list[str] | None = None

    async def handle(self, message: Any) -> None:
        raise AssertionError("nothing is to wait in a mailbox")

    def consume(self, message: Any) -> Any:
        if self._begun is not None:
            self._begun.append(message.event)
            return None
        self._begun = [message.event]
        return self

    def finish(self) -> None:
        assert self._begun is not None
        self.writes.append(self._begun)
        self._begun = None

    @property
    def told(self) -> list[str]:
        return [each for write in self.writes for each in write]


class Crowd(Actor[Any]):
    """The parent of all members."""

    def __init__(self, kind: type[Member]) -> None:
        self.kind = kind
        self.members: list[Member] = []

    async def handle(self, message: Any) -> None: ...

    def join(self) -> ActorRef[Any]:
        self.members.append(self.kind())
        return self.spawn(lambda: self.members[-1], name=f"{len(self.members)}")


@asynccontextmanager
async def a_crowd(
    count: int, kind: type[Member] = Member
) -> AsyncIterator[tuple[Crowd, list[ActorRef[Any]]]]:
    system, crowd = ActorSystem(), Crowd(kind)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, lambda: crowd, name="crowd"))
        await wait_all_tasks_blocked()
        refs = [crowd.join() for _ in range(count)]
        await wait_all_tasks_blocked()
        yield crowd, refs
        system.stop()


class Word(str):
    weight = 1


def word(name: str) -> Deliver:
    event: Any = Word(name)
    return Deliver(event)


def members_of(refs: list[ActorRef[Any]]) -> Members:
    members, some = Members(), cast(Any, None)
    for number, ref in enumerate(refs):
        members.add(ConnectionInfo(f"{number}", some, some, some, ref))
    return members


def run(way: Telling) -> None:
    while way:
        assert not way.turn()


steps = st.lists(st.one_of(st.just("add"), st.just("join"), st.integers(1, 8)), max_size=30)


@given(st.integers(1, 100), steps)
def test_everything_is_told_once_and_in_order(count: int, steps: list[str | int]) -> None:
    """To those who were there when it was added, whoever comes and however often it is broken off."""

    async def course() -> None:
        async with a_crowd(count) as (crowd, refs):
            way = Telling()
            due: list[list[str]] = [[] for _ in refs]
            for number, step in enumerate(steps):
                if step == "join":
                    refs, due = [*refs, crowd.join()], [*due, []]
                    await wait_all_tasks_blocked()
                elif step == "add":
                    way.add(refs, word(f"{number}"))
                    for each in due:
                        each.append(f"{number}")
                else:
                    assert isinstance(step, int)
                    for _ in range(step * bool(way)):
                        if way:
                            way.turn()
                told = [member.told for member in crowd.members]
                assert all(all_of[: len(some)] == some for some, all_of in zip(told, due, strict=True))
            run(way)
            assert [member.told for member in crowd.members] == due
            assert not way

    run_seeded(course, seed=1)


async def test_who_was_not_told_yet_is_told_all_in_one_write() -> None:
    async with a_crowd(100) as (crowd, refs):
        way = Telling()
        way.add(refs, word("a"))
        way.turn()
        early = [member for member in crowd.members if member.told]
        way.add(refs, word("b"))
        run(way)

        late = [member for member in crowd.members if member not in early]
        assert early
        assert late
        assert {str(member.writes) for member in early} == {"[['a'], ['b']]"}
        assert {str(member.writes) for member in late} == {"[['a', 'b']]"}


async def test_who_brings_too_much_helps_to_tell_it() -> None:
    """So what waits is bounded, whether anybody else tells it or not."""
    async with a_crowd(50) as (crowd, refs):
        members = members_of(refs)
        for number in range(3 * MOST):
            await members.tell_all(word(f"{number}").event)
        assert all(len(member.told) >= 2 * MOST - 1 for member in crowd.members)
        await members.tell_rest()
        assert {len(member.told) for member in crowd.members} == {3 * MOST}
        large = word("large")
        large.event.weight = BEARING  # type: ignore[misc]
        await members.tell_all(large.event)
        await members.tell_all(word("next").event)
        assert all(member.told[-1] == "large" for member in crowd.members)


async def test_one_that_can_take_no_more_is_given_up() -> None:
    """It alone; the others hear everything."""

    class Deaf(Member):
        capacity = 1

        def consume(self, message: Any) -> Any:
            return message

        async def handle(self, message: Any) -> None:
            await trio.sleep_forever()

    async with a_crowd(FEW) as (crowd, refs):
        crowd.kind = Deaf
        deaf = crowd.join()
        await wait_all_tasks_blocked()
        members = members_of([*refs, deaf])
        for name in "abc":
            await members.tell_all(word(name).event)
            await members.tell_rest()
        assert not deaf.alive
        assert f"{FEW}" not in members
        assert [member.told for member in crowd.members[:-1]] == [["a", "b", "c"]] * FEW


async def test_what_was_broken_off_can_be_told_later() -> None:
    async with a_crowd(10 * FEW) as (crowd, refs):
        members = members_of(refs)
        await members.tell_all(word("a").event)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(members.tell_rest)
            while not any(member.told for member in crowd.members):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert members.are_being_told
        await members.tell_all(word("b").event)
        await members.tell_rest()
        assert [member.told for member in crowd.members] == [["a", "b"]] * (10 * FEW)


async def test_nobody_is_forgotten_when_one_had_to_wait_for_room(autojump_clock: MockClock) -> None:
    """What was on its way may have been told meanwhile, so that nobody tells anything any more."""
    async with a_crowd(FEW + 1) as (crowd, refs):
        for _ in range(20):
            members = members_of(refs)
            async with trio.open_nursery() as nursery:
                members.await_turns = partial(nursery.start_soon, members.tell_rest)
                for number in range(MOST + 1):
                    await members.tell_all(word(f"{number}").event)
                await wait_all_tasks_blocked()
                assert not members.are_being_told
        assert {len(member.told) for member in crowd.members} == {20 * (MOST + 1)}


async def test_each_is_told_because_of_what_it_came_of() -> None:
    """Whoever tells it, and whatever goes round with it."""
    origins: list[str] = []

    class Tracing(Member):
        def consume(self, message: Any) -> Any:
            activity = current()
            assert activity is not None
            assert activity.origin is not None
            origins.append(f"{message.event} of {activity.origin.name}")
            return super().consume(message)

    async with a_crowd(3, Tracing) as (_, refs):
        way = Telling()
        for name in "ab":
            with origin(name):
                way.add(refs, word(name))
        with origin("somebody else"):
            run(way)

    assert sorted(origins) == ["a of a"] * 3 + ["b of b"] * 3


def test_members_that_nobody_knows_any_more_are_gone() -> None:
    """Without a collection: there is one for every conversation."""
    gc.disable()
    try:
        known = weakref.ref(Members())
        assert known() is None
    finally:
        gc.enable()


async def test_those_who_are_gone_are_handed_back() -> None:
    async with a_crowd(40) as (crowd, refs):
        way = Telling()
        refs[3].stop()
        await refs[3].wait_gone()
        way.add(refs, word("a"))
        lost = [ref for _ in range(2) for ref in way.turn()]

        assert lost == [refs[3]]
        assert sum(member.told == ["a"] for member in crowd.members) == 39
        assert not way


GROUP = "session_type=group&guest=aaaaaaaaaaaaaaaa"


async def test_a_large_group_hears_everything_over_a_crash(autojump_clock: MockClock) -> None:
    """What was on its way to them is told by the next life, before anything else."""
    async with running(EchoModel) as server:
        clients = [await server.connect(GROUP) for _ in range(10 * FEW)]
        clients[0].say("hello")
        await clients[0].until(of_type("user_message"))
        (address,) = [each for each in server.addresses("/group") if "#" in each]
        cell: Any = server.find(address)._recipient
        assert cell.actor._members.are_being_told
        await cell.ref.tell(POISON)
        heard = [await client.until(is_end) for client in clients]

    for frames in heard[1:]:
        question, *reply, end = frames
        assert (question["type"], end["data"]["is_final"]) == ("user_message", True)
        assert [each["data"]["is_final"] for each in reply] in ([], [False])


async def test_a_drain_ends_when_a_large_group_has_heard_everything(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then sockets are closed, and who had not heard it would have to come back for it."""
    monkeypatch.setattr(telling, "TURN", 1)
    async with running(EchoModel) as server:
        clients = [await server.connect(GROUP) for _ in range(2 * FEW)]
        (address,) = [each for each in server.addresses("/group") if "#" in each]
        cell: Any = server.find(address)._recipient
        state = cell.actor._state
        clients[0].say("hello")
        while state.published < 2:
            await trio.lowlevel.checkpoint()
        assert state.members.are_being_told
        await cell.ref.ask(FinishReplies(1.0), timeout=5)
        assert not state.members.are_being_told


async def test_one_that_joins_again_hears_first_what_is_on_its_way(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash before it was answered: it is welcomed where it will stand then."""
    turn, join, crashes = Members._tell_some, Conversation._join, [True]
    on_its_way: list[bool] = []

    async def slowly(self: Members) -> None:
        await trio.sleep(0.3)
        await turn(self)

    async def fail_once(self: Conversation, request: Join) -> None:
        if crashes:
            info, state = request.info, self._state
            self._members.add(info)
            welcome = Welcomed(info.connection_id, info.key, str(state.cursor), info.user, now())
            await self._members.tell(info.connection_id, welcome)
            crashes.clear()
            raise ValueError("a bug")
        on_its_way.append(self._members.are_being_told)
        await join(self, request)

    async def say_soon(client: Socket) -> None:
        await trio.sleep(0.02)
        client.say("hello")

    async with running(EchoModel) as server:
        clients = [await server.connect(GROUP, level2=True) for _ in range(FEW + 1)]
        monkeypatch.setattr(Members, "_tell_some", slowly)
        monkeypatch.setattr(Conversation, "_join", fail_once)
        server.nursery.start_soon(say_soon, clients[0])
        late = await server.connect(GROUP, level2=True)
        heard = await late.until(lambda frame: "closed" in frame or is_end(frame))

    assert on_its_way == [True]
    assert is_end(heard[-1])
