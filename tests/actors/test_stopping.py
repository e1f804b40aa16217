"""How actors end: in order, in time, and wholly."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors import Actor, ActorDied, ActorSystem, Crashed, Restart, Stopped, Supervisor

from .puppets import Ask, Boom, Do, Part, Puppet, answer, busy, crash, running_tasks, settle, stage


async def test_a_stopped_actor_finishes_the_message_in_hand_and_no_other() -> None:
    """Half done is worse than not begun."""
    part, gate = Part(), trio.Event()
    done: list[str] = []

    async def work(me: Puppet) -> None:
        await gate.wait()
        done.append("work")

    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(work))
        await settle()
        ref.tell_nowait("queued")
        ref.stop("enough")
        ref.stop("said twice")
        gate.set()
        await ref.wait_gone()

    assert done == ["work"]
    assert len(part.seen) == 1
    assert part.ends == [Stopped("enough")]


async def test_a_message_that_was_just_told_is_not_handled_after_a_stop() -> None:
    """Told and stopped in one step: the message is a dead letter, not a surprise."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        ref.tell_nowait("A")
        ref.tell_nowait("B")
        ref.stop()
        await ref.wait_gone()

    assert part.seen == []
    assert here.system.dead_letters.total == 2


async def test_an_actor_can_stop_itself_while_it_handles() -> None:
    """The most usual way to end."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part, restart=Restart.TRANSIENT)
        await ref.tell(Do(lambda me: me.stop()))
        await settle()
        assert not ref.alive

    assert part.ends == [Stopped("finished")]


async def test_an_actor_can_stop_itself_before_its_first_message() -> None:
    """It may find nothing to do."""
    part = Part(on_start=lambda me: me.stop("nothing to do"))
    async with stage() as here:
        ref = here.spawn(part, restart=Restart.TRANSIENT)
        ref.tell_nowait("A")
        await ref.wait_gone()

    assert part.seen == []
    assert part.ends == [Stopped("nothing to do")]


async def test_an_actor_stopped_before_it_ran_still_says_goodbye() -> None:
    """What its factory was given, a socket perhaps, is closed in `stopped`."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        ref.stop("at once")
        await ref.wait_gone()

    assert (len(part.lives), part.ends) == (1, [Stopped("at once")])


async def test_children_are_stopped_newest_first_one_by_one(autojump_clock: MockClock) -> None:
    """Younger ones may need older ones to say goodbye."""
    order: list[str] = []

    async def leave(name: str, me: Puppet, reason: object) -> None:
        order.append(f"{name} begins")
        await trio.sleep(0.5)
        order.append(f"{name} ends")

    async with stage() as here:
        for name in ("first", "second", "third"):
            here.spawn(Part(on_end=partial(leave, name)), name)

    assert order == [f"{name} {step}" for name in ("third", "second", "first") for step in ("begins", "ends")]


async def test_grandchildren_end_before_their_parent() -> None:
    """An actor is gone only when all below it are."""
    order: list[str] = []
    below = Part(on_end=lambda me, reason: order.append("grandchild"))
    part = Part(
        on_start=lambda me: me.spawn(below, name="grandchild"),
        on_end=lambda me, reason: order.append("child"),
    )
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        ref.stop()
        await ref.wait_gone()
        assert running_tasks() == []

    assert order == ["grandchild", "child"]


async def test_a_child_is_cancelled_after_its_grace(autojump_clock: MockClock) -> None:
    """Nobody may hold up a shutdown."""
    part = Part()
    async with stage() as here:
        await here.spawn(part, grace=3).tell(Do(busy()))
        await settle()
        here.system.stop()
        await trio.sleep(2.9)
        assert part.ends == []
        await trio.sleep(0.2)
        assert part.ends == [Stopped("parent stops")]


async def test_a_goodbye_is_bounded_by_the_grace(autojump_clock: MockClock) -> None:
    """It is shielded from cancellation, and shielding needs a deadline."""
    part = Part(on_end=busy())
    async with stage() as here:
        ref = here.spawn(part, grace=3)
        ref.stop()
        await ref.wait_gone()
        assert trio.current_time() == 3


