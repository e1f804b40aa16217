"""Trio's tree of tasks as data."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from weakref import ref

import pytest
import trio
import trio.testing

from actors.observation.frames import frame_of, local, running_places, view
from actors.observation.tasks import TaskView, _notes, actor_of, survey_tasks, task_tree

from .puppets import Part, settle, stage


async def take(stacks: bool = False) -> TaskView:
    return task_tree(stacks=stacks)


async def survey(stacks: bool = False) -> TaskView:
    return await survey_tasks(stacks=stacks)


both = pytest.mark.parametrize("look", [take, survey])
Look = Callable[..., Awaitable[TaskView]]


def below(tree: TaskView) -> Iterator[TaskView]:
    yield tree
    for child in tree.children:
        yield from below(child)


def find(tree: TaskView, name: str) -> TaskView:
    (found,) = (task for task in below(tree) if task.name == name)
    return found


@both
async def test_the_tree_is_trios_own_from_its_root(look: Look) -> None:
    """Whatever runs is in it, ours or not."""
    root = trio.lowlevel.current_root_task()
    me = trio.lowlevel.current_task()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="b")
        nursery.start_soon(trio.sleep_forever, name="a")
        await settle()
        tree = await look()
        nursery.cancel_scope.cancel()

    assert root is not None
    assert tree.name == root.name
    assert [child.name for child in find(tree, me.name).children] == ["a", "b"]


@both
async def test_an_actors_tasks_are_told_by_its_address(look: Look) -> None:
    """That is how the two trees are joined: of actors, and of tasks."""
    part = Part(on_start=lambda me: me.start_task(trio.sleep_forever, name="helper"))
    async with stage() as here:
        here.spawn(part)
        await settle()
        tree = await look()

    actor = find(tree, "actor root/child")
    assert actor.actor == "root/child"
    (helper,) = actor.children
    assert (helper.name, helper.actor) == ("actor root/child: helper", "root/child")
    assert tree.actor is None


def test_the_address_of_an_actor_is_in_the_names_of_its_tasks() -> None:
    """As the runtime names them."""
    assert actor_of("actor a/b") == "a/b"
    assert actor_of("actor a/b: timer: of mine") == "a/b"
    assert actor_of("server.listener.serve") is None


@both
async def test_a_stack_ends_with_our_line_and_the_primitive_it_waits_in(look: Look) -> None:
    """What trio does inside of that is the same everywhere."""

    async def waits() -> None:
        await inner()

    async def inner() -> None:
        await trio.sleep(3600)  # here

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits, name="waits")
        await settle()
        stack = find(await look(True), "waits").stack
        nursery.cancel_scope.cancel()

    *_, outer, ours, primitive = stack
    assert len(stack) == 3
    assert outer.code == "await inner()"
    assert (ours.file, ours.code) == (__file__, "await trio.sleep(3600)  # here")
    assert primitive.function == "sleep"


@both
async def test_stacks_are_only_taken_if_asked_for(look: Look) -> None:
    """They cost more than all the rest."""
    tree = await look(False)
    assert all(task.stack == () for task in below(tree))


@both
async def test_whoever_asks_is_seen_asking(look: Look) -> None:
    """A running task is in no await; its stack is the thread's."""
    tree = await look(True)

    me = find(tree, trio.lowlevel.current_task().name)
    assert any("test_whoever_asks_is_seen_asking" in frame.function for frame in me.stack)
    assert me.stack[-1].function in ("task_tree", "survey_tasks")


@both
async def test_a_task_keeps_its_number(look: Look) -> None:
    """And no other task gets it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="stays")
        nursery.start_soon(trio.sleep_forever, name="goes")
        await settle()
        first = await look()
        find(first, "goes")
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name="new")
        await settle()
        second = await look()
        third = await look()
        nursery.cancel_scope.cancel()

    assert second.id == first.id
    assert find(third, "new").id == find(second, "new").id
    assert find(second, "new").id not in {task.id for task in below(first)}


async def test_a_survey_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand tasks must not cost everybody else a tenth of a second."""
    monkeypatch.setattr("actors.observation.tasks._TURN", 0.0)
    steps: list[int] = []
    done = trio.Event()

    async def other() -> None:
        while not done.is_set():
            steps.append(len(steps))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(trio.sleep_forever, name=f"task {number}")
        await settle()
        nursery.start_soon(other)
        tree = await survey_tasks(stacks=True)
        done.set()
        nursery.cancel_scope.cancel()

    assert sum(1 for task in below(tree) if task.name.startswith("task ")) == 1000
    assert len(steps) >= 1000


async def test_a_survey_shows_no_task_that_has_ended() -> None:
    """It is smeared over time, and says so; but what it comes to, it looks at."""
    names = [f"task {number}" for number in range(100)]
    ended: set[str] = set()

    async with trio.open_nursery() as nursery:
        scopes = {name: trio.CancelScope() for name in names}

        async def sleep(name: str) -> None:
            with scopes[name]:
                await trio.sleep_forever()
            ended.add(name)

        for name in names:
            nursery.start_soon(sleep, name, name=name)
        await settle()
        for _, name, _, _ in _notes(stacks=True):
            assert name not in ended
            if name in scopes:
                for other in names[::2]:
                    scopes[other].cancel()
                await settle()
        nursery.cancel_scope.cancel()

    assert ended == set(names[::2])


