"""Random trees of actors that tell, ask, watch, crash and stop at random; clock and scheduler are seeded."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trio._core import _run as trio_run
from trio.testing import MockClock

from actors import (
    Actor,
    ActorDied,
    ActorError,
    ActorRef,
    ActorSystem,
    AskTimeout,
    Backoff,
    Down,
    ExitReason,
    MailboxFull,
    Overflow,
    Question,
    RecipientStopped,
    Restart,
    RestartBudget,
    RestartBudgetSpent,
)

from .puppets import Boom, running_tasks, settle

ORDERS = ["rest", "crash", "stop", "spawn", "work", "ask", "tell", "timer", "helper", "watch", "stop other"]
REPLIES = ["answer", "answer twice", "put off", "refuse", "crash", "stop", "work", "never", "pass on"]


@frozen
class Order:
    """Number *number* of *sender*, who counts for each receiver."""

    sender: str
    number: int
    what: str


@frozen(eq=False)
class Query(Question[Any, str]):
    sender: str
    number: int
    what: str


@define(eq=False)
class Trial:
    """One run: its dice, everybody who ever lived, and what they did."""

    random: Random
    system: ActorSystem
    refs: list[ActorRef[Any]] = field(factory=list)
    handled: defaultdict[str, list[tuple[str, int]]] = field(factory=lambda: defaultdict(list))
    downs: Counter[tuple[str, int]] = field(factory=Counter)
    asks: int = 0
    settled: int = 0
    names: Iterator[int] = field(factory=lambda: iter(range(10**6)))
    numbers: Counter[tuple[str, str]] = field(factory=Counter)

    def pause(self) -> float:
        return self.random.choice([0, 0, 0.001, 0.1, 1, 3])

    def next_number(self, sender: str, ref: ActorRef[Any]) -> int:
        self.numbers[sender, ref.address] += 1
        return self.numbers[sender, ref.address]

    async def send(self, sender: str, ref: ActorRef[Any]) -> None:
        """Tell or ask *ref* something; whatever comes of it must be in the contract, and in time."""
        number = self.next_number(sender, ref)
        if self.random.random() < 0.5:
            order = Order(sender, number, self.random.choice(ORDERS))
            back: list[bool] = []
            try:
                if self.random.random() < 0.5:
                    ref.tell_nowait(order)
                else:
                    with trio.move_on_after(self.pause()):
                        await ref.tell(order)
            except (MailboxFull, RecipientStopped) as error:
                back.append(error.message is order)
            assert all(back)
            return
        query = Query(sender, number, self.random.choice(REPLIES))
        timeout, begin = self.pause(), trio.current_time()
        self.asks += 1
        try:
            assert await ref.ask(query, timeout=timeout) == "answer"
        except (AskTimeout, ActorDied, RecipientStopped, Boom):
            pass
        finally:
            self.settled += 1
        late = trio.current_time() - begin - timeout
        assert late < 1e-6, late  # the mock clock jumps by sums of floats


class Wild(Actor[Any]):
    backoff = Backoff(first=0.1, longest=1)

    def __init__(self, trial: Trial, name: str) -> None:
        self._trial = trial
        self._name = name
        self._random = trial.random

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=self._random.randint(0, 4) if self._name != "root" else 20, within=5)

    async def started(self) -> None:
        if self._name != "root" and self._random.random() < 0.1:
            raise Boom
        for _ in range(4 if self._name == "root" else self._random.choice([0, 0, 1, 2])):
            self._spawn()

    async def stopped(self, reason: ExitReason) -> None:
        if self._random.random() < 0.2:
            await trio.sleep(self._trial.pause())
        if self._random.random() < 0.1:
            raise Boom

    def _spawn(self) -> None:
        if len(self._trial.refs) > 30:
            return
        name = f"{next(self._trial.names)}"
        kind = self._random.choice([Wild, Wild, Dropping])
        ref = self.spawn(
            partial(kind, self._trial, name),
            name=name,
            restart=self._random.choice(list(Restart)),
            capacity=self._random.choice([1, 2, 5]),
            grace=self._random.choice([0, 0.5, 2]),
        )
        self._trial.refs.append(ref)
        if self._random.random() < 0.5:
            self._watch(ref)

    def _watch(self, ref: ActorRef[Any]) -> None:
        number = next(self._trial.names)
        self.watch(ref, lambda down: (down, number))

    async def handle(self, message: Any) -> None:
        trial, random = self._trial, self._random
        match message:
            case (Down() as down, int() as number):
                trial.downs[down.address, number] += 1
                return
            case Order() | Query():
                trial.handled[self.ref.address].append((message.sender, message.number))
        other = random.choice(trial.refs)
        match message.what:
            case "crash":
                raise Boom
            case "stop":
                self.stop()
            case "spawn" if trial.system.find(self.ref.address) is not None:
                self._spawn()
            case "work":
                await trio.sleep(trial.pause())
            case "ask" | "tell":
                await trial.send(f"{self.ref.address}'s lives", other)
            case "timer":
                timer = self.after(trial.pause(), Order("timer", next(trial.names), "rest"))
                if random.random() < 0.3:
                    timer.cancel()
            case "helper":
                self.start_task(self._help, name="helper")
            case "watch":
                self._watch(other)
            case "stop other":
                other.stop("another said so")
            case "answer":
                message.answer("answer")
            case "answer twice":
                message.answer("answer")
                message.answer("another")
            case "put off":
                self.start_task(self._answer_later, message, name="later")
            case "refuse":
                message.refuse(Boom())
            case "pass on" if other != self.ref:
                await self._pass_on(message, other)

    async def _pass_on(self, message: Query, other: ActorRef[Any]) -> None:
        try:
            other.tell_nowait(_Passed(message))
        except ActorError:
            message.refuse(Boom())

    async def _answer_later(self, message: Query) -> None:
        await trio.sleep(self._trial.pause())
        message.answer("answer")

    async def _help(self) -> None:
        await trio.sleep(self._trial.pause())
        if self._random.random() < 0.5:
            raise Boom


class _Passed:
    """A question in an envelope of its own: whoever gets it, it is not handled as a question there."""

    what = "never"

    def __init__(self, query: Query) -> None:
        self.query = query


class Dropping(Wild):
    overflow = Overflow.DROP_OLDEST


@pytest.fixture(autouse=True)
def _seeded_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(logging.getLogger("actors"), "disabled", True)


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=150)
def test_whatever_happens_the_promises_hold(seed: int) -> None:
    """It ends, every ask settles in time, no message is handled twice or out of its sender's order."""
    trio_run._r.seed(seed)
    trio.run(partial(_run, Random(seed)), clock=MockClock(autojump_threshold=0))