@pytest.mark.parametrize("grace", [0, 1])
async def test_a_child_stuck_in_its_start_is_cancelled_too(autojump_clock: MockClock, grace: float) -> None:
    """Even one that had no time to begin: else it would start, and hang, after its grace."""
    stuck = Part(on_start=busy())

    def begin(me: Puppet) -> None:
        me.spawn(stuck, name="stuck", grace=grace)
        me.stop()

    root = Part(on_start=begin)
    for _ in range(10):  # whether the child's task begins before it is stopped is trio's choice
        with trio.fail_after(60):
            await ActorSystem().run(root, name="root")

    assert stuck.ends == [Stopped("parent stops")] * 10


async def test_a_child_that_waits_to_be_restarted_ends_with_its_parent(autojump_clock: MockClock) -> None:
    """It has no life that could be cancelled."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        await settle()
        here.system.stop()
        await ref.wait_gone()
        assert trio.current_time() == 0

    assert len(part.lives) == 1


async def test_children_end_with_the_life_of_a_parent_that_crashes() -> None:
    """The next life starts its own; two of each would be one too many."""
    below, part = Part(), Part()
    part.on_start = lambda me: me.spawn(below, name="below")
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        await ref.ask(answer(1), timeout=60)
        assert [view.address for view in here.system.actors()] == ["root", "root/child", "root/child/below"]

    assert (len(part.lives), len(below.lives)) == (2, 2)
    assert below.ends[0] == Stopped("parent stops")


async def test_names_are_unique_among_living_siblings() -> None:
    """An address names one actor; its name is free again once it is gone."""
    async with stage() as here:
        ref = here.spawn(Part(), "name/with/slashes")
        with pytest.raises(ValueError, match="root has a child named name/with/slashes already"):
            here.spawn(Part(), "name/with/slashes")
        ref.stop()
        await ref.wait_gone()
        assert here.spawn(Part(), "name/with/slashes").alive


async def test_an_actor_that_is_ending_starts_nothing() -> None:
    """What it started would outlive the moment in which its children are stopped."""
    refused: list[str] = []

    def try_all(me: Puppet, *_: object) -> None:
        for attempt in (
            lambda: me.spawn(Part(), name="late"),
            lambda: me.start_task(trio.sleep_forever, name="late"),
            lambda: me.after(1, "late"),
        ):
            with pytest.raises(RuntimeError, match="root/child is not running; it can't start") as error:
                attempt()
            refused.append(str(error.value))

    async with stage() as here:
        ref = here.spawn(Part(on_end=try_all))
        ref.stop()
        await ref.wait_gone()

    assert len(refused) == 3


async def test_what_a_stopping_actor_still_starts_is_stopped_with_it() -> None:
    """It can't know that somebody has told it to stop while it handles its last message."""
    late = Part()

    def stop_and_spawn(me: Puppet) -> None:
        me.stop()
        me.spawn(late, name="late")

    async with stage() as here:
        part = Part()
        ref = here.spawn(part, restart=Restart.TRANSIENT)
        await ref.tell(Do(stop_and_spawn))
        await ref.wait_gone()

    assert part.ends == [Stopped("finished")]
    assert late.ends == [Stopped("parent stops")]


async def test_a_helper_of_a_crashed_life_spawns_nothing(autojump_clock: MockClock) -> None:
    """Its child would belong to a life that is being torn down."""
    late, part = Part(), Part()
    refused: list[str] = []

    async def spawn_later(me: Puppet) -> None:
        await trio.sleep(0.5)
        with pytest.raises(RuntimeError, match="can't start late"):
            me.spawn(late, name="late")
        refused.append("late")

    async def begin(me: Puppet) -> None:
        me.spawn(Part(on_end=busy()), name="slow")
        me.start_task(spawn_later, me, name="later")
        await trio.lowlevel.checkpoint()
        raise Boom

    async with stage() as here:
        ref = here.spawn(part, restart=Restart.TEMPORARY)
        await ref.tell(Do(begin))
        await ref.wait_gone()

    assert (refused, late.lives) == (["late"], [])
    assert isinstance(part.ends[0], Crashed)
    assert isinstance(part.ends[0].error, Boom)


# -- the system


async def test_the_system_ends_with_its_root() -> None:
    """The root is the program."""
    async with stage() as here:
        below = here.spawn(Part())
        here.root.stop()
        await below.wait_gone()


async def test_the_system_raises_what_its_root_crashed_with() -> None:
    """The caller of `run` is the last supervisor."""
    ended = Part()
    root = Part(on_start=lambda me: (me.spawn(ended, name="child"), me.after(0, Do(crash))))
    with pytest.raises(Boom):
        await ActorSystem().run(root, name="root")

    assert ended.ends == [Stopped("parent stops")]


