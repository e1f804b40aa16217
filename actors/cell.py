"""Running an actor: its task, its lives, its children.

A `Cell` is the constant part of an actor: address, mailbox, place in the tree. One task runs it from spawn to
end and makes a new `Actor` object for every life, so a restart never leaves the task. Children run in a
nursery of their parent's life: when the life ends they are stopped, newest first.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar

import trio
from attrs import define

from .actor import Actor, Timer
from .ask import Unanswered, promise_of
from .dead_letters import DeadLetters
from .errors import ActorDied, MailboxClosed, RestartBudgetSpent, sole
from .lifecycle import Crashed, Down, ExitReason, State, Stopped
from .mailbox import Envelope, Mailbox
from .ref import ActorRef
from .restart import Restart, RestartBudget, Streak

N = TypeVar("N")

log = logging.getLogger("actors")


@define
class World:
    """What all cells of one system share."""

    dead_letters: DeadLetters
    random: Random
    cells: dict[str, Cell]


class Cell:
    """One actor as the runtime sees it. Its public face is `ActorRef`."""

    def __init__(
        self,
        world: World,
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
        self.mailbox = Mailbox(
            capacity or kind.capacity,
            kind.overflow,
            # Asked of every message, so not at all where the class has nothing to say.
            None if kind.conflation_key is Actor.conflation_key else kind.conflation_key,
            None if kind.weight is Actor.weight else kind.weight,
            bearing or math.inf,
        )
        self.dead_letters = world.dead_letters
        self.state = State.STARTING
        self.since = trio.current_time()
        self.restarts = 0
        self.handled = 0
        self.current: str | None = None
        self.children: dict[str, Cell] = {}
        self._nursery: trio.Nursery | None = None
        self._life = trio.CancelScope()
        self._failure: BaseException | None = None
        self._budget: RestartBudget | None = None
        self.backoff = kind.backoff
        self._streak = Streak(kind.backoff if parent is None else parent.backoff)
        self._stop_reason: str | None = None
        self._stopping = trio.Event()
        self._gone = trio.Event()
        self._watchers: dict[Cell, list[Callable[[Down], Any]]] = {}
        self._watched: set[Cell] = set()
        self._unanswered = Unanswered()
        self.reason: ExitReason | None = None

    # -- what an actor may ask of the runtime (see `actor.Context`)

    @property
    def ref(self) -> ActorRef[Any]:
        # Made when asked for: kept, it would be a cycle for the collector in every actor that ends.
        return ActorRef(self)

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
        if nursery is None or self._stop_reason is not None or self.state is State.STOPPING:
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
        self.children[name] = self.world.cells[cell.address] = cell
        nursery.start_soon(cell.run, name=f"actor {cell.address}")
        return cell.ref

    def start_task(self, task: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        nursery = self._nursery
        if nursery is None:
            raise RuntimeError(f"{self.address} is not running; it can't start {name}")
        nursery.start_soon(self._run_helper, task, args, name=f"actor {self.address}: {name}")

    def after(self, seconds: float, message: Any) -> Timer:
        timer = Timer()
        self.start_task(self._send_later, timer, seconds, message, name=f"timer {type(message).__name__}")
        return timer

    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], Any]) -> None:
        watched = ref._recipient
        assert isinstance(watched, Cell)
        if watched.reason is not None:
            self._hear(tell(Down(watched.address, watched.reason)))
        else:
            watched._watchers.setdefault(self, []).append(tell)
            self._watched.add(watched)

    def now(self) -> float:
        return trio.current_time()

    # -- stopping

    def stop(self, reason: str = "stopped") -> None:
        """Begin to end for good: no more messages after the one in hand."""
        if self._stop_reason is not None:
            return
        self._stop_reason = reason
        self._stopping.set()
        self._close_mailbox()

    async def wait_gone(self) -> None:
        await self._gone.wait()

    async def stop_and_wait(self, reason: str) -> None:
        """Stop, and cancel the actor if it needs longer than its grace."""
        self.stop(reason)
        with trio.move_on_after(self.grace):
            await self._gone.wait()
        if not self._gone.is_set():
            self._life.cancel()  # the present one, or, had it no time to begin, the one to come
            await self._gone.wait()

    # -- the task

    async def run(self) -> None:
        """All lives of this actor. Raises nothing but what is meant for the whole program."""
        reason: ExitReason = Stopped("cancelled")
        try:
            while await self._comes_back(ended := await self._live()):
                pass
            reason = ended
        finally:
            self._end(reason)

    async def _live(self) -> ExitReason:
        """One life, from `started` to `stopped`."""
        self._failure = None
        self._set(State.STARTING)
        actor: Actor[Any] | None = None
        try:
            actor = self.factory()
            actor.context = self
            self._budget = actor.budget()
        except Exception as error:
            return Crashed(sole(error))
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            with self._life:
                try:
                    await actor.started()
                    await self._handle_messages(actor)
                except MailboxClosed:
                    pass
                except Exception as error:
                    self._fail(error)
            self._set(State.STOPPING)
            if self.restart is Restart.TEMPORARY:
                self._close_mailbox()
            self._unanswered.fail(self.address)
            await self._stop_children()
            nursery.cancel_scope.cancel()
        self._nursery = None
        self._life = trio.CancelScope()
        self._unwatch()
        reason = self._outcome()
        await self._say_goodbye(actor, reason)
        return reason

    def _outcome(self) -> ExitReason:
        if self._failure is not None:
            return Crashed(self._failure)
        return Stopped(self._stop_reason or "finished")

    async def _handle_messages(self, actor: Actor[Any]) -> None:
        mailbox = self.mailbox
        while True:
            self.state = State.IDLE
            envelope = await mailbox.get()
            message = envelope.message
            if envelope.deadline <= trio.current_time():
                self.dead_letters.add(self.address, type(message), "expired")
                continue
            self._unanswered.expect(message)
            self.current, self.state, self.since = type(message).__name__, State.HANDLING, trio.current_time()
            await actor.handle(message)
            self.handled += 1
            self.current = None
            del envelope, message  # they may be large, and the next may be long in coming

    async def _stop_children(self) -> None:
        while self.children:
            await next(reversed(self.children.values())).stop_and_wait("parent stops")

    async def _say_goodbye(self, actor: Actor[Any], reason: ExitReason) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self.grace):
            try:
                await actor.stopped(reason)
            except Exception:
                log.exception("%s failed while stopping", self.address)

    async def _comes_back(self, reason: ExitReason) -> bool:
        if isinstance(reason, Crashed):
            log.error("%s crashed: %r", self.address, reason.error, exc_info=reason.error)
        if self._stop_reason is not None or self.restart is Restart.TEMPORARY:
            return False
        if self.restart is Restart.TRANSIENT and not isinstance(reason, Crashed):
            return False
        parent = self.parent
        if parent is None or not parent._grants_restart(self):
            return False
        self.restarts += 1
        self._set(State.RESTARTING)
        with trio.move_on_after(self._streak.next_delay(trio.current_time(), self.world.random)):
            await self._stopping.wait()
        return self._stop_reason is None

    def _grants_restart(self, child: Cell) -> bool:
        """Spend a restart on *child*; if none is left this actor fails too, and its parent decides."""
        budget = self._budget
        assert budget is not None
        if self._stop_reason is not None or self.state is State.STOPPING:
            return False
        if budget.allows(trio.current_time()):
            return True
        self._fail(RestartBudgetSpent(self.address, child.address, budget.restarts, budget.within))
        return False

    def _fail(self, error: BaseException) -> None:
        """Crash this life; nothing to do between two. The first failure counts: others may come of it."""
        if self._nursery is None:
            return
        if self._failure is None:
            self._failure = sole(error)
        self._life.cancel()

    async def _run_helper(self, task: Callable[..., Awaitable[None]], args: tuple[Any, ...]) -> None:
        try:
            await task(*args)
        except Exception as error:
            self._fail(error)

    async def _send_later(self, timer: Timer, seconds: float, message: Any) -> None:
        with timer._scope:
            await trio.sleep(seconds)
            if self.state is not State.STOPPING:
                self._hear(message)

    def _hear(self, message: Any) -> None:
        try:
            self.mailbox.put_urgent(Envelope(message))
        except MailboxClosed:
            self.dead_letters.add(self.address, type(message), "recipient gone")

    # -- the end

    def _close_mailbox(self) -> None:
        for envelope in self.mailbox.close():
            self.dead_letters.add(self.address, type(envelope.message), "recipient gone")
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
            self.parent.children.pop(self.name, None)
        self.world.cells.pop(self.address, None)
        self._unwatch()
        for watcher, tells in self._watchers.items():
            watcher._watched.discard(self)
            for tell in tells:
                watcher._learn(tell, Down(self.address, reason))
        self._gone.set()

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
        self.state, self.current, self.since = state, None, trio.current_time()


def _first_then(first: Actor[N], factory: Callable[[], Actor[N]]) -> Callable[[], Actor[N]]:
    """A factory that gives *first* once, and then what *factory* makes."""
    unused = [first]
    return lambda: unused.pop() if unused else factory()


def _no_more() -> Actor[Any]:
    # Instead of the factory of an actor that is gone, which may hold on to much.
    raise AssertionError("an actor that is gone does not come back")
