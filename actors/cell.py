"""Running an actor: its task, its lives, its messages.

A `Cell` is the constant part of an actor: address, mailbox, place in the tree, books. One task runs it from
spawn to end and makes a new `Actor` object for every life, so a restart never leaves the task. Children run
in a nursery of their parent's life: when the life ends they are stopped, newest first.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from .actor import Actor
from .ask import Question, Unanswered, promise_of
from .causality import Errand, Origin, here
from .children import Child, Children
from .errors import ActorDied, MailboxClosed, RestartBudgetSpent, sole
from .lifecycle import Crashed, Down, ExitReason, State, Stopped
from .mailbox import Envelope, Mailbox
from .ref import ActorRef
from .restart import Restart, RestartBudget, Strategy, Streak
from .timers import Timer, Timers
from .tracing import Ledger
from .waiting import Wait
from .world import World

N = TypeVar("N")

log = logging.getLogger("actors")

# An actor whose mailbox never empties lets others run after so many messages, or seconds.
TURN_MESSAGES = 64
TURN_SECONDS = 0.001
# How long after its cancellation a task that still runs is called stuck, first; then twice as long each time.
STUCK_AFTER = 5.0


class Cell:
    """One actor as the runtime sees it. Its public face is `ActorRef`."""

    __slots__ = (
        "_begun",
        "_budget",
        "_changed",
        "_ending",
        "_failure",
        "_finish",
        "_gate",
        "_life",
        "_nursery",
        "_resetting",
        "_stop_reason",
        "_streak",
        "_timers",
        "_unanswered",
        "_watched",
        "_watchers",
        "actor",
        "address",
        "backoff",
        "cause",
        "children",
        "claims",
        "clock",
        "current",
        "dead_letters",
        "factory",
        "grace",
        "kind",
        "ledger",
        "mailbox",
        "name",
        "observers",
        "origin",
        "parent",
        "reason",
        "restart",
        "since",
        "started_at",
        "state",
        "task",
        "waits",
        "world",
    )

    errand = ""
    """A cell's own task is on no errand (see `causality.Activity`)."""

    def __init__(
        self,
        world: World[Cell],
        parent: Cell | None,
        factory: Callable[[], Actor[Any]],
        *,
        name: str,
        address: str,
        restart: Restart,
        capacity: int | None,
        bearing: int | None,
        grace: float,
        kind: type[Actor[Any]],
    ) -> None:
        self.world = world
        self.parent = parent
        self.factory = factory
        self.name = name
        self.address = address
        self.restart = restart
        self.grace = grace
        self.kind = kind
        self.mailbox = Mailbox(
            capacity or kind.capacity,
            kind.overflow,
            # Asked of every message, so not at all where the class has nothing to say.
            None if kind.conflation_key is Actor.conflation_key else kind.conflation_key,
            None if kind.weight is Actor.weight else kind.weight,
            bearing or math.inf,
        )
        self.dead_letters = world.dead_letters
        self.observers = world.observers
        self.clock = world.clock
        self.ledger = Ledger()
        self.started_at = world.clock()
        self.task: trio.lowlevel.Task | None = None
        self.actor: Actor[Any] | None = None
        # What the first life does is because of whatever it was spawned for.
        spawner = here.get()
        self.cause = 0 if spawner is None else spawner.cause
        self.origin: Origin | None = None if spawner is None else spawner.origin
        self.current: Envelope | None = None
        self.waits: list[Wait] = []
        self.claims: set[Any] | None = None
        self.children = Children(kind.strategy)
        self.backoff = kind.backoff
        self.reason: ExitReason | None = None
        self._streak = Streak(kind.backoff if parent is None else parent.backoff)
        self._budget: RestartBudget | None = None
        self._nursery: trio.Nursery | None = None
        self._life = trio.CancelScope()
        self._timers = Timers()
        self._failure: BaseException | None = None
        self._ending = False  # the present life takes no more messages, because of any of these:
        self._stop_reason: str | None = None  # told to end for good
        self._finish: str | None = None  # ended itself
        self._resetting = False  # restarts with its siblings
        self._begun = False
        self._gate: trio.Event | None = None
        self._changed: trio.Event | None = None
        self._watchers: dict[Cell, list[Callable[[Down], Any]]] = {}
        self._watched: set[Cell] = set()
        self._unanswered = Unanswered()
        self.state = State.STARTING
        self._set(State.STARTING)

    # -- what an actor may ask of the runtime (see `actor.Context`)

    @property
    def ref(self) -> ActorRef[Any]:
        # Made when asked for: kept, it would be a cycle for the collector in every actor that ends.
        return ActorRef(self)

    @property
    def waiter(self) -> Cell:
        return self

    def spawn(
        self,
        factory: Callable[[], Actor[N]],
        *,
        name: str,
        restart: Restart = Restart.PERMANENT,
        capacity: int | None = None,
        bearing: int | None = None,
        grace: float = 1.0,
    ) -> ActorRef[N]:
        nursery = self._nursery
        leaving = self._stop_reason is not None or self._finish is not None
        if nursery is None or leaving or self.state is State.STOPPING:
            raise RuntimeError(f"{self.address} is not running; it can't start {name}")
        if name in self.children:
            raise ValueError(f"{self.address} has a child named {name} already")
        first = factory()  # the class decides the mailbox; the object serves as the first life
        cell = Cell(
            self.world,
            self,
            _first_then(first, factory),
            name=name,
            address=f"{self.address}/{name}",
            restart=restart,
            capacity=capacity,
            bearing=bearing,
            grace=grace,
            kind=type(first),
        )
        self.children.add(cell)
        self.world.enter(cell)
        nursery.start_soon(cell.run, name=f"actor {cell.address}")
        return cell.ref

    def start_task(self, task: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        nursery = self._nursery
        if nursery is None:
            raise RuntimeError(f"{self.address} is not running; it can't start {name}")
        doer = here.get() or self
        errand = Errand(self.address, name, doer.cause, doer.origin, self)
        nursery.start_soon(self._run_errand, errand, task, args, name=f"actor {self.address}: {name}")

    def after(self, seconds: float, message: Any) -> Timer:
        if self._nursery is None:
            raise RuntimeError(f"{self.address} is not running; it can't start a timer")
        setter = here.get() or self
        timer = self._timers.add(self.clock() + seconds, message, setter.cause, setter.origin)
        self.mailbox.ring()  # it may be the next one now
        return timer

    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], Any]) -> None:
        watched = ref._recipient
        assert isinstance(watched, Cell)
        if watched.reason is not None:
            self._hear(tell(Down(watched.address, watched.reason)))
        else:
            watched._watchers.setdefault(self, []).append(tell)
            self._watched.add(watched)

    def finish(self, reason: str) -> None:
        if self.restart is not Restart.PERMANENT:
            self.stop(reason)
        elif self._finish is None:
            self._finish = reason
            self._end_life()

    def now(self) -> float:
        return self.clock()

    # -- stopping

    def stop(self, reason: str = "stopped") -> None:
        """Begin to end for good: no more messages after the one in hand."""
        if self._stop_reason is not None:
            return
        self._stop_reason = reason
        self._end_life()
        self.resume()
        self._close_mailbox()

    async def wait_gone(self) -> None:
        await self._until(lambda: self.reason is not None)

    async def stop_and_wait(self, reason: str) -> None:
        """Stop, and cancel the actor if it needs longer than its grace."""
        self.stop(reason)
        await self._within_grace(lambda: self.reason is not None, reason)

    async def rest(self, reason: str) -> None:
        """End the present life, and stay between two until `resume`."""
        if not self.resting and self._stop_reason is None:
            self._resetting = True
            self._end_life()
        await self._within_grace(lambda: self.resting or self.reason is not None, reason)

    @property
    def resting(self) -> bool:
        return self._gate is not None

    def resume(self) -> None:
        if self._gate is not None:
            self._gate.set()
            self._gate = None
            self._begun = False

    async def wait_begun(self) -> None:
        await self._until(lambda: self._begun or self.resting or self.reason is not None)

    def _end_life(self) -> None:
        self._ending = True
        self.mailbox.ring()

    async def _within_grace(self, over: Callable[[], bool], reason: str) -> None:
        with trio.move_on_after(self.grace):
            await self._until(over)
        if over():
            return
        # The present life, or, had it no time to begin, the one to come.
        self._life.cancel(reason=f"{self.address}: {reason}; its grace of {self.grace:g} s is over")
        patience = STUCK_AFTER
        while not over():
            with trio.move_on_after(patience):
                await self._until(over)
            if not over():
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
        reason: ExitReason = Stopped("cancelled")
        self.task = trio.lowlevel.current_task()
        token = here.set(self)
        try:
            while await self._comes_back(ended := await self._live()):
                pass
            reason = ended
        finally:
            self._end(reason)
            self.task = None
            here.reset(token)

    async def _live(self) -> ExitReason:
        """One life, from `started` to `stopped`."""
        self._failure = None
        self._set(State.STARTING)
        try:
            actor = self.factory()
            actor.context = self
            self._budget = actor.budget()
        except Exception as error:
            return Crashed(sole(error))
        self.actor = actor
        reason: ExitReason = Stopped("cancelled")
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                with self._life:
                    try:
                        await actor.started()
                        self._begun = True
                        self._set(State.IDLE)
                        await self._handle_messages(actor)
                    except Exception as error:
                        self._fail(error)
                self._set(State.STOPPING)
                self._timers.clear()
                if self.restart is Restart.TEMPORARY:
                    self._close_mailbox()
                self._unanswered.fail(self.address)
                await self.children.stop_all("parent stops")
                nursery.cancel_scope.cancel(reason=f"{self.address} ends")
            reason = self._outcome()
        finally:
            self._nursery = None
            self._life = trio.CancelScope()
            self.children = Children(self.children.strategy)
            self._unwatch()
            await self._say_goodbye(actor, reason)
            self.actor = None
        return reason

    def _outcome(self) -> ExitReason:
        if self._failure is not None:
            return Crashed(self._failure)
        return Stopped(self._stop_reason or self._finish or "restarts with its siblings")

    async def _handle_messages(self, actor: Actor[Any]) -> None:
        mailbox, clock, ledger, observers = self.mailbox, self.clock, self.ledger, self.observers
        left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS
        while not self._ending:
            if self._timers:
                self._send_due()
            envelope = mailbox.take()
            if envelope is None:
                await self._wait_for_messages()
                left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS
                continue
            message = envelope.message
            envelope.began_at = now = clock()
            if envelope.deadline <= now or (isinstance(message, Question) and not self._expect(message)):
                ledger.expired += 1
                self.dead_letters.add(self.address, envelope.type, "expired")
                continue
            self.current, self.cause, self.origin = envelope, envelope.id, envelope.origin
            for observer in observers:
                observer.began(envelope, self.address, len(mailbox))
            try:
                await actor.handle(message)
            except BaseException as error:
                self._put_down(envelope, error)
                raise
            del message  # it may be large, and the next may be long in coming
            self.current = None
            ledger.note(envelope, now := clock())
            if observers:
                self._tell_ended(envelope, None)
            left -= 1
            if left == 0 or now >= turn_ends:
                await trio.lowlevel.checkpoint()
                left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS

    def _put_down(self, envelope: Envelope, error: BaseException) -> None:
        self.ledger.note(envelope, self.clock())
        self._tell_ended(envelope, error)

    def _tell_ended(self, envelope: Envelope, error: BaseException | None) -> None:
        for observer in self.observers:
            observer.ended(envelope, self.address, error)

    async def _wait_for_messages(self) -> None:
        self.cause, self.origin = 0, None
        self.since = self.clock()
        if self._timers:
            with trio.CancelScope(deadline=self._timers.next_due()):
                await self.mailbox.wait()
        else:
            await self.mailbox.wait()
        # Woken or not, who was cancelled meanwhile takes no message: it is for the next life.
        await trio.lowlevel.checkpoint_if_cancelled()

    def _expect(self, question: Question[Any, Any]) -> bool:
        """Note *question* as one to be answered; false if nobody waits for the answer any more."""
        promise = promise_of(question)
        if promise is None:
            return True  # it was told: its answer goes nowhere
        if promise.settled:
            return False
        self._unanswered.expect(promise, question)
        return True

    def _send_due(self) -> None:
        while (timer := self._timers.pop_due(self.clock())) is not None:
            envelope = Envelope(timer.take(), timer.due)
            envelope.sender, envelope.cause = self.address, timer.cause
            envelope.origin = timer.origin or envelope.origin
            self._enqueue(envelope)

    async def _say_goodbye(self, actor: Actor[Any], reason: ExitReason) -> None:
        with trio.CancelScope(shield=True, deadline=self.clock() + self.grace) as scope:
            try:
                await actor.stopped(reason)
            except Exception:
                log.exception("%s failed while stopping", self.address)
        if scope.cancelled_caught:
            log.warning("%s was cut short in `stopped` after its grace of %g s", self.address, self.grace)

    async def _comes_back(self, reason: ExitReason) -> bool:
        crashed = isinstance(reason, Crashed)
        if isinstance(reason, Crashed):
            log.error("%s crashed: %r", self.address, reason.error, exc_info=reason.error)
            self.ledger.note_crash(self.clock(), reason.error, self.current)
        self.current, self.cause, self.origin = None, 0, None
        if self._stop_reason is not None or self.restart is Restart.TEMPORARY:
            return False
        if self._resetting:
            await self._pause(math.inf)
        elif (not crashed and self.restart is Restart.TRANSIENT) or not self._may_restart():
            return False
        else:
            await self._restart_by_strategy()
        self._ending, self._finish, self._resetting = self._stop_reason is not None, None, False
        return self._stop_reason is None

    def _may_restart(self) -> bool:
        return self.parent is not None and self.parent._grants_restart(self)

    async def _restart_by_strategy(self) -> None:
        parent = self.parent
        assert parent is not None
        delay = self._streak.next_delay(self.clock(), self.world.random)
        if parent.children.strategy is Strategy.ONE_FOR_ONE:
            await self._pause(delay)
        else:
            self._gate = trio.Event()
            parent._restart_group(self, delay)
            await self._pause(math.inf)

    async def _pause(self, seconds: float) -> None:
        """Wait between two lives: so long, or until `resume` or `stop`."""
        self.ledger.restarts += 1
        gate = self._gate = self._gate or trio.Event()
        self._set(State.RESTARTING)
        with trio.move_on_after(seconds):
            await gate.wait()
        self._gate = None
        self._begun = False

    def _restart_group(self, child: Child, delay: float) -> None:
        children = self.children
        children.note_failed(child, delay)
        if not children.conducting:
            children.conducting = True
            self.start_task(children.restart_groups, name="restarting its children")

    def _grants_restart(self, child: Cell) -> bool:
        """Spend a restart on *child*; if none is left this actor fails too, and its parent decides."""
        budget = self._budget
        assert budget is not None
        if self._ending or self.state is State.STOPPING:
            return False
        if budget.allows(self.clock()):
            return True
        self._fail(RestartBudgetSpent(self.address, child.address, budget.restarts, budget.within))
        return False

    def _fail(self, error: BaseException) -> None:
        """Crash this life; nothing to do between two. The first failure counts: others may come of it."""
        if self._nursery is None:
            return
        if self._failure is None:
            self._failure = sole(error)
        self._ending = True
        self._life.cancel(reason=f"{self.address} crashed: {type(error).__name__}")

    async def _run_errand(
        self, errand: Errand, task: Callable[..., Awaitable[None]], args: tuple[Any, ...]
    ) -> None:
        here.set(errand)
        try:
            await task(*args)
        except Exception as error:
            self._fail(error)

    def _hear(self, message: Any) -> None:
        self._enqueue(Envelope(message, self.clock()))

    def _enqueue(self, envelope: Envelope) -> None:
        try:
            self.mailbox.put_urgent(envelope)
        except MailboxClosed:
            self.dead_letters.add(self.address, envelope.type, "recipient gone")
            return
        for observer in self.observers:
            observer.sent(envelope, self.address, len(self.mailbox))

    # -- the end

    def _close_mailbox(self) -> None:
        for envelope in self.mailbox.close():
            self.dead_letters.add(self.address, envelope.type, "recipient gone")
            promise = promise_of(envelope.message)
            if promise is not None and not promise.settled:
                promise.fail(ActorDied(self.address, envelope.message))

    def _end(self, reason: ExitReason) -> None:
        self.reason = reason
        self._set(State.GONE)
        self._close_mailbox()
        self._unanswered.fail(self.address)
        self.factory = _no_more
        if self.parent is not None:
            self.parent.children.remove(self)
        self.world.leave(self)
        self._unwatch()
        for watcher, tells in self._watchers.items():
            watcher._watched.discard(self)
            for tell in tells:
                watcher._learn(tell, Down(self.address, reason))
        self._watchers.clear()

    def _unwatch(self) -> None:
        """A watch lasts as long as the life that set it."""
        for watched in self._watched:
            watched._watchers.pop(self, None)
        self._watched.clear()

    def _learn(self, tell: Callable[[Down], Any], down: Down) -> None:
        try:
            message = tell(down)
        except Exception as error:
            self._fail(error)  # its own doing, and not the trouble of whoever it watched
        else:
            self._hear(message)

    def _set(self, state: State) -> None:
        self.state, self.since = state, self.clock()
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
        for observer in self.observers:
            observer.changed(self.address, state)


def _first_then(first: Actor[N], factory: Callable[[], Actor[N]]) -> Callable[[], Actor[N]]:
    """A factory that gives *first* once, and then what *factory* makes."""
    unused = [first]
    return lambda: unused.pop() if unused else factory()


def _no_more() -> Actor[Any]:
    # Instead of the factory of an actor that is gone, which may hold on to much.
    raise AssertionError("an actor that is gone does not come back")
