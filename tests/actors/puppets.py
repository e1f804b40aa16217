"""Actors that do what a test tells them, and a system to run them in."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from inspect import isawaitable
from random import Random
from typing import Any

import trio
import trio.testing
from attrs import define, field, frozen

from actors import Actor, ActorRef, ActorSystem, ExitReason, Question


class Boom(Exception):
    """What puppets crash with."""


@frozen
class Do:
    """Told to a puppet: call *what* with it, and await what comes of that."""

    what: Callable[[Puppet], Any]


@frozen(eq=False)
class Ask(Question[Any, Any]):
    """Asked of a puppet: call *what* with it and this question."""

    what: Callable[[Puppet, Ask], Any]


@frozen
class Now:
    """Told to an eager puppet: call *what* with it at once; what that returns is left, in its place."""

    what: Callable[[Eager], Any] = lambda me: None


@define(eq=False)
class Part:
    """A factory of puppets that remembers what all of them lived through."""

    kind: type[Puppet] = field(factory=lambda: Puppet)
    on_start: Callable[[Puppet], Any] = lambda me: None
    on_end: Callable[[Puppet, ExitReason], Any] = lambda me, reason: None
    lives: list[Puppet] = field(factory=list)
    seen: list[Any] = field(factory=list)
    taken: list[Any] = field(factory=list)
    """What was consumed at once, or declined; and not what was handled."""
    ends: list[ExitReason] = field(factory=list)

    def __call__(self) -> Puppet:
        puppet = self.kind(self)
        self.lives.append(puppet)
        return puppet

    @property
    def now(self) -> Puppet:
        """The latest life."""
        return self.lives[-1]


class Puppet(Actor[Any]):
    """Writes down every message, and does what it says."""

    def __init__(self, part: Part) -> None:
        self.part = part

    async def started(self) -> None:
        await _done(self.part.on_start(self))

    async def handle(self, message: Any) -> None:
        self.part.seen.append(message)
        match message:
            case Do():
                await _done(message.what(self))
            case Ask():
                await _done(message.what(self, message))

    async def stopped(self, reason: ExitReason) -> None:
        self.part.ends.append(reason)
        await _done(self.part.on_end(self, reason))


class Eager(Puppet):
    """Takes what says so at once, while it is idle, and declines all else."""

    def consume(self, message: Any) -> Any:
        self.part.taken.append(message)
        return message.what(self) if isinstance(message, Now) else message

    async def handle(self, message: Any) -> None:
        await super().handle(message)
        if isinstance(message, Now):
            message.what(self)


async def _done(result: Any) -> None:
    if isawaitable(result):
        await result


@frozen
class Stage:
    """A running system, and the part of its root."""

    system: ActorSystem
    part: Part

    @property
    def root(self) -> Puppet:
        return self.part.now

    def spawn(self, part: Part, name: str = "child", **options: Any) -> ActorRef[Any]:
        """Start a child of the root."""
        return self.root.spawn(part, name=name, **options)


@asynccontextmanager
async def stage(root: Part | None = None, *, seed: int = 0) -> AsyncIterator[Stage]:
    """A system around a root puppet; stopped at the end, and then no task of it may be left."""
    part = root or Part()
    system = ActorSystem(random=Random(seed))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(system.run, part, name="root"))
        await settle()
        yield Stage(system, part)
        system.stop()
    assert not running_tasks()
    assert not system.actors()


async def settle() -> None:
    """Wait until nothing happens any more without time passing."""
    await trio.testing.wait_all_tasks_blocked()


def running_tasks() -> list[str]:
    """The names of all living tasks that belong to actors, from trio's own tree."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    names = [task.name for task in _below(root) if task.name.startswith("actor ")]
    return [name for name in names if name != "actor root: deadlines"]  # which every system has


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from _below(child)


def crash(me: Puppet, *_: Any) -> None:
    raise Boom


def busy(seconds: float = math.inf) -> Callable[..., Awaitable[None]]:
    """Keeps a puppet busy for so many seconds of the mock clock."""

    async def wait(*_: Any) -> None:
        await trio.sleep(seconds)

    return wait


def answer(value: Any) -> Ask:
    """A question that the puppet answers with *value* at once."""
    return Ask(lambda me, question: question.answer(value))
