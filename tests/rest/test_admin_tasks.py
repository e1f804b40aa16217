"""Looking at trio's tasks and the process's threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors import TaskView
from server.rest.admin.slices import Writer
from server.rest.admin.tasks import parse_flag, walk, write_tree

from .asking import API, Poke, house, until

TASK = {"id", "name", "actor", "children", "stack"}
FRAME = {"file", "line", "function", "code"}


def below(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield task
    for child in task["children"]:
        yield from below(child)


def leaf(number: int, *children: TaskView) -> TaskView:
    return TaskView(id=number, name=f"task {number}", actor=None, children=children, stack=())


async def test_the_tree_of_tasks_is_told() -> None:
    """With the actor that each task belongs to, to be joined with the tree of actors."""
    async with house() as home:
        home.spawn("one")
        data = (await home.ask(f"{API}/tasks")).data

    assert set(data) == {"root"}
    tasks = {task["name"]: task for task in below(data["root"])}
    assert all(set(task) == TASK and task["stack"] == [] for task in tasks.values())
    assert tasks["actor top/one"]["actor"] == "top/one"
    assert data["root"]["actor"] is None


async def test_each_task_tells_where_it_stands_if_asked() -> None:
    """Outermost frame first, with the line of code."""
    async with house() as home:
        home.spawn("one", grace=0.0).tell_nowait(Poke("sleep"))
        await until(lambda: (view := home.system.actor("top/one")) and view.handling)
        data = (await home.ask(f"{API}/tasks?stacks=1")).data

    (task,) = (task for task in below(data["root"]) if task["name"] == "actor top/one")
    assert all(set(frame) == FRAME for frame in task["stack"])
    assert "await trio.sleep_forever()" in [frame["code"] for frame in task["stack"]]


async def test_stacks_are_of_all_tasks_and_threads() -> None:
    """Flat, for a look at everything at once; a thread may be what blocks."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="waits for a test")
    thread.start()
    try:
        async with house() as home:
            home.spawn("one")
            data = (await home.ask(f"{API}/stacks")).data
    finally:
        over.set()
        thread.join()

    assert set(data) == {"tasks", "threads"}
    assert all(set(task) == TASK - {"children"} for task in data["tasks"])
    assert "actor top/one" in [task["name"] for task in data["tasks"]]
    threads = {thread["name"]: thread["stack"] for thread in data["threads"]}
    assert all(set(frame) == FRAME for stack in threads.values() for frame in stack)
    assert "wait" in threads["waits for a test"][-1]["function"]
    assert "MainThread" in threads


@pytest.mark.parametrize(
    ("values", "flag"),
    [([], False), (["0"], False), (["1"], True), (["yes"], None), ([""], None), (["1", "1"], None)],
)
def test_a_flag_is_0_or_1(values: list[str], flag: bool | None) -> None:
    """Anything else is a mistake, and told as one."""
    assert parse_flag(values) is flag


async def test_a_bad_flag_is_refused() -> None:
    async with house() as home:
        answer = await home.ask(f"{API}/tasks?stacks=true")
    assert (answer.status, answer.json["error"]) == (400, "bad_request")


async def test_a_tree_of_any_depth_can_be_written() -> None:
    """Tasks start tasks; no recursion of ours is to end at a thousand of them."""
    root = leaf(0)
    for number in range(1, 5000):
        root = leaf(number, root, leaf(-number))
    writer = Writer()
    await write_tree(writer, root)
    text = b"".join(writer.parts)

    assert text.count(b'"id"') == 9999 == len(list(walk(root)))
    assert text.count(b"{") == text.count(b"}") == text.count(b"[") - 9999
    assert text.startswith(b'{"id":4999,"name":"task 4999","actor":null,"stack":[],"children":[{"id":4998,')
