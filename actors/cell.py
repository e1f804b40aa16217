"""Running an actor through all of its lives.

A `Cell` is the constant part of an actor: address, mailbox, place in the tree, books. One task runs it from
spawn to end and makes a new `Life` for every start, so a restart never leaves the task.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import trio
from attrs import define, field

from .actor import Actor
from .ask import awaited
from .causality import Origin, here
from .children import Children
from .dead_letters import DeadLetters
from .deadlines import Deadlines
from .delivery import Delivery
from .envelope import Envelope
from .errors import ActorDied, QuestionDropped, weightiest
from .intake import Intake
from .life import Life
from .lifecycle import Crashed, ExitReason, State, Stopped
from .mailbox import Mailbox
from .ref import ActorRef, Recipient
from .restart import Restart, Strategy, Streak
from .tracing import Ledger, Observer
from .waiting import Wait
from .watching import Tell, Watcher, announce
from .world import World

log = logging.getLogger("actors")

# An actor that still runs so long after its cancellation is called stuck; again after twice that, and so on.
STUCK_AFTER = 5.0

CANCELLED = Stopped("cancelled")


@define(eq=False)
class Cell:
    """One actor as the runtime sees it. Its public face is `ActorRef`."""

    world: World[Cell]
    name: str
    address: str
    kind: type[Actor[Any]]
    restart: Restart
    grace: float
    mailbox: Mailbox
    parent: Life | None
    _factory: Callable[[], Actor[Any]]
    _first: Actor[Any] | None

    ledger: Ledger = field(init=False)
    clock: Callable[[], float] = field(init=False)
    deadlines: Deadlines = field(init=False)
    turns: Iterator[int] = field(init=False)
    deliveries: list[Delivery] = field(init=False)
    dead_letters: DeadLetters = field(init=False)
    observers: list[Observer] = field(init=False)
    life: Life | None = field(init=False)
    started_at: float = field(init=False)
    since: float = field(init=False)

    state: State = State.STARTING
    task: trio.lowlevel.Task | None = None
    current: Envelope | None = None
    because: Envelope | None = None
    """The message at hand, or the last one until there is nothing to do."""
    _born_because: tuple[int, Origin | None] = (0, None)
    errand: str = ""
    waits: list[Wait] = field(factory=list)
    claims: dict[tuple[str, str, str], int] | None = None
    """Its names and groups, by registry (see there), numbered: one that restarts asks the living."""
    watchers: dict[Watcher, list[Tell]] | None = None
    stop_reason: str | None = None
    """Told to end for good."""
    finish_reason: str | None = None
    """Has ended its present life itself."""
    reason: ExitReason | None = None
    """Why it is gone."""
    _streak: Streak | None = None
    _resetting: bool = False
    """Ends its present life because its siblings do."""
    _gate: trio.Event | None = None
    _changed: trio.Event | None = None

    def __attrs_post_init__(self) -> None:
        self.ledger = Ledger(self.mailbox.front)
        world = self.world
        self.deadlines, self.turns, self.deliveries = world.deadlines, world.turns, world.deliveries
        self.clock, self.dead_letters, self.observers = world.clock, world.dead_letters, world.observers
        self.started_at = self.since = self.clock()
        self.life = self._new_life()
        # What the first life does is because of whatever it was spawned for.
        spawner = here.get()
        if spawner is not None:
            self._born_because = spawner.cause, spawner.origin
        self.mailbox.owner = self
        world.enter(self)

    @property
    def ref(self) -> ActorRef[Any]:
        # Made when asked for: kept, it would be a cycle for the collector in every actor that ends.
        return ActorRef(self)

    @property
    def cause(self) -> int:
        """Of what it does (see `causality.Activity`); in its first `started`, what it was spawned for."""
        return self._born_because[0] if self.because is None else self.because.id

    @property
    def origin(self) -> Origin | None:
        return self._born_because[1] if self.because is None else self.because.origin

    @property
    def waiter(self) -> Cell:
        """It waits for itself (see `causality.Activity`)."""
        return self

    @property
    def actor(self) -> Actor[Any] | None:
        """The object of the present life."""
        return None if self.life is None else self.life.actor

    @property
    def requests(self) -> int:
        """How many of its requests are open."""
        return 0 if self.life is None else len(self.life.intake.requests or ())

    @property
    def beside(self) -> trio.Nursery | None:
        return None if self.life is None else self.life.nursery

    @property
    def pump(self) -> Callable[[], bool] | None:
        return self.world.pump

    # -- for its lives

    def make_actor(self) -> Actor[Any]:
        first, self._first = self._first, None
        return self._factory() if first is None else first

    def everybody(self) -> list[Recipient]:
        return list(self.world.cells.values())

    def new_child(self, life: Life, factory: Callable[[], Actor[Any]], **options: Any) -> Cell:
        return new_cell(self.world, life, factory, **options)

    def finish(self, reason: str) -> None:
        """The actor ends itself: its present life, and itself too unless it is permanent."""
        self._note_ender()
        if self.restart is not Restart.PERMANENT:
            self.stop(reason)
        elif self.finish_reason is None and self.life is not None:
            self.finish_reason = reason
            self.life.end()

    def close_mailbox(self) -> None:
        for envelope in self.mailbox.close():
            self.dead_letters.add(self.address, envelope.type, "recipient gone")
            if (promise := awaited(envelope.message)) is not None:
                promise.fail(ActorDied(self.address, envelope.message))

    def note_sent(self, envelope: Envelope) -> None:
        """*envelope* is in the mailbox now."""
        promise = awaited(envelope.message)
        if promise is not None and promise.owner is not self:
            promise.pass_on(self)
        for observer in self.observers:
            observer.sent(envelope, self.address, len(self.mailbox))

    def crash_consuming(self, envelope: Envelope, error: Exception) -> None:
        """*error* came of what it took at once."""
        self.current = self.because = envelope
        if self.life is not None:
            self.life.fail(error)

    def note_dropped(self, message: object) -> None:
        if (promise := awaited(message)) is not None:
            promise.fail(QuestionDropped(self.address, message))

    def enter(self, state: State) -> None:
        self.state, self.since = state, self.clock()
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
        for observer in self.observers:
            observer.changed(self.address, state)

    # -- stopping

    def stop(self, reason: str = "stopped") -> None:
        """Begin to end for good: no more messages after the one in hand."""
        if self.stop_reason is not None or self.life is None:
            return
        self.stop_reason, self.since = reason, self.clock()
        self._note_ender()
        self.life.end()
        self.resume()
        self.close_mailbox()

    def _note_ender(self) -> None:
        doer = here.get()
        if self.because is None and doer is not None and doer.waiter is self:
            # Its own consumer or helper said so while the handler waits: its goodbye comes of that.
            self._born_because = doer.cause, doer.origin

    async def wait_gone(self) -> None:
        await self._until(lambda: self.reason is not None)

    async def stop_and_wait(self, reason: str) -> None:
        """Stop, and cancel the actor if it needs longer than its grace."""
        self.stop(reason)
        await self._within_grace(lambda: self.reason is not None, reason)

    async def rest(self, reason: str) -> None:
        """End the present life, and stay between two until `resume`."""
        if not self.resting and self.stop_reason is None and self.life is not None:
            self._resetting = True
            self.life.end()
        await self._within_grace(lambda: self.resting or self.reason is not None, reason)

    @property
    def resting(self) -> bool:
        return self._gate is not None

    def resume(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()

    async def wait_begun(self) -> None:
        await self._until(lambda: self.life is None or self.life.begun or self.resting)

    async def _within_grace(self, over: Callable[[], bool], reason: str) -> None:
        with trio.move_on_after(self.grace):
            await self._until(over)
        if not over() and self.life is not None:
            # The present life, or, had it no time to begin, the one to come.
            self.life.cancel(f"{self.address}: {reason}; its grace of {self.grace:g} s is over")
        patience = self.grace + STUCK_AFTER  # `stopped` has its grace too
        while not over():
            with trio.move_on_after(patience):
                await self._until(over)
            # If it waits for its children, it is one of them that is named.
            if self.life is not None and not self.life.children and not over():
                # Python can't end it: it swallows the cancellation. So say who holds up the rest.
                log.error("%s was cancelled and still runs after %g s", self.address, patience)
                patience *= 2

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._changed is None:
                self._changed = trio.Event()
            await self._changed.wait()

    # -- the task

    async def run(self) -> None:
        """All lives of this actor. Raises nothing but what is meant for the whole program."""
        reason: ExitReason = CANCELLED
        passing: BaseException | None = None
        self.task = trio.lowlevel.current_task()
        around = here.get()
        here.set(self)
        try:
            while self.life is not None:
                ended = await self.life.live()
                if not await self._comes_back(ended):
                    reason = ended
                    break
                del ended
                self.life = self._new_life()
        except BaseExceptionGroup as group:
            passing = weightiest(group)
        finally:
            self._end(reason)
            here.set(around)  # the root runs in somebody else's task
        if passing is not None:
            raise passing  # here, and not above, lest it refer to the group, and the group to it

    def _new_life(self) -> Life:
        return Life(self, Children(self.kind.strategy), Intake(self))

    async def _comes_back(self, reason: ExitReason) -> bool:
        """Wait for the time of the next life; false if there is to be none."""
        if isinstance(reason, Crashed):
            log.error("%s crashed: %r", self.address, reason.error, exc_info=reason.error)
            self.ledger.note_crash(self.clock(), reason.error, self.current)
        self.current = None
        if self.stop_reason is not None or self.restart is Restart.TEMPORARY:
            return False
        if self._resetting:
            await self._pause(math.inf)
        else:
            finished = self.restart is Restart.TRANSIENT and not isinstance(reason, Crashed)
            if finished or self.parent is None or not self.parent.grants_restart(self.address):
                return False
            await self._restart_by_strategy(self.parent)
        self.finish_reason, self._resetting = None, False
        self.ledger.restarts += self.stop_reason is None
        self.because, self._born_because = None, (0, None)
        return self.stop_reason is None

    async def _restart_by_strategy(self, parent: Life) -> None:
        if self._streak is None:
            self._streak = Streak(parent.cell.kind.backoff)
        delay = self._streak.next_delay(self.clock(), self.world.random)
        if parent.children.strategy is Strategy.ONE_FOR_ONE:
            await self._pause(delay)
        else:
            parent.restart_group_of(self, delay)
            await self._pause(math.inf)

    async def _pause(self, seconds: float) -> None:
        """Wait between two lives: so long, or until `resume` or `stop`."""
        gate = self._gate = trio.Event()
        self.enter(State.RESTARTING)
        if seconds > 0.0:
            with trio.move_on_after(seconds):
                await gate.wait()
        else:
            await trio.lowlevel.checkpoint()
        self._gate = None

    def _end(self, reason: ExitReason) -> None:
        life, self.life = self.life, None
        self.reason = reason
        self.enter(State.GONE)
        self.close_mailbox()
        if life is not None:
            life.intake.fail_questions()
        self._factory, self._first = _no_more, None
        if self.parent is not None:
            self.parent.children.remove(self)
        self.world.leave(self)
        announce(self, reason)
        self.task = None


def new_cell(
    world: World[Cell],
    parent: Life | None,
    factory: Callable[[], Actor[Any]],
    *,
    name: str,
    restart: Restart,
    capacity: int | None = None,
    bearing: int | None = None,
    grace: float = 1.0,
) -> Cell:
    """A cell that is still to run. Its first actor is made at once: its class decides the mailbox."""
    address = name if parent is None else f"{parent.cell.address}/{name}"
    if address in world.cells:
        raise ValueError(f"there is an actor {address} already")
    first = factory()
    kind = type(first)
    mailbox = Mailbox(
        capacity or kind.capacity,
        kind.overflow,
        # Asked of every message, so not at all where the class has nothing to say.
        None if kind.conflation_key is Actor.conflation_key else kind.conflation_key,
        None if kind.weight is Actor.weight else kind.weight,
        bearing or math.inf,
    )
    return Cell(world, name, address, kind, restart, grace, mailbox, parent, factory, first)


def _no_more() -> Actor[Any]:
    # Instead of the factory of an actor that is gone, which may hold on to much.
    raise AssertionError("an actor that is gone does not come back")
