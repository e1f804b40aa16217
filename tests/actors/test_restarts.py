"""What becomes of an actor that crashes."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
import trio
from trio.testing import MockClock

from actors import Backoff, Crashed, Down, Restart, RestartBudget, RestartBudgetSpent, State, Stopped, Streak

from .puppets import Ask, Boom, Do, Part, Puppet, answer, busy, crash, settle, stage


class Strict(Puppet):
    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=3, within=10)


class Steady(Puppet):
    """Restarts its children after 1, 2, 4, 4, … seconds."""

    backoff = Backoff(first=1, longest=4, jitter=0)

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=100, within=1000)


# -- the parts: budget and backoff


def test_budget_forgives_a_slow_drip_of_failures() -> None:
    """Only failures inside one window count against each other."""
    budget = RestartBudget(restarts=2, within=10)

    assert all(budget.allows(now) for now in (0, 6, 12, 18))


def test_budget_is_spent_by_a_burst() -> None:
    """A child that fails again and again has a fault that restarting does not cure."""
    budget = RestartBudget(restarts=2, within=10)

    assert [now for now in (0, 1, 2, 9.9, 10, 11, 12) if budget.allows(now)] == [0, 1, 10, 11]


def test_a_budget_of_none_forgives_nothing() -> None:
    """Then every crash is the supervisor's own."""
    assert not RestartBudget(restarts=0).allows(0)


def test_backoff_doubles_up_to_its_bound() -> None:
    """A lasting fault must cost little, and its end must be noticed soon."""
    backoff = Backoff(first=0.1, longest=1, jitter=0)

    assert [backoff.delay(n, Random(0)) for n in (1, 2, 3, 4, 5, 10**6)] == [0.1, 0.2, 0.4, 0.8, 1, 1]


def test_jitter_only_ever_shortens_a_wait() -> None:
    """The bound stays one; and actors that crashed together don't come back together."""
    backoff, random = Backoff(first=1, longest=1, jitter=0.5), Random(0)
    delays = [backoff.delay(1, random) for _ in range(1000)]

    assert all(0.5 < delay <= 1 for delay in delays)
    assert len(set(delays)) == 1000


# -- lives


async def test_a_crashed_actor_starts_afresh() -> None:
    """State that led to the crash is gone; the ref stays valid."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        assert await ref.ask(answer(1), timeout=60) == 1
        assert here.system.actors()[-1].restarts == 1

    assert len(part.lives) == 2
    assert part.lives[0] is not part.lives[1]
    assert [type(end) for end in part.ends] == [Crashed, Stopped]


async def test_the_mailbox_survives_but_not_the_message_that_crashed() -> None:
    """Handling it again would crash again; the others are not to blame."""
    part = Part()
    poison = Do(crash)
    async with stage() as here:
        ref = here.spawn(part)
        for message in ("A", poison, "B", "C"):
            ref.tell_nowait(message)
        await settle()
        ref.tell_nowait("D")  # while it waits to be restarted
        await ref.ask(answer(1), timeout=60)

    assert part.seen[:5] == ["A", poison, "B", "C", "D"]


async def test_a_message_on_its_way_survives_the_crash_of_a_helper() -> None:
    """It was put into the mailbox, and no life has seen it."""
    part, gate = Part(), trio.Event()

    async def helper() -> None:
        await gate.wait()
        raise Boom

    async with stage() as here:
        part.on_start = lambda me: me.start_task(helper, name="helper") if len(part.lives) == 1 else None
        ref = here.spawn(part)
        await settle()
        gate.set()
        await trio.lowlevel.checkpoint()  # the helper's crash comes in the very step in which the bell rings
        ref.tell_nowait("A")
        await ref.ask(answer(1), timeout=60)

    assert part.seen[0] == "A"
    assert len(part.lives) == 2


@pytest.mark.parametrize(
    ("restart", "lives"), [(Restart.PERMANENT, 2), (Restart.TRANSIENT, 2), (Restart.TEMPORARY, 1)]
)
async def test_a_temporary_actor_alone_does_not_come_back_from_a_crash(
    autojump_clock: MockClock, restart: Restart, lives: int
) -> None:
    """What it stood for, a socket or a reply, ended with it."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part, restart=restart)
        await ref.tell(Do(crash))
        await trio.sleep(60)
        assert ref.alive == (lives == 2)

    assert len(part.lives) == lives


@pytest.mark.parametrize("restart", list(Restart))
async def test_nobody_comes_back_from_a_stop(autojump_clock: MockClock, restart: Restart) -> None:
    """To stop an actor by its ref is to end it for good, whoever does it."""
    other, own = Part(), Part()
    async with stage() as here:
        stopped = here.spawn(other, "other", restart=restart)
        stopping = here.spawn(own, "own", restart=restart)
        stopped.stop("enough")
        await stopping.tell(Do(lambda me: me.ref.stop("done")))
        await stopped.wait_gone()
        await stopping.wait_gone()

    assert (len(other.lives), len(own.lives)) == (1, 1)
    assert (other.ends, own.ends) == ([Stopped("enough")], [Stopped("done")])


