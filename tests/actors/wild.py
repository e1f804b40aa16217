"""Actors that tell, ask, watch, register, crash, stop and spawn at random, and the laws they check meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, pairwise
from random import Random
from typing import Any

import trio
from attrs import define, field, frozen

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
    Join,
    Leave,
    MailboxFull,
    Members,
    NameTaken,
    Overflow,
    Question,
    QuestionDropped,
    RecipientStopped,
    Register,
    Registry,
    Restart,
    RestartBudget,
    Strategy,
    WaitCycle,
    WhereIs,
)

from .puppets import Boom

ORDERS = "rest crash stop spawn work ask tell timer helper watch stop_other both register".split()
REPLIES = "answer answer_twice put_off refuse crash stop work never wrap pass_on ask_back".split()
ENDINGS = (AskTimeout, ActorDied, RecipientStopped, QuestionDropped, WaitCycle, NameTaken, Boom)
MOST = 40


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


@frozen
class Wrapped:
    """A question in another message: whoever gets it does not owe the answer."""

    query: Query
    what: str = "never"


@frozen
class Tick:
    """Sent by a timer of the life *life*."""

    number: int
    life: int
    due: float


@define(eq=False)
class Edge:
    """A handler of *waiter* waits, since *since*, for whoever owes it something."""

    waiter: str
    since: float
    whom: Callable[[], str]


@define(eq=False)
class Story:
    """What became of one actor, in all of its lives."""

    parent: int
    strategy: Strategy
    restart: Restart
    number: int
    open: bool = False
    began: int = 0
    ended: int = 0
    ended_at: float = 0.0
    over: bool = False


@define(eq=False)
class Trial:
    """One run: its dice, everybody who ever lived, and what they did."""

    random: Random
    system: ActorSystem
    refs: list[ActorRef[Any]] = field(factory=list)
    registry: ActorRef[Any] | None = None
    stories: dict[str, Story] = field(factory=dict)
    edges: list[Edge] = field(factory=list)
    owners: dict[Query, str] = field(factory=dict)
    passed_on: set[object] = field(factory=set)
    handled: defaultdict[str, list[tuple[str, int]]] = field(factory=lambda: defaultdict(list))
    downs: Counter[tuple[str, int]] = field(factory=Counter)
    ticks: Counter[int] = field(factory=Counter)
    counts: Counter[str] = field(factory=Counter)
    numbers: Counter[tuple[str, str]] = field(factory=Counter)
    next: Iterator[int] = field(factory=lambda: count(1))

    def pause(self) -> float:
        return self.random.choice([0, 0, 0.001, 0.1, 1, 3])

    async def send(self, sender: str, ref: ActorRef[Any], waiter: str = "") -> None:
        """Tell or ask *ref* something; whatever comes of it must be in the contract, and in time."""
        self.numbers[sender, ref.address] += 1
        number = self.numbers[sender, ref.address]
        if self.random.random() < 0.5:
            await self._tell(Order(sender, number, self.random.choice(ORDERS)), ref, waiter)
        else:
            query = Query(sender, number, self.random.choice(REPLIES))
            self.owners[query] = ref.address
            assert await self.ask(query, ref, waiter) in ("answer", None)

    async def _tell(self, order: Order, ref: ActorRef[Any], waiter: str) -> None:
        patience = self.pause()
        back: object = order
        try:
            if self.random.random() < 0.5:
                ref.tell_nowait(order)
            else:
                with trio.move_on_after(patience) as scope, self.waiting(waiter, lambda: ref.address) as edge:
                    await ref.tell(order)
                if scope.cancelled_caught and patience:
                    self.check_time_out(edge)
        except (MailboxFull, RecipientStopped) as error:
            back = error.message
        except WaitCycle as error:
            back = error.message
            self.check_cycle(error, waiter)
        assert back is order

    async def ask(self, query: Any, ref: ActorRef[Any], waiter: str = "") -> Any:
        timeout, begin = self.pause(), trio.current_time()
        self.counts["asked"] += 1
        try:
            with self.waiting(waiter, lambda: self.owners.get(query, ref.address)) as edge:
                return await ref.ask(query, timeout=timeout)
        except WaitCycle as error:
            self.check_cycle(error, waiter)
        except AskTimeout:
            if timeout:
                self.check_time_out(edge)
        except ENDINGS:
            pass
        finally:
            self.counts["settled"] += 1
            late = trio.current_time() - begin - timeout
            assert late < 1e-6, late  # the mock clock jumps by sums of floats
        return None

    # -- who waits for whom, as the trial sees it

    @contextmanager
    def waiting(self, waiter: str, whom: Callable[[], str]) -> Iterator[Edge]:
        edge = Edge(waiter, trio.current_time(), whom)
        if waiter:
            self.edges.append(edge)
        try:
            yield edge
        finally:
            if waiter:
                self.edges.remove(edge)

    def check_time_out(self, edge: Edge) -> None:
        """Of what timed out, no handlers waited for each other: that is refused, and does not time out."""
        reached, to_see = set[str](), [edge.whom()]
        while edge.waiter and to_see:
            address = to_see.pop()
            assert address != edge.waiter, f"{edge.waiter} waited in a cycle until its time was up"
            reached.add(address)
            now = trio.current_time()  # an edge of this very moment may still be refused
            on = [e.whom() for e in self.edges if e.waiter == address and e.since < now]
            to_see += [whom for whom in on if whom not in reached]

    def check_cycle(self, error: WaitCycle, waiter: str) -> None:
        """Each of those named waits for the next."""
        assert error.cycle[0] == waiter
        self.counts["cycles"] += 1
        real = {(edge.waiter, edge.whom()) for edge in self.edges}
        if not isinstance(error.message, type):  # else its question was passed on, and others ran since
            assert real.issuperset(pairwise((*error.cycle[1:], waiter))), error

    # -- lives

    def begin(self, address: str, life: int) -> None:
        story = self.stories[address]
        if story.began:
            assert story.restart is not Restart.TEMPORARY
            assert not story.over, f"{address} came back from a stop"
            for other in self._group(story):
                assert not other.open or other.began > story.ended, "a sibling's life outlasted the restart"
            self.counts["restarts"] += 1
        story.open, story.began = True, life

    def _group(self, story: Story) -> list[Story]:
        siblings = [other for other in self.stories.values() if other.parent == story.parent]
        match story.strategy:
            case Strategy.ONE_FOR_ALL:
                return siblings
            case Strategy.REST_FOR_ONE:
                return [other for other in siblings if other.number > story.number]
        return []

    def end(self, address: str, now: float) -> None:
        story = self.stories[address]
        story.open, story.ended, story.ended_at = False, next(self.next), now


class Wild(Actor[Any]):
    backoff = Backoff(first=0.1, longest=1)

    def __init__(self, trial: Trial, name: str) -> None:
        self.trial = trial
        self.name = name
        self.random = trial.random
        self.life = 0

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
        trial = self.trial
        match message:
            case (Down() as down, int() as number):
                trial.downs[down.address, number] += 1
                return
            case Tick(number, life, due):
                trial.ticks[number] += 1
                assert due <= self.now() + 1e-6
                # Of another life, it was in the mailbox already when that ended.
                assert life == self.life or due <= trial.stories[self.address].ended_at + 1e-6
                return
            case Order() | Query() if message not in trial.passed_on:
                trial.handled[self.address].append((message.sender, message.number))
        other = self.random.choice(trial.refs)
        if isinstance(message, Query):
            await self.reply(message, other)
        else:
            await self.do(message.what, other)

    async def do(self, what: str, other: ActorRef[Any]) -> None:
        trial = self.trial
        sender = f"{self.address}'s lives"
        match what:
            case "crash":
                raise Boom
            case "stop":
                self.stop()
                trial.stories[self.address].over |= (
                    trial.stories[self.address].restart is not Restart.PERMANENT
                )
            case "spawn":
                self.try_to_spawn()
            case "work":
                await trio.sleep(trial.pause())
            case "ask" | "tell":
                await trial.send(sender, other, self.address)
            case "both":
                async with trio.open_nursery() as nursery:
                    for number in range(2):
                        nursery.start_soon(trial.send, f"{sender} {number}", other, self.address)
                        other = self.random.choice(trial.refs)
            case "timer":
                self.set_timer()
            case "helper":
                self.start_task(self.help, name="helper")
            case "watch":
                self.watch_one(other)
            case "stop_other":
                other.stop("another said so")
                trial.stories[other.address].over = True
            case "register" if trial.registry is not None:
                await self.use_registry(trial.registry, other)

    def try_to_spawn(self) -> None:
        try:
            self.spawn_one()
        except RuntimeError as error:
            assert "can't start" in str(error)  # it was told to stop meanwhile

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
            case what:
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


KINDS = (Wild, Dropping, Forgetting)