async def test_a_task_that_moves_during_a_survey_is_shown_once() -> None:
    """`nursery.start` begins a task in one place and keeps it in another."""
    begin = trio.Event()

    async def child(task_status: trio.TaskStatus[None]) -> None:
        await begin.wait()
        task_status.started()
        await trio.sleep_forever()

    async def owner(task_status: trio.TaskStatus[trio.Nursery]) -> None:
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()

    async def starter() -> None:
        async with trio.open_nursery() as nursery:
            target: trio.Nursery = await nursery.start(owner, name="owner")
            await target.start(child, name="moves")
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(starter)
        await settle()
        seen = []
        for _, name, _, _ in _notes(stacks=False):
            seen.append(name)
            if name == "moves":
                begin.set()
                await settle()
        nursery.cancel_scope.cancel()

    assert seen.count("moves") == 1
    assert seen.index("moves") < seen.index("owner")  # else it would have been seen in its new place only


async def test_a_survey_can_be_cancelled() -> None:
    """Whoever asked may have gone."""
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(trio.sleep_forever, name=f"task {number}")
        await settle()
        with trio.CancelScope() as scope:
            scope.cancel()
            await survey_tasks()
        nursery.cancel_scope.cancel()

    assert scope.cancelled_caught


async def test_looking_at_tasks_keeps_none_alive() -> None:
    """With a task lives its stack, and all that is in it."""
    gone: list[ref[trio.lowlevel.Task]] = []

    async def ends() -> None:
        gone.append(ref(trio.lowlevel.current_task()))
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends)
        await trio.lowlevel.checkpoint()
        tree = task_tree(stacks=True)
    gc.collect()

    assert gone[0]() is None
    assert len(list(below(tree))) > 1


async def test_a_stack_may_be_deep() -> None:
    """Of a recursion, both ends are shown."""

    async def recurse(depth: int) -> None:
        if depth:
            await recurse(depth - 1)
        else:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(recurse, 300, name="deep")
        await settle()
        stack = find(task_tree(stacks=True), "deep").stack
        nursery.cancel_scope.cancel()

    assert stack[0].code == "await recurse(depth - 1)"
    assert stack[-1].function == "sleep_forever"
    assert "frames left out" in stack[10].function
    assert len(stack) < 60


async def test_a_tree_can_be_taken_between_tasks() -> None:
    """An instrument may want to know."""
    taken: list[TaskView] = []

    class Looks(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            taken.append(task_tree(stacks=True))

    looks = Looks()
    trio.lowlevel.add_instrument(looks)
    await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(looks)

    assert find(taken[0], trio.lowlevel.current_task().name).stack


def test_a_place_without_source_has_no_code() -> None:
    """Code may come from anywhere."""
    assert view(("<string>", 3, "made_up")).code == ""


def in_another_thread(see: Callable[[int], object]) -> None:
    """Call *see* with the ident of a thread that stands in `stands`."""
    there, over = threading.Event(), threading.Event()

    def stands() -> None:
        secret = Secret()
        there.set()
        over.wait()
        del secret
        let_go.set()
        end.wait()

    let_go, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=stands)
    thread.start()
    try:
        there.wait()
        assert thread.ident is not None
        see(thread.ident)
        over.set()
        let_go.wait()
        assert Secret.alive == 0
    finally:
        over.set()
        end.set()
        thread.join()


class Secret:
    alive = 0

    def __init__(self) -> None:
        Secret.alive += 1

    def __del__(self) -> None:
        Secret.alive -= 1


def test_a_local_of_a_running_function_can_be_read_and_is_not_kept() -> None:
    """Python itself would keep all locals that were once looked at until the function returns."""
    seen: list[str] = []

    def see(thread: int) -> None:
        frame = frame_of(thread)
        while frame is not None and frame.f_code.co_name != "stands":
            frame = frame.f_back
        assert frame is not None
        seen.append(type(local(frame, "secret")).__name__)
        assert local(frame, "nothing of the kind") is None

    in_another_thread(see)

    assert seen == ["Secret"]


def test_the_variables_of_a_module_are_left_alone() -> None:
    """They are no snapshot."""
    module = sys.modules[__name__].__dict__
    exec(
        compile("import sys\nseen = look(sys._getframe(), 'kept')", "<string>", "exec"),
        space := {"look": local, "kept": 1, **module},
    )
    assert space["seen"] is None
    assert space["kept"] == 1


def test_a_running_thread_is_shown_from_outside_in() -> None:
    """As in a traceback."""
    seen: list[str] = []
    in_another_thread(lambda thread: seen.extend(place[2] for place in running_places(frame_of(thread))))

    assert [name for name in seen if "stands" in name or name == "Thread.run"] == [
        "Thread.run",
        "in_another_thread.<locals>.stands",
    ]
