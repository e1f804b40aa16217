"""Groups of children that restart together."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from actors import ActorRef, Backoff, Crashed, Restart, RestartBudget, Stopped, Strategy

from .puppets import Boom, Do, Part, Puppet, Stage, answer, busy, crash, running_tasks, settle, stage


class Alone(Puppet):
    backoff = Backoff(first=1, longest=4, jitter=0)

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=10, within=1000)


class AllTogether(Alone):
    strategy = Strategy.ONE_FOR_ALL


class Chain(Alone):
    strategy = Strategy.REST_FOR_ONE


@define(eq=False)
class Family:
    """A supervisor of a, b, c, …, and the log of their lives."""

    part: Part
    refs: dict[str, ActorRef[Any]] = field(factory=dict)
    parts: dict[str, Part] = field(factory=dict)
    log: list[str] = field(factory=list)

    def spawn(self, name: str, restart: Restart = Restart.PERMANENT, **options: Any) -> Part:
        part = Part(on_start=partial(self._begin, name), on_end=partial(self._end, name))
        self.parts[name] = part
        self.refs[name] = self.part.now.spawn(part, name=name, restart=restart, **options)
        return part

    async def _begin(self, name: str, me: Puppet) -> None:
        self.log.append(f"{name} begins")
        await trio.sleep(0.1)
        self.log.append(f"{name} has begun")

    async def _end(self, name: str, me: Puppet, reason: object) -> None:
        await trio.sleep(0.1)
        self.log.append(f"{name} ended")


async def family(here: Stage, kind: type[Puppet], names: str = "abc", **options: Any) -> Family:
    """Start one; its log is empty."""
    found = Family(Part(kind))
    here.spawn(found.part, "family")
    await settle()
    for name in names:
        found.spawn(name, **options)
    await trio.sleep(0.5)
    found.log.clear()
    return found


def begins(*names: str) -> list[str]:
    return [f"{name} {what}" for name in names for what in ("begins", "has begun")]


async def test_one_for_one_restarts_who_crashed_and_nobody_else(autojump_clock: MockClock) -> None:
    """The others do without it."""
    async with stage() as here:
        some = await family(here, Alone)
        await some.refs["b"].tell(Do(crash))
        await trio.sleep(10)
        assert some.log == ["b ended", *begins("b")]


async def test_one_for_all_restarts_all(autojump_clock: MockClock) -> None:
    """Lives end newest first, and begin in start order, each after the one before has started."""
    async with stage() as here:
        some = await family(here, AllTogether)
        await some.refs["b"].tell(Do(crash))
        await trio.sleep(10)
        assert some.log == ["b ended", "c ended", "a ended", *begins("a", "b", "c")]
        assert {len(part.lives) for part in some.parts.values()} == {2}


async def test_rest_for_one_restarts_those_started_later_too(autojump_clock: MockClock) -> None:
    """Each depends on those before it, and on none after."""
    async with stage() as here:
        some = await family(here, Chain, "abcd")
        await some.refs["b"].tell(Do(crash))
        await trio.sleep(10)
        assert some.log == ["b ended", "d ended", "c ended", *begins("b", "c", "d")]


async def test_a_groups_temporary_children_are_stopped_for_good(autojump_clock: MockClock) -> None:
    """They are never restarted, and must not outlast what they were started beside."""
    async with stage() as here:
        some = await family(here, AllTogether, "ab")
        temporary = some.spawn("t", Restart.TEMPORARY)
        await trio.sleep(1)
        await some.refs["a"].tell(Do(crash))
        await trio.sleep(10)
        assert not some.refs["t"].alive
        assert temporary.ends == [Stopped("restarts with its siblings")]
        assert len(some.parts["b"].lives) == 2


async def test_a_group_does_not_restart_for_one_that_is_gone_for_good(autojump_clock: MockClock) -> None:
    """A transient that stops itself, a temporary that crashes: neither is restarted, nor anybody else."""
    async with stage() as here:
        some = await family(here, AllTogether, "ab")
        some.spawn("t", Restart.TEMPORARY)
        some.spawn("u", Restart.TRANSIENT)
        await trio.sleep(1)
        some.log.clear()
        await some.refs["t"].tell(Do(crash))
        await some.refs["u"].tell(Do(lambda me: me.stop()))
        await trio.sleep(10)
        assert sorted(some.log) == ["t ended", "u ended"]


async def test_a_crash_in_a_groups_restart_begins_another_round(autojump_clock: MockClock) -> None:
    """Else a group would go on with a member missing."""
    async with stage() as here:
        some = await family(here, AllTogether)
        part = some.parts["b"]
        begin = part.on_start
        part.on_start = lambda me: crash(me) if len(part.lives) == 2 else begin(me)
        await some.refs["a"].tell(Do(crash))
        await trio.sleep(20)
        assert {name: len(part.lives) for name, part in some.parts.items()} == {"a": 3, "b": 3, "c": 2}
        assert some.log[-6:] == begins("a", "b", "c")


async def test_who_is_spawned_into_a_restart_ends_with_the_group(autojump_clock: MockClock) -> None:
    """It has met siblings whose lives are just ending."""
    async with stage() as here:
        some = await family(here, Chain)
        await some.refs["a"].tell(Do(crash))
        await trio.sleep(0.15)  # a has ended, c is ending
        some.spawn("d")
        await trio.sleep(20)
        assert {name: len(part.lives) for name, part in some.parts.items()} == {
            "a": 2,
            "b": 2,
            "c": 2,
            "d": 2,
        }
        assert some.log[-8:] == begins("a", "b", "c", "d")


async def test_a_member_that_hangs_is_cancelled_after_its_grace(autojump_clock: MockClock) -> None:
    """One that can't end must not keep the others from coming back."""
    async with stage() as here:
        some = await family(here, AllTogether, grace=2)
        await some.refs["c"].tell(Do(busy()))
        await some.refs["a"].tell(Do(crash))
        await trio.sleep(20)
        assert {len(part.lives) for part in some.parts.values()} == {2}
        (end,) = some.parts["c"].ends
        assert end == Stopped("restarts with its siblings")


