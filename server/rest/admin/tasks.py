"""`GET /api/v1/admin/tasks` and `GET /api/v1/admin/stacks`: what trio runs, and where each task stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import trio
from quart import Blueprint, Response, request

from actors import FrameView, TaskView, survey_tasks, survey_threads
from server.rest.problems import problem

from .shapes import stack_json, thread_json
from .slices import SLICE, Writer, dumps, ok_sliced

Stack = tuple[FrameView, ...]


def tasks(turn: trio.CapacityLimiter) -> Blueprint:
    """The routes over this trio run's tasks and the process's threads; large answers take their *turn*."""
    blueprint = Blueprint("tasks", __name__)
    limiter = trio.CapacityLimiter(1)

    @blueprint.get("/tasks")
    async def show_tree() -> Response:
        stacks = parse_flag(request.args.getlist("stacks"))
        if stacks is None:
            return problem(400, "bad_request", "stacks must be 0 or 1")
        writer = Writer()
        async with turn:
            writer.write(b'{"root":')
            await write_tree(writer, await survey_tasks(stacks=stacks))
            writer.write(b"}")
        return ok_sliced(writer)

    @blueprint.get("/stacks")
    async def show_stacks() -> Response:
        writer = Writer()
        async with turn:
            root = await survey_tasks(stacks=True)
            writer.write(b'{"tasks":')
            await writer.write_array(walk(root), task_shape())
            writer.write(b',"threads":')
            await writer.write_array(await survey_threads(limiter), thread_json)
            writer.write(b"}")
        return ok_sliced(writer)

    return blueprint


def parse_flag(values: list[str]) -> bool | None:
    """A query's flag, false if it is not there; `None` if it is neither 0 nor 1."""
    return {(): False, ("0",): False, ("1",): True}.get(tuple(values))


def walk(root: TaskView) -> Iterator[TaskView]:
    """*root* and all below it, parents before their children."""
    pending = [root]
    while pending:
        task = pending.pop()
        yield task
        pending += reversed(task.children)


async def write_tree(writer: Writer, root: TaskView) -> None:
    """*root* with all below it, however deep, with turns for others in between."""
    shape = task_shape()
    text = bytearray()
    written = 0
    # What is still to be written, last thing first: tasks, and what stands between them.
    pending: list[TaskView | bytes] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, bytes):
            text += item
            continue
        text += dumps(shape(item))[:-1] + b',"children":['
        pending.append(b"]}")
        for number, child in enumerate(reversed(item.children)):
            pending += (b",", child) if number else (child,)
        written += 1
        if written % SLICE == 0:
            writer.write(bytes(text))
            text.clear()
            await trio.lowlevel.checkpoint()
    writer.write(bytes(text))


def task_shape() -> Callable[[TaskView], dict[str, Any]]:
    """What makes JSON of a task without its children, and of a stack that thousands have only once."""
    known: dict[int, orjson.Fragment] = {}

    def shape(task: TaskView) -> dict[str, Any]:
        key = id(task.stack)  # held by the views, so that nothing else gets it
        stack = known.get(key)
        if stack is None:
            stack = known[key] = orjson.Fragment(dumps(stack_json(task.stack)))
        return {"id": task.id, "name": task.name, "actor": task.actor, "stack": stack}

    return shape
