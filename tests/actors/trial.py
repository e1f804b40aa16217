"""One run of random actors: its dice, its books, and the laws that are checked while it lasts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from random import Random
from typing import Any

import trio
from attrs import define, field, frozen

from actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    Answer,
    AskTimeout,
    FanOut,
    MailboxFull,
    NameTaken,
    Question,
    QuestionDropped,
    RecipientStopped,
    Restart,
    Strategy,
    WaitCycle,
)

from .puppets import Boom

ORDERS = [
    *("rest", "crash", "stop", "spawn", "work", "ask", "tell"),
    *("timer", "helper", "watch", "stop_other", "both", "register", "request", "request"),
    *("tell_at_once", "fan_out"),
]
REPLIES = [
    *("answer", "answer_twice", "put_off", "refuse", "crash", "stop"),
    *("work", "never", "wrap", "pass_on", "ask_back"),
]
ENDINGS: tuple[type[Exception], ...] = (
    AskTimeout,
    ActorDied,
    RecipientStopped,
    QuestionDropped,
    WaitCycle,
    NameTaken,
    Boom,
)


@frozen
class Order:
    """Number *number* of *sender*, who counts for each receiver."""

    sender: str
    number: int
    what: str


@frozen
class Rest:
    """What was left of an order that was begun at once."""

    order: Order


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
class Heard:
    """What came of request number *number* of the life *life*."""

    number: int
    life: int
    answer: Answer[str]


@frozen
class Tick:
    """Sent by a timer of the life *life*."""

    number: int
    life: int
    due: float


def _is_of(order: Order, back: object) -> bool:
    """Whether *back* is it, or what was left of it."""
    return back is order or (isinstance(back, Rest) and back.order is order)


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
    handled: defaultdict[str, list[tuple[str, float]]] = field(factory=lambda: defaultdict(list))
    downs: Counter[tuple[str, int]] = field(factory=Counter)
    ticks: Counter[int] = field(factory=Counter)
    heard: Counter[int] = field(factory=Counter)
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
        if self.random.random() < 0.5:
            self._tell_nowait(order, ref)
            return
        back: object = order
        try:
            with trio.move_on_after(patience) as scope, self.waiting(waiter, lambda: ref.address) as edge:
                await ref.tell(order)
            if scope.cancelled_caught and patience:
                self.check_time_out(edge)
        except (MailboxFull, RecipientStopped) as error:
            back = error.message
        except WaitCycle as error:
            back = error.message
            self.check_cycle(error, waiter)
        assert _is_of(order, back)

    def tell_at_once(self, sender: str, ref: ActorRef[Any]) -> None:
        """As `send` tells, but for one who can't wait."""
        self.numbers[sender, ref.address] += 1
        self._tell_nowait(Order(sender, self.numbers[sender, ref.address], self.random.choice(ORDERS)), ref)

    def _tell_nowait(self, order: Order, ref: ActorRef[Any]) -> None:
        back: object = order
        try:
            ref.tell_nowait(order)
        except (MailboxFull, RecipientStopped) as error:
            back = error.message
        assert _is_of(order, back)

    def fan_out(self, sender: str) -> None:
        """Tell some of all the same, a message or more; its number is its own, and grows for each of them."""
        some = self.random.sample(self.refs, min(len(self.refs), self.random.choice([1, 3, 9])))
        orders = [self.next_to_many(sender) for _ in range(self.random.choice([1, 1, 3]))]
        with FanOut(some) as out:
            for order in orders:
                out.tell(order)
        assert set(out.untold) <= set(some)
        assert len(set(out.untold)) == len(out.untold)

    def next_to_many(self, sender: str) -> Order:
        sender = f"{sender}, to many"
        self.numbers[sender, ""] += 1
        return Order(sender, self.numbers[sender, ""], self.random.choice(ORDERS))

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

    def request(self, me: Actor[Any], life: int, sender: str, ref: ActorRef[Any]) -> None:
        """Have *me* ask *ref* without waiting; it must hear of it in time, once, and never raise."""
        self.numbers[sender, ref.address] += 1
        query = Query(sender, self.numbers[sender, ref.address], self.random.choice(REPLIES))
        self.owners[query] = ref.address
        number, timeout, begin = next(self.next), self.pause(), trio.current_time()

        def then(answer: Answer[str]) -> Heard:
            assert trio.current_time() - begin - timeout < 1e-6
            assert not isinstance(answer.error, WaitCycle)
            return Heard(number, life, answer)

        me.request(ref, query, then, timeout=timeout)

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
