"""Every task of ours can be told by its name, and hangs where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trio

from .client import connect
from .embedded import embedded
from .running import ECHO, SCRIPT, SLOW


def below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from below(child)


def named(name: str) -> trio.lowlevel.Task:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return next(task for task in below(root) if task.name == name)


def parent_of(task: trio.lowlevel.Task) -> str:
    assert task.parent_nursery is not None
    return task.parent_nursery.parent_task.name


async def test_every_task_is_an_actor_or_a_named_child_of_one(tmp_path: Path) -> None:
    """Looking at the tasks of a busy server tells what each of them is for."""
    async with embedded(tmp_path) as server, trio.open_nursery() as nursery:

        async def talk(number: int) -> None:
            pipeline = (ECHO, SLOW, SCRIPT)[number % 3]
            query = f"session_type={'person' if number % 2 else 'group'}&session_id=s{number % 5}"
            async with connect(server.socket_url(pipeline, query)) as client:
                for _ in range(50):
                    await client.say("say a few words of no weight", stream=bool(number % 4))
                    await client.until_final()

        for number in range(20):
            nursery.start_soon(talk, number)
        while len(server.addresses("/connections/")) < 20:
            await trio.lowlevel.checkpoint()
        seen: set[str] = set()
        for _ in range(300):
            for task in below(named("lifespan")):
                assert task.name.startswith("actor triologue"), task.name
                path, _, helper = task.name.removeprefix("actor ").partition(": ")
                above = parent_of(task)
                if helper:
                    # A helper hangs below its own actor; the root's task is the lifespan's.
                    assert above in (f"actor {path}", "lifespan"), (task.name, above)
                    seen.add(helper)
                else:
                    expected = f"actor {path.partition('#')[0]}"
                    assert above == "lifespan" or expected.startswith(f"{above}/"), (task.name, above)
            for task in below(named("http")):
                if task.name.startswith("actor ") or task.name == "lifespan":
                    continue
                outside = ("listener ", "websocket ", "http ", "trio.", "lifespan")
                assert task.name.startswith(outside), task.name
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert {"life", "drain", "write"} <= seen
