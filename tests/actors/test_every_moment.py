"""The end may come at any moment: it is tried at every single step of one busy, seeded run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, field

from actors import (
    ActorError,
    ActorRef,
    ActorSystem,
    Join,
    Members,
    Overflow,
    Register,
    Registry,
    Restart,
    Strategy,
    WhereIs,
    fan_out,
    fan_out_nowait,
)
from actors.testing import run_seeded

from .puppets import Ask, Do, Eager, Now, Part, Puppet, answer, busy, crash, running_tasks, settle

Strike = Callable[["Busy"], None]


class Tight(Puppet):
    """Room for one message, so that its senders wait."""

    capacity = 1
    overflow = Overflow.DROP_OLDEST


class Together(Puppet):
    strategy = Strategy.ONE_FOR_ALL


@define(eq=False)
class Busy:
    """A system in which much goes on at once, in a run of some hundred steps and few seconds."""

    system: ActorSystem = field(factory=lambda: ActorSystem(random=Random(0)))
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    begun: Counter[Puppet] = field(factory=Counter)
    ended: Counter[Puppet] = field(factory=Counter)
    refs: dict[str, ActorRef[Any]] = field(factory=dict)
    results: list[object] = field(factory=list)
    registry: ActorRef[Any] | None = None
    eager: Part = field(factory=Part)

    def part(self, kind: type[Puppet] = Puppet, begin: Callable[[Puppet], Any] | None = None) -> Part:
        async def on_start(me: Puppet) -> None:
            self.begun[me] += 1
            await trio.lowlevel.checkpoint()
            if begin is not None:
                begin(me)

        async def on_end(me: Puppet, reason: object) -> None:
            self.ended[me] += 1
            await trio.lowlevel.checkpoint()

        return Part(kind, on_start, on_end)

    def begin_root(self, me: Puppet) -> None:
        self.registry = me.spawn(Registry, name="registry")
        self.refs["group"] = me.spawn(self.part(Together, self.begin_group), name="group")
        self.refs["tight"] = me.spawn(self.part(Tight), name="tight", grace=0.1)
        self.eager = self.part(Eager)
        self.refs["eager"] = me.spawn(self.eager, name="eager")
        for ref in self.refs.values():
            me.watch(ref, str)

    def begin_group(self, me: Puppet) -> None:
        for name, restart in zip("abc", Restart, strict=True):
            self.refs[name] = me.spawn(self.part(begin=self.begin_member), name=name, restart=restart)
            me.watch(self.refs[name], str)

    def begin_member(self, me: Puppet) -> None:
        me.after(0.01, Do(self.ask_around))
        me.start_task(self.helper, me, name="helper")

    async def helper(self, me: Puppet) -> None:
        await trio.sleep(0.02)
        await self.attempt(self.refs["tight"].tell, "from a helper")
        await trio.sleep_forever()

    async def ask_around(self, me: Puppet) -> None:
        assert self.registry is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.ask, self.refs["tight"], Ask(busy(0.005)))
            nursery.start_soon(self.ask, self.registry, Join("members", me.ref))
            nursery.start_soon(self.ask, self.refs["a"], answer("a cycle, if this is a"))
        await self.ask(self.registry, Register("first", me.ref))

    async def ask(self, ref: ActorRef[Any], question: Any) -> None:
        await self.attempt(partial(ref.ask, timeout=1), question)

    async def attempt(self, send: Callable[..., Any], message: object) -> None:
        try:
            self.results.append(await send(message))
        except ActorError as error:
            self.results.append(error)

    def at_once(self, me: Puppet) -> str:
        """Done in the task of whoever tells it."""
        me.after(0.01, "from a timer")
        me.start_task(self.helper, me, name="helper")
        fan_out_nowait(list(self.refs.values()), "from a consumer")
        return "left"

    def pass_on(self, me: Puppet, question: Ask) -> None:
        if me.ref == self.refs["c"]:
            self.refs["tight"].tell_nowait(question)
        else:
            question.answer(3)

    async def visitor(self) -> None:
        """Outside of all actors; its calls end whatever happens to the system."""
        refs, registry = self.refs, self.registry
        if registry is None or len(refs) < 6:
            return  # the end came before the start was over
        await self.attempt(refs["b"].tell, Do(crash))
        await self.ask(refs["a"], answer(1))
        await self.ask(refs["c"], Ask(self.pass_on))
        for message in ("one", "two", "three"):
            await self.attempt(refs["tight"].tell, message)
        await self.attempt(refs["eager"].tell, Now(self.at_once))
        await self.attempt(partial(fan_out, [refs["tight"], refs["eager"]]), "to both")
        await self.ask(registry, Members("members"))
        await self.attempt(refs["eager"].tell, Now(crash))
        await self.ask(registry, WhereIs("first"))
        await self.attempt(registry.tell, Register([], refs["tight"]))  # type: ignore[arg-type]
        await self.ask(refs["group"], Ask(crash))
        await self.ask(refs["group"], answer(2))
        await trio.sleep(0.5)

    async def run(self) -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_system)
                await settle()
                await self.visitor()
                self.system.stop()
            assert running_tasks() == []
            assert self.system.actors() == []
            assert self.system.waits() == []
            assert set(self.begun) == set(self.ended)
            assert set(self.begun.values()) | set(self.ended.values()) == {1}
            assert not any(_remains(ref) for ref in self.refs.values())

    async def _run_system(self) -> None:
        with self.scope:
            await self.system.run(self.part(begin=self.begin_root), name="root")


def _remains(ref: ActorRef[Any]) -> bool:
    mailbox = ref._recipient.mailbox
    return bool(ref._recipient.waits or mailbox or mailbox.front.consumer or ref._recipient.deliveries)


class At(trio.abc.Instrument):
    """Strikes once, before a given step of any task after the system has started."""

    def __init__(self, step: int, strike: Callable[[], None]) -> None:
        self.steps = -step
        self.strike = strike

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.steps == 0:
            self.strike()
        self.steps += 1


def steps_of_a_run() -> int:
    never = At(10**9, lambda: None)
    run_seeded(Busy().run, seed=0, instruments=(never,))
    return never.steps + 10**9


def stop_one(name: str, case: Busy) -> None:
    if name in case.refs:
        case.refs[name].stop("struck")


STRIKES: dict[str, Strike] = {
    "cancel": lambda case: case.scope.cancel(),
    "stop": lambda case: case.system.stop(),
    "stop group": partial(stop_one, "group"),
    "stop member": partial(stop_one, "b"),
    "stop tight": partial(stop_one, "tight"),
    "stop eager": partial(stop_one, "eager"),
}


def test_the_busy_run_is_busy() -> None:
    """Else its every moment would be none."""
    case = Busy()
    run_seeded(case.run, seed=0)

    assert sum(isinstance(each, Now) for each in case.eager.taken) == 2
    assert {type(result).__name__ for result in case.results} >= {"NoneType", "int", "tuple", "WaitCycle"}
    assert sum(view.restarts for view in case.system.totals()) >= 2
    assert steps_of_a_run() > 150


@pytest.mark.parametrize("what", STRIKES)
def test_nothing_is_left_whenever_the_end_comes(what: str) -> None:
    """No task, no wait, no message; every life that began has said goodbye, once."""
    for step in range(1, steps_of_a_run()):
        case = Busy()
        try:
            run_seeded(case.run, seed=0, instruments=(At(step, partial(STRIKES[what], case)),))
        except BaseException as error:
            error.add_note(f"struck at step {step}")
            raise
