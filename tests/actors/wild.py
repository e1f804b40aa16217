"""Actors that tell, ask, watch, register, crash, stop and spawn at random, and write it down in a trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import Random
from typing import Any

import trio
from attrs import frozen

from actors import (
    Actor,
    ActorError,
    ActorRef,
    Backoff,
    Down,
    ExitReason,
    Join,
    Later,
    Leave,
    MailboxFull,
    Members,
    Overflow,
    Register,
    Registry,
    Restart,
    RestartBudget,
    Strategy,
    WhereIs,
)

from .puppets import Boom
from .trial import ENDINGS, Heard, Order, Query, Rest, Story, Tick, Trial, Wrapped

MOST = 40


class Wild(Actor[Any]):
    backoff = Backoff(first=0.1, longest=1)

    def __init__(self, trial: Trial, name: str) -> None:
        self.trial = trial
        self.name = name
        self.random = trial.random
        self.life = 0
        self.at_work = False

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=self.random.randint(0, 6) if self.name != "root" else 30, within=5)

    async def started(self) -> None:
        trial = self.trial
        self.life = next(trial.next)
        self.address = self.ref.address
        if self.name == "root":
            trial.registry = self.spawn(Registry, name="registry")
        else:
            trial.begin(self.address, self.life)
            if self.random.random() < 0.2:
                await trio.sleep(trial.pause())
            if self.random.random() < 0.1:
                raise Boom
        for _ in range(4 if self.name == "root" else self.random.choice([0, 0, 1, 3])):
            self.try_to_spawn()

    async def stopped(self, reason: ExitReason) -> None:
        if self.name != "root":
            self.trial.end(self.address, self.now())
        self.trial.counts["stopped"] += 1
        if self.random.random() < 0.2:
            await trio.sleep(self.trial.pause())
        if self.random.random() < 0.1:
            raise Boom

    def spawn_one(self) -> None:
        trial = self.trial
        if len(trial.refs) > MOST:
            return
        number = next(trial.next)
        kind = self.random.choice(KINDS)
        restart = self.random.choice(list(Restart))
        trial.stories[f"{self.address}/{number}"] = Story(self.life, self.strategy, restart, number)
        ref = self.spawn(
            partial(kind, trial, str(number)),
            name=str(number),
            restart=restart,
            capacity=self.random.choice([1, 2, 5]),
            grace=self.random.choice([0, 0.5, 2]),
        )
        trial.refs.append(ref)
        if self.random.random() < 0.5:
            self.watch_one(ref)

    def watch_one(self, ref: ActorRef[Any]) -> None:
        number = next(self.trial.next)
        self.watch(ref, lambda down: (down, number))

    async def handle(self, message: Any) -> None:
        with self.working():
            await self.react(message)

    @contextmanager
    def working(self) -> Iterator[None]:
        assert not self.at_work, "two messages at a time"
        self.at_work = True
        try:
            yield
        finally:
            self.at_work = False

    async def react(self, message: Any) -> None:
        trial = self.trial
        match message:
            case (Down() as down, int() as number):
                trial.downs[down.address, number] += 1
                return
            case Heard(number, life, answer):
                trial.heard[number] += 1
                assert life == self.life, "an answer to another life"
                with suppress(*ENDINGS, MailboxFull):
                    assert answer.get() == "answer"
                return
            case Tick(number, life, due):
                trial.ticks[number] += 1
                assert due <= self.now() + 1e-6
                # Of another life, it was in the mailbox already when that ended.
                assert life == self.life or due <= trial.stories[self.address].ended_at + 1e-6
                return
            case Rest(order):
                # The half of it that is handled comes before the next.
                trial.handled[self.address].append((order.sender, order.number + 0.5))
                message = order
            case Order() | Query() if message not in trial.passed_on:
                trial.handled[self.address].append((message.sender, message.number))
        other = self.random.choice(trial.refs)
        if isinstance(message, Query):
            await self.reply(message, other)
        elif not self.do_at_once(message.what, other):
            await self.do(message.what, other)

    def do_at_once(self, what: str, other: ActorRef[Any]) -> bool:
        """What needs no wait; false if *what* does."""
        trial = self.trial
        sender = f"{self.address}'s lives"
        match what:
            case "rest":
                pass
            case "crash":
                raise Boom
            case "stop":
                self.stop()
                trial.stories[self.address].over |= (
                    trial.stories[self.address].restart is not Restart.PERMANENT
                )
            case "spawn":
                self.try_to_spawn()
            case "request":
                trial.request(self, self.life, sender, other)
            case "timer":
                self.set_timer()
            case "helper":
                self.start_task(self.help, name="helper")
            case "watch":
                self.watch_one(other)
            case "stop_other":
                other.stop("another said so")
                trial.stories[other.address].over = True
            case "tell_at_once":
                trial.tell_at_once(sender, other)
            case "fan_out":
                trial.fan_out(sender)
            case _:
                return False
        return True

    async def do(self, what: str, other: ActorRef[Any]) -> None:
        trial = self.trial
        sender = f"{self.address}'s lives"
        match what:
            case "work":
                await trio.sleep(trial.pause())
            case "ask" | "tell":
                await trial.send(sender, other, self.address)
            case "both":
                async with trio.open_nursery() as nursery:
                    for number in range(2):
                        nursery.start_soon(trial.send, f"{sender} {number}", other, self.address)
                        other = self.random.choice(trial.refs)
            case "register" if trial.registry is not None:
                await self.use_registry(trial.registry, other)

    def try_to_spawn(self) -> None:
        with suppress(RuntimeError):  # it was told to stop meanwhile
            self.spawn_one()

    def set_timer(self) -> None:
        number, pause = next(self.trial.next), self.trial.pause()
        timer = self.after(pause, Tick(number, self.life, self.now() + pause))
        if self.random.random() < 0.3:
            timer.cancel()
            self.trial.ticks[number] = 1  # one more would be one too many

    async def use_registry(self, registry: ActorRef[Any], other: ActorRef[Any]) -> None:
        trial, key = self.trial, self.random.choice("abc")
        match self.random.choice(["name", "join", "leave", "who", "crash"]):
            case "name":
                await trial.ask(Register(key, other), registry, self.address)
            case "join":
                await trial.ask(Join(key, other), registry, self.address)
            case "leave":
                await trial.ask(Leave(key, other), registry, self.address)
            case "who":
                await trial.ask(WhereIs(key), registry, self.address)
                await trial.ask(Members(key), registry, self.address)
            case "crash":
                registry_crash = Register([], other)  # type: ignore[arg-type]
                await trial.ask(registry_crash, registry, self.address)

    async def reply(self, message: Any, other: ActorRef[Any]) -> None:
        trial = self.trial
        match message.what:
            case "answer":
                message.answer("answer")
            case "answer_twice":
                message.answer("answer")
                message.answer("another")
            case "put_off":
                self.start_task(self.answer_later, message, name="later")
            case "refuse":
                message.refuse(Boom())
            case "wrap":
                self.pass_on(message, Wrapped(message), other)
            case "pass_on" if other != self.ref:
                trial.passed_on.add(message)
                before = trial.owners[message]
                trial.owners[message] = other.address
                if not self.pass_on(message, message, other):
                    trial.owners[message] = before
            case "ask_back":
                await trial.send(f"{self.address}'s lives", other, self.address)
                message.answer("answer")
            case what if not self.do_at_once(what, other):
                await self.do(what, other)

    def pass_on(self, query: Query, message: object, other: ActorRef[Any]) -> bool:
        try:
            other.tell_nowait(message)
        except ActorError:
            query.refuse(Boom())
            return False
        return True

    async def answer_later(self, message: Query) -> None:
        await trio.sleep(self.trial.pause())
        message.answer("answer")

    async def help(self) -> None:
        await trio.sleep(self.trial.pause())
        if self.random.random() < 0.3:
            sender = f"helper {next(self.trial.next)}"
            await self.trial.send(sender, self.random.choice(self.trial.refs))
        if self.random.random() < 0.3:
            raise Boom


class Dropping(Wild):
    overflow = Overflow.DROP_OLDEST
    strategy = Strategy.ONE_FOR_ALL


class Forgetting(Wild):
    overflow = Overflow.DROP_NEWEST
    strategy = Strategy.REST_FOR_ONE


@frozen
class Soon(Later):
    """What is finished when all others of a fan-out have begun, for good or not."""

    random: Random

    def finish(self) -> None:
        if self.random.random() < 0.1:
            raise Boom


class Hasty(Wild):
    """Takes some of what it is told at once, as a whole or but the rest."""

    def consume(self, message: Any) -> Any:
        with self.working():
            if not isinstance(message, Order) or self.random.random() < 0.2:
                return message
            trial = self.trial
            trial.handled[self.address].append((message.sender, message.number))
            trial.counts["consumed"] += 1
            done = self.do_at_once(message.what, self.random.choice(trial.refs))
            if not done or self.random.random() < 0.2:
                return Rest(message)
            return None if self.random.random() < 0.5 else Soon(self.random)


class HastyDropping(Hasty):
    overflow = Overflow.DROP_OLDEST
    strategy = Strategy.REST_FOR_ONE


KINDS = (Wild, Dropping, Forgetting, Hasty, Hasty, HastyDropping)