async def test_the_mailboxes_of_a_group_survive_its_restart(autojump_clock: MockClock) -> None:
    """Like that of one that crashed alone."""
    async with stage() as here:
        some = await family(here, AllTogether)
        await some.refs["a"].tell(Do(crash))
        await settle()
        for ref in some.refs.values():
            ref.tell_nowait("A")
        assert [await ref.ask(answer(name), timeout=60) for name, ref in some.refs.items()] == ["a", "b", "c"]
        assert all("A" in part.seen for part in some.parts.values())


async def test_a_group_costs_one_restart_of_the_budget(autojump_clock: MockClock) -> None:
    """It is one crash, however many are concerned."""
    async with stage() as here:
        some = await family(here, AllTogether, "abcdefghijklmnop")
        for _ in range(10):
            await some.refs["h"].tell(Do(crash))
            await trio.sleep(20)
        assert len(some.part.lives) == 1
        await some.refs["h"].tell(Do(crash))
        await trio.sleep(20)
        assert isinstance(some.part.ends[0], Crashed)


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.5, 1.25, 1.35, 1.45])
async def test_a_stop_ends_a_restart_at_any_moment(autojump_clock: MockClock, moment: float) -> None:
    """Of the parent, whether lives are ending, being waited for, or beginning."""
    async with stage() as here:
        some = await family(here, AllTogether)
        await some.refs["b"].tell(Do(crash))
        await trio.sleep(moment)
        begin = trio.current_time()
        here.system.stop()
        await some.refs["a"].wait_gone()
        assert trio.current_time() - begin < 1
        assert all(len(part.lives) == len(part.ends) for part in some.parts.values())


async def test_a_member_stopped_while_it_waits_for_the_others_is_gone(autojump_clock: MockClock) -> None:
    """And the others come back without it."""
    async with stage() as here:
        some = await family(here, AllTogether)
        await some.refs["b"].tell(Do(crash))
        await trio.sleep(0.5)
        some.refs["a"].stop()
        await trio.sleep(20)
        assert {name: len(part.lives) for name, part in some.parts.items()} == {"a": 1, "b": 2, "c": 2}
        assert some.log[-4:] == begins("b", "c")


@pytest.mark.parametrize("kind", [Alone, AllTogether, Chain])
async def test_a_thousand_children_are_restarted_at_once(
    autojump_clock: MockClock, kind: type[Alone]
) -> None:
    """By a thousand crashes, or by one of them all depend on; all come back, and only once."""

    class Generous(kind):  # type: ignore[valid-type, misc]
        def budget(self) -> RestartBudget:
            return RestartBudget(restarts=1000, within=1000)

    part, child = Part(Generous), Part()
    async with stage() as here:
        here.spawn(part, "family")
        await settle()
        refs = [part.now.spawn(child, name=str(number)) for number in range(1000)]
        await settle()
        for ref in refs if kind is Alone else refs[:1]:
            ref.tell_nowait(Do(crash))
        for ref in refs:
            assert await ref.ask(answer(1), timeout=60) == 1
        assert len(child.lives) == 2000
        assert sum(isinstance(end, Crashed) for end in child.ends) == (1000 if kind is Alone else 1)
    assert not running_tasks()


async def test_a_thousand_crashes_of_a_group_are_forgiven_by_none(autojump_clock: MockClock) -> None:
    """Each counts; who is asked to forgive too much gives up, and takes its children along."""
    async with stage(Part(Alone)) as here:
        some = Part(AllTogether)
        child = Part()
        ref = here.spawn(some, "family", restart=Restart.TEMPORARY)
        await settle()
        for number in range(1000):
            some.now.spawn(child, name=str(number)).tell_nowait(Do(crash))
        await ref.wait_gone()

    assert len(child.lives) == len(child.ends) == 1000
    (end,) = some.ends
    assert isinstance(end, Crashed)
    assert not isinstance(end.error, Boom)
