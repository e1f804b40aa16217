"""Trio's own tree of tasks, from its root task down, as plain data to look at."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from time import perf_counter
from weakref import WeakKeyDictionary

import trio
from attrs import frozen

from .frames import FrameView, Place, running_places, view, waiting_places

_TURN = 0.002
"""Seconds that `survey_tasks` looks before it lets others run."""

_Note = tuple[int, str, int, tuple[Place, ...]]
"""A task's id and name, the index of its parent's note, and its stack."""

_numbers: WeakKeyDictionary[trio.lowlevel.Task, int] = WeakKeyDictionary()
_new_number = count(1)
_limiter: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("actors.tasks")


@frozen
class TaskView:
    """One task and all below it.

    `id` is its own for the life of the process. `actor` is the address of the actor that it runs, or helps.
    `stack` is where it waits, outermost first; empty unless asked for.
    """

    id: int
    name: str
    actor: str | None
    children: tuple[TaskView, ...]
    stack: tuple[FrameView, ...]


def task_tree(*, stacks: bool = False) -> TaskView:
    """Every task of this trio run, at one moment. Children are in the order of their names.

    It holds the loop while it looks: some 3 µs a task, 10 µs with stacks, and the time to read the source
    files that no stack showed before. Where there may be thousands of tasks, use `survey_tasks`.
    """
    return _tree(list(_notes(stacks)))


async def survey_tasks(*, stacks: bool = False) -> TaskView:
    """The same as `task_tree`, without holding the loop for more than a few milliseconds at a time.

    Others run meanwhile, so what it shows is smeared over some time: a task may be missing that began, or
    still be there though it ended, while the survey was elsewhere in the tree.
    """
    notes: list[_Note] = []
    await trio.lowlevel.checkpoint()
    until = perf_counter() + _TURN
    for note in _notes(stacks):
        notes.append(note)
        if perf_counter() > until:
            await trio.lowlevel.checkpoint()
            until = perf_counter() + _TURN
    # In a thread because source files may have to be read.
    return await trio.to_thread.run_sync(_tree, notes, limiter=_one_at_a_time())  # noqa: TID251


def number_of(task: trio.lowlevel.Task) -> int:
    """The id of *task* in views and traces. Not Python's `id`, which a later task may have again."""
    number = _numbers.get(task)
    if number is None:
        number = _numbers[task] = next(_new_number)
    return number


def actor_of(name: str) -> str | None:
    """The address in a task's name, if the task is an actor's."""
    if not name.startswith("actor "):
        return None
    return name.removeprefix("actor ").partition(": ")[0]


def _notes(stacks: bool) -> Iterator[_Note]:
    """Every task, parents before their children."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    seen: set[int] = set()
    # Most tasks of a server wait at the same few places. To keep a stack for each would set the garbage
    # collector off, which holds the loop for longer than all this.
    known: dict[tuple[Place, ...], tuple[Place, ...]] = {}
    pending = [(root, -1)]
    while pending:
        task, parent = pending.pop()
        number = number_of(task)
        # Between two notes others may have run: it may have ended, or moved to another nursery as it started.
        if task.coro.cr_frame is None or number in seen:
            continue
        index = len(seen)
        seen.add(number)
        stack = _stack(task) if stacks else ()
        yield number, task.name, parent, known.setdefault(stack, stack)
        for nursery in task.child_nurseries:
            pending += [(child, index) for child in nursery.child_tasks]


def _stack(task: trio.lowlevel.Task) -> tuple[Place, ...]:
    try:
        runs = task is trio.lowlevel.current_task()
    except RuntimeError:  # called by an instrument, between tasks
        runs = False
    if not runs:
        return waiting_places(task)
    # Whoever asks. To see that this generator looks at it would tell nothing.
    return running_places(sys._getframe(2))


def _tree(notes: list[_Note]) -> TaskView:
    children: dict[int, list[TaskView]] = {}
    stacks: dict[tuple[Place, ...], tuple[FrameView, ...]] = {}
    for index in range(len(notes) - 1, -1, -1):  # children before their parents
        number, name, parent, places = notes[index]
        if places not in stacks:
            stacks[places] = tuple(view(place) for place in places)
        below = sorted(children.pop(index, ()), key=lambda child: (child.name, child.id))
        task = TaskView(number, name, actor_of(name), tuple(below), stacks[places])
        children.setdefault(parent, []).append(task)
    (root,) = children.pop(-1)
    return root


def _one_at_a_time() -> trio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = trio.CapacityLimiter(1)
        _limiter.set(limiter)
        return limiter