async def test_a_crash_in_started_is_a_crash() -> None:
    """An actor that can't begin is restarted like one that can't go on."""
    part = Part()
    part.on_start = lambda me: crash(me) if len(part.lives) < 3 else None
    async with stage() as here:
        ref = here.spawn(part)
        assert await ref.ask(answer(1), timeout=60) == 1

    assert len(part.lives) == 3


async def test_a_crash_in_stopped_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The actor is on its way out already; it is logged, and that is all."""
    part = Part(on_end=crash)
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        assert await ref.ask(answer(1), timeout=60) == 1
        ref.stop()
        await ref.wait_gone()

    assert caplog.text.count("root/child failed while stopping") == 2


async def test_a_factory_that_fails_at_first_is_the_parents_trouble() -> None:
    """The parent is calling it."""
    async with stage() as here:
        with pytest.raises(ZeroDivisionError):
            here.root.spawn(lambda: Puppet(Part(lives=[1 / 0])), name="child")  # type: ignore[list-item]
        assert here.spawn(Part(), "child").alive


async def test_a_factory_that_fails_later_is_a_crash(autojump_clock: MockClock) -> None:
    """It may need what is missing just now, so it is tried again within the budget."""
    part, calls = Part(), 0

    def factory() -> Puppet:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise Boom
        return part()

    async with stage() as here:
        ref = here.root.spawn(factory, name="child")
        await ref.tell(Do(crash))
        assert await ref.ask(answer(1), timeout=60) == 1

    assert (calls, len(part.lives)) == (4, 2)


async def test_an_actor_that_counts_as_false_is_an_actor() -> None:
    """A class may well have a length of its own."""

    class Empty(Puppet):
        def __len__(self) -> int:
            return 0

    part = Part(Empty)
    async with stage() as here:
        here.spawn(part)
        await settle()

    assert len(part.lives) == 1


async def test_a_crash_is_recorded_without_the_groups_of_nurseries() -> None:
    """What went wrong should be seen at once, and be matched by its type."""
    downs: list[Down] = []

    async def in_a_nursery(me: Puppet) -> None:
        async with trio.open_nursery(), trio.open_nursery():
            raise Boom

    async def twice(me: Puppet) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_a_nursery, me)
            nursery.start_soon(in_a_nursery, me)

    async with stage() as here:
        for name, what in (("one", in_a_nursery), ("many", twice)):
            ref = here.spawn(Part(), name, restart=Restart.TEMPORARY)
            here.root.watch(ref, downs.append)
            await ref.tell(Do(what))
            await ref.wait_gone()

    assert [type(down.reason.error) for down in downs if isinstance(down.reason, Crashed)] == [
        Boom,
        ExceptionGroup,
    ]


async def test_the_first_failure_of_a_life_is_its_reason() -> None:
    """What breaks while the actor is being torn down is a consequence."""
    part = Part()

    async def helper() -> None:
        raise Boom

    async def untidy(me: Puppet) -> None:
        me.start_task(helper, name="helper")
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    async with stage() as here:
        ref = here.spawn(part, restart=Restart.TEMPORARY)
        await ref.tell(Do(untidy))
        await ref.wait_gone()

    (end,) = part.ends
    assert isinstance(end, Crashed)
    assert isinstance(end.error, Boom)


# -- how soon, and how often


async def test_the_wait_before_a_restart_grows_and_is_bounded(autojump_clock: MockClock) -> None:
    """A storm of crashes must not become a busy loop."""
    starts: list[float] = []

    def begin(me: Puppet) -> None:
        starts.append(me.now())
        if len(starts) < 6:
            raise Boom

    async with stage(Part(Steady)) as here:
        ref = here.spawn(Part(on_start=begin))
        assert await ref.ask(answer(1), timeout=60) == 1

    assert [after - before for before, after in pairwise(starts)] == [1, 2, 4, 4, 4]


async def test_the_state_shows_that_an_actor_waits_to_be_restarted(autojump_clock: MockClock) -> None:
    """Whoever looks must not take it for idle."""
    async with stage(Part(Steady)) as here:
        await here.spawn(Part()).tell(Do(crash))
        await settle()
        assert here.system.actors()[-1].state is State.RESTARTING


async def test_the_state_shows_that_an_actor_starts_again(autojump_clock: MockClock) -> None:
    """A start that hangs looks the same at first and later."""
    part = Part()
    part.on_start = lambda me: busy()() if len(part.lives) == 2 else None
    async with stage() as here:
        await here.spawn(part).tell(Do(crash))
        await trio.sleep(5)
        assert here.system.actors()[-1].state is State.STARTING


async def test_a_crash_on_the_way_out_costs_no_budget(autojump_clock: MockClock) -> None:
    """It would not come back anyway, so there is nothing to forgive."""

    class Unforgiving(Puppet):
        def budget(self) -> RestartBudget:
            return RestartBudget(restarts=0)

    part = Part()

    def stop_and_crash(me: Puppet) -> None:
        me.stop()
        raise Boom

    async with stage(Part(Unforgiving)) as here:
        ref = here.spawn(part, restart=Restart.TRANSIENT)
        await ref.tell(Do(stop_and_crash))
        await ref.wait_gone()
        await settle()
        assert here.root.ref.alive

    assert isinstance(part.ends[0], Crashed)


async def test_a_stop_cuts_the_wait_for_a_restart_short(autojump_clock: MockClock) -> None:
    """There is nothing to wait for any more."""
    part = Part()
    async with stage(Part(Steady)) as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        await settle()
        ref.tell_nowait("A")
        ref.stop()
        await ref.wait_gone()
        assert trio.current_time() == 0

    assert len(part.lives) == 1
    assert here.system.dead_letters.total == 1


async def test_the_budget_is_one_for_all_children(autojump_clock: MockClock) -> None:
    """The measured fault of a peer: intensity counted per child lets many children crash for ever."""
    top = Part(Strict)
    async with stage(Part(kind=Steady)) as here:
        supervisor = here.spawn(top, "supervisor")
        await settle()
        for number in range(4):
            await top.now.spawn(Part(), name=f"child-{number}").tell(Do(crash))
            await settle()  # one after the other, whatever the scheduler likes
        await trio.sleep(5)
        assert supervisor.alive

    assert len(top.lives) == 2
    end = top.ends[0]
    assert isinstance(end, Crashed)
    assert isinstance(end.error, RestartBudgetSpent)
    assert str(end.error) == (
        "root/supervisor/child-3 failed again after 3 restarts within 10 s under root/supervisor"
    )


async def test_a_spent_budget_escalates_up_to_the_system(autojump_clock: MockClock) -> None:
    """What nobody can cure ends the program, instead of leaving it half dead."""
    root, middle, leaf = Part(Strict), Part(Strict), Part(on_start=crash)
    middle.on_start = lambda me: me.spawn(leaf, name="leaf")
    root.on_start = lambda me: me.spawn(middle, name="middle")

    with pytest.raises(ExceptionGroup) as raised:
        async with stage(root):
            await trio.sleep_forever()

    error = raised.value.exceptions[0]
    assert isinstance(error, RestartBudgetSpent)
    assert (error.address, error.child) == ("root", "root/middle")
    assert (len(root.lives), len(middle.lives), len(leaf.lives)) == (1, 4, 16)


async def test_siblings_go_on_while_one_is_restarted(autojump_clock: MockClock) -> None:
    """One for one: whoever did not fail notices nothing."""
    part = Part()
    async with stage(Part(Steady)) as here:
        await here.spawn(Part(on_start=crash), "crasher").tell("A")
        ref = here.spawn(part, "sibling")
        for number in range(100):
            assert await ref.ask(answer(number), timeout=1) == number
        assert trio.current_time() == 0

    assert len(part.lives) == 1


async def test_a_stopping_parent_grants_no_restarts(autojump_clock: MockClock) -> None:
    """A child started now would only have to be stopped again."""
    slow, crasher, parent = Part(on_end=busy(0.5)), Part(), Part()

    async def start_both(me: Puppet, question: Ask) -> None:
        ref = me.spawn(crasher, name="crasher")
        me.spawn(slow, name="slow")
        await ref.tell(Do(lambda me: me.start_task(crash_soon, me, name="soon")))
        await settle()
        raise Boom

    async def crash_soon(me: Puppet) -> None:
        await trio.sleep(0.1)
        raise Boom

    async with stage() as here:
        ref = here.spawn(parent, "parent", restart=Restart.TEMPORARY)
        await ref.tell(Ask(start_both))
        await ref.wait_gone()

    assert len(crasher.lives) == 1
    assert [type(end) for end in crasher.ends] == [Crashed]


async def test_a_life_that_is_cancelled_does_not_report_an_older_crash(autojump_clock: MockClock) -> None:
    """The crash was forgiven; what ended the actor is the end of the program."""
    part, downs = Part(), list[Down]()
    with trio.CancelScope() as scope:
        async with stage(Part(Steady)) as here:
            ref = here.spawn(part)
            here.root.watch(ref, downs.append)
            await ref.tell(Do(crash))
            assert await ref.ask(answer(1), timeout=60) == 1
            scope.cancel()

    assert [down.reason for down in downs] == [Stopped("cancelled")]


def test_a_long_life_ends_a_streak_of_crashes() -> None:
    """Who ran well for a while is started again soon; each child counts for itself."""
    streak = Streak(Backoff(first=1, longest=4, jitter=0))

    assert [streak.next_delay(now, Random()) for now in (0, 2, 5, 10, 30, 100)] == [1, 2, 4, 4, 4, 1]
