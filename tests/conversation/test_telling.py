"""Many members told in turns: everything once, in order, and together what can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Actor, ActorRef, ActorSystem, Later
from actors.testing import run_seeded
from server.connection.output import Control
from server.conversation import telling
from server.conversation.members import FEW
from server.conversation.telling import MOST, Telling
from server.messages import FinishReplies
from server.pipeline import EchoModel
from tests.in_memory import running

from .test_lasting import POISON, is_end, of_type


class Member(Actor[Any], Later):
    """Writes down what it is told, and what of it in one write."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self._begun: list[str] | None = None

    async def handle(self, message: Any) -> None:
        raise AssertionError("nothing is to wait in a mailbox")

    def consume(self, message: Any) -> Any:
        if self._begun is not None:
            self._begun.append(message.key)
            return None
        self._begun = [message.key]
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

    def __init__(self) -> None:
        self.members: list[Member] = []

    async def handle(self, message: Any) -> None: ...

    def join(self) -> ActorRef[Any]:
        self.members.append(Member())
        return self.spawn(lambda: self.members[-1], name=f"{len(self.members)}")


@asynccontextmanager
async def a_crowd(count: int) -> AsyncIterator[tuple[Crowd, list[ActorRef[Any]]]]:
    system, crowd = ActorSystem(), Crowd()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, lambda: crowd, name="crowd"))
        await wait_all_tasks_blocked()
        refs = [crowd.join() for _ in range(count)]
        await wait_all_tasks_blocked()
        yield crowd, refs
        system.stop()


def word(name: str) -> Control:
    return Control(b"", name)


def nobody(untold: list[ActorRef[Any]]) -> None:
    assert not untold


async def run_turns(way: Telling, count: int) -> None:
    """Let it tell some of them, and break it off."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way.run)
        for _ in range(count):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


steps = st.lists(st.one_of(st.just("add"), st.just("join"), st.integers(1, 8)), max_size=30)


@given(st.integers(1, 100), steps)
def test_everything_is_told_once_and_in_order(count: int, steps: list[str | int]) -> None:
    """To those who were there when it was added, whoever comes and however often it is broken off."""

    async def course() -> None:
        async with a_crowd(count) as (crowd, refs):
            way = Telling(nobody)
            due: list[list[str]] = [[] for _ in refs]
            for number, step in enumerate(steps):
                if step == "join":
                    refs, due = [*refs, crowd.join()], [*due, []]
                    await wait_all_tasks_blocked()
                elif step == "add":
                    await way.add(refs, word(f"{number}"))
                    for each in due:
                        each.append(f"{number}")
                else:
                    assert isinstance(step, int)
                    await run_turns(way, step)
                told = [member.told for member in crowd.members]
                assert all(all_of[: len(some)] == some for some, all_of in zip(told, due, strict=True))
            await way.run()
            assert [member.told for member in crowd.members] == due
            assert not way

    run_seeded(course, seed=1)


async def test_who_was_not_told_yet_is_told_all_in_one_write() -> None:
    async with a_crowd(100) as (crowd, refs):
        way = Telling(nobody)
        await way.add(refs, word("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(way.run)
            while not (early := [member for member in crowd.members if member.told]):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await way.add(refs, word("b"))
        await way.run()

        late = [member for member in crowd.members if member not in early]
        assert early
        assert late
        assert {str(member.writes) for member in early} == {"[['a'], ['b']]"}
        assert {str(member.writes) for member in late} == {"[['a', 'b']]"}


async def test_who_adds_too_much_tells_it_himself() -> None:
    """So what waits is bounded, whether anybody else tells it or not."""
    async with a_crowd(50) as (crowd, refs):
        way = Telling(nobody)
        for number in range(3 * MOST):
            await way.add(refs, word(f"{number}"))
        assert all(len(member.told) >= 2 * MOST - 1 for member in crowd.members)
        await way.run()
        assert {len(member.told) for member in crowd.members} == {3 * MOST}


async def test_those_who_are_gone_are_handed_back() -> None:
    async with a_crowd(40) as (crowd, refs):
        lost: list[ActorRef[Any]] = []
        way = Telling(lost.extend)
        refs[3].stop()
        await refs[3].wait_gone()
        await way.add(refs, word("a"))
        await way.run()
        await way.add([], word("b"))

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