async def test_a_system_that_does_not_run_can_be_stopped() -> None:
    """There is nothing to do."""
    system = ActorSystem()
    system.stop()

    assert system.actors() == []


async def test_a_supervisor_is_there_for_its_children_only() -> None:
    """It has no messages; one that comes all the same is a bug, and crashes it."""

    class Root(Supervisor):
        async def started(self) -> None:
            self.after(0, "a message")  # type: ignore[arg-type]

    with pytest.raises(AssertionError, match="a supervisor has no messages"):
        await ActorSystem().run(Root, name="root")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["handle", "helper", "started"])
def test_interrupts_pass_through_every_supervisor(interrupt: type[BaseException], where: str) -> None:
    """They are meant for the whole program, and arrive as themselves, so that an exit status is one."""

    def strike(*_: object) -> None:
        raise interrupt(3)

    async def helper() -> None:
        strike()

    leaf = Part()
    match where:
        case "handle":
            leaf.on_start = lambda me: me.after(0, Do(strike))
        case "helper":
            leaf.on_start = lambda me: me.start_task(helper, name="helper")
        case "started":
            leaf.on_start = strike
    middle = Part(on_start=lambda me: me.spawn(leaf, name="leaf"))
    root = Part(on_start=lambda me: me.spawn(middle, name="middle"))

    with pytest.raises(interrupt) as raised:
        trio.run(partial(ActorSystem().run, root, name="root"))

    assert raised.value.args == (3,)
    assert len(leaf.lives) == 1


async def test_cancelling_the_system_from_outside_ends_every_task(autojump_clock: MockClock) -> None:
    """The owner of the nursery has the last word, without anybody's grace."""
    leaf = Part(on_start=lambda me: me.start_task(trio.sleep_forever, name="helper"))
    busy_one = Part(on_start=busy())
    middle = Part(on_start=lambda me: (me.spawn(leaf, name="leaf"), me.spawn(busy_one, name="busy")))
    system = ActorSystem()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, middle, name="root"))
        await settle()
        assert sorted(running_tasks()) == ["actor root/busy", "actor root/leaf", "actor root/leaf: helper"]
        nursery.cancel_scope.cancel()

    assert trio.current_time() == 0
    assert running_tasks() == []
    assert system.actors() == []


async def test_a_goodbye_that_has_begun_is_finished_though_all_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    """Half a goodbye may be worse than none; its deadline holds all the same."""
    said: list[str] = []

    async def say(me: Puppet, reason: object) -> None:
        await trio.sleep(0.5)
        said.append("goodbye")

    with trio.CancelScope() as scope:
        async with stage() as here:
            here.spawn(Part(on_end=say)).stop()
            await settle()
            scope.cancel()

    assert said == ["goodbye"]


async def test_askers_outside_learn_that_the_system_was_cancelled(autojump_clock: MockClock) -> None:
    """Whether their question was in hand or queued: nobody is left to answer."""
    root, system, failed = Part(), ActorSystem(), list[Exception]()

    async def ask(question: Ask) -> None:
        with pytest.raises(ActorDied) as died:
            await root.now.ref.ask(question, timeout=60)
        failed.append(died.value)

    async with trio.open_nursery() as askers, trio.open_nursery() as nursery:
        nursery.start_soon(partial(system.run, root, name="root"))
        await settle()
        for question in (Ask(busy()), answer(1)):
            askers.start_soon(ask, question)
            await settle()
        nursery.cancel_scope.cancel()

    assert len(failed) == 2
    assert trio.current_time() == 0


async def test_every_task_of_an_actor_bears_its_address(autojump_clock: MockClock) -> None:
    """A tree of tasks is how a stuck server is understood."""

    def begin(me: Puppet) -> None:
        me.start_task(trio.sleep_forever, name="helper")
        me.after(5, "A")

    part = Part(on_start=begin)
    async with stage() as here:
        here.spawn(part)
        await settle()
        assert sorted(running_tasks()) == [
            "actor root/child",
            "actor root/child: helper",
        ]


def test_an_actor_without_a_handler_can_not_be_made() -> None:
    """It would take messages and do nothing."""
    with pytest.raises(TypeError, match="abstract"):
        Actor()  # type: ignore[abstract]