async def _run(random: Random) -> None:
    system = ActorSystem(random=random)
    trial = Trial(random, system)
    root = Wild(trial, "root")

    async def send_some(sender: str) -> None:
        for _ in range(random.randint(0, 30)):
            await trial.send(sender, random.choice(trial.refs))
            await trio.sleep(trial.pause())

    async def run_system() -> None:
        with suppress(Boom, RestartBudgetSpent):  # an end like any other
            await system.run(lambda: root, name="root")

    with trio.fail_after(10_000):
        async with trio.open_nursery() as outside:
            outside.start_soon(run_system)
            await settle()
            async with trio.open_nursery() as nursery:
                for number in range(random.randint(1, 5)):
                    nursery.start_soon(send_some, f"sender {number}")
                await trio.sleep(random.uniform(0, 20))
                match random.choice(["wait", "stop", "cancel"]):
                    case "stop":
                        system.stop()
                    case "cancel":
                        outside.cancel_scope.cancel()
            system.stop()

    assert running_tasks() == []
    assert system.actors() == []
    assert trial.asks == trial.settled
    assert all(count == 1 for count in trial.downs.values())
    for handled in trial.handled.values():
        assert len(handled) == len(set(handled))
        for sender in {sender for sender, _ in handled} - {"timer"}:
            numbers = [number for who, number in handled if who == sender]
            assert numbers == sorted(numbers)
