"""One life of an actor, from `started` to `stopped`: its object, its children, its helpers, its failure.

Everything here is fresh after a restart. Children and helpers run in a nursery of this life; when it ends
they are stopped first, the newest before the others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import trio
from attrs import define, field

from .actor import Actor
from .ask import Question
from .causality import Cause, Errand, here
from .children import Child, Children
from .envelope import Envelope
from .errors import RestartBudgetSpent, sole
from .intake import Intake, Reader
from .lifecycle import Crashed, Down, ExitReason, State, Stopped
from .ref import ActorRef, Recipient
from .request import Answer, AnswerEnvelope, Requests
from .restart import Restart, RestartBudget
from .timers import Timer
from .watching import Watched, forget_all, unwatch, watch

N = TypeVar("N")
R = TypeVar("R")

log = logging.getLogger("actors")


class Owner(Reader, Watched, Protocol):
    """The cell that lives this life."""

    kind: type[Actor[Any]]
    parent: Life | None
    grace: float
    restart: Restart
    stop_reason: str | None
    finish_reason: str | None

    @property
    def ref(self) -> ActorRef[Any]: ...
    def make_actor(self) -> Actor[Any]: ...
    def enter(self, state: State) -> None: ...
    def finish(self, reason: str) -> None: ...
    def close_mailbox(self) -> None: ...
    def everybody(self) -> list[Recipient]: ...
    def new_child(self, life: Life, factory: Callable[[], Actor[Any]], **options: Any) -> Any: ...


class Crashing:
    """Gives *note* the errors that the block raises; what is meant for others, a cancellation say, passes."""

    __slots__ = ("_note",)

    def __init__(self, note: Callable[[BaseException], None]) -> None:
        self._note = note

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, Exception):
            self._note(error)
            return True
        if isinstance(error, BaseExceptionGroup):
            errors, others = error.split(Exception)
            if errors is not None and others is not None:
                self._note(errors)
                raise others from None
        return False


@define(eq=False)
class Life:
    """What an actor may ask of the runtime (see `actor.Context`), as long as it lives."""

    cell: Owner
    children: Children
    intake: Intake
    actor: Actor[Any] | None = None
    begun: bool = False
    failure: BaseException | None = None
    watched: set[Watched] | None = None
    nursery: trio.Nursery | None = None
    """For children and helpers, while it lasts."""
    _budget: RestartBudget | None = None
    _scope: trio.CancelScope = field(factory=trio.CancelScope)

    # -- what an actor may ask of the runtime

    @property
    def ref(self) -> ActorRef[Any]:
        return self.cell.ref

    def now(self) -> float:
        return self.cell.clock()

    def spawn(self, factory: Callable[[], Actor[N]], *, name: str, **options: Any) -> ActorRef[N]:
        cell = self.cell
        # Not while it starts: a start is not torn in two, and its children are stopped like all others.
        nursery = None if cell.state is State.STOPPING else self.nursery
        if nursery is None:
            raise RuntimeError(f"{cell.address} is not running; it can't start {name}")
        if name in self.children:
            raise ValueError(f"{cell.address} has a child named {name} already")
        child = cell.new_child(self, factory, name=name, **options)
        self.children.add(child)
        nursery.start_soon(child.run, name=f"actor {child.address}")
        ref: ActorRef[N] = child.ref
        return ref

    def start_task(self, task: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        cell = self.cell
        if self.nursery is None:
            raise RuntimeError(f"{cell.address} is not running; it can't start {name}")
        doer = here.get() or cell
        errand = Errand(cell.address, name, doer.cause, doer.origin, cell)
        self.nursery.start_soon(self._run, errand, task, args, name=f"actor {cell.address}: {name}")

    def after(self, seconds: float, message: Any) -> Timer:
        if self.nursery is None:
            raise RuntimeError(f"{self.cell.address} is not running; it can't start a timer")
        if math.isnan(seconds):
            raise ValueError("seconds must not be NaN")
        return self.intake.after(seconds, message)

    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], Any]) -> None:
        if self.nursery is None:
            raise RuntimeError(f"{self.cell.address} is not running; it can't watch {ref.address}")
        watch(self, ref._recipient, tell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        unwatch(self, ref._recipient)

    def request(
        self,
        ref: ActorRef[N],
        question: Question[N, R],
        then: Callable[[Answer[R]], Any],
        *,
        timeout: float,
    ) -> None:
        cell = self.cell
        if self.nursery is None:
            raise RuntimeError(f"{cell.address} is not running; it can't ask {ref.address}")
        if math.isnan(timeout):
            raise ValueError("timeout must not be NaN")
        if self.intake.requests is None:
            self.intake.requests = Requests(cell.deadlines, self._take_answer)
        doer = here.get() or cell
        self.intake.requests.send(ref, question, then, timeout, Cause(doer.cause, doer.origin))

    def _take_answer(self, then: Callable[[Answer[Any]], Any], answer: Answer[Any], cause: Cause) -> None:
        try:
            message = then(answer)
        except Exception as error:
            self.fail(error)  # its own doing, and not the trouble of whoever answered
        else:
            cell = self.cell
            self.intake.enqueue(AnswerEnvelope(message, cell.clock(), cell.address, cause))

    def finish(self, reason: str) -> None:
        self.cell.finish(reason)

    def everybody(self) -> list[Recipient]:
        """All living actors of the system, parents before their children."""
        return self.cell.everybody()

    # -- what others do to it

    def end(self) -> None:
        """Take no more messages after the one in hand."""
        self.intake.end()

    def cancel(self, reason: str) -> None:
        """End at once, or as soon as it begins."""
        self.intake.end()
        self._scope.cancel(reason=reason)

    def fail(self, error: BaseException) -> None:
        """Crash; nothing to do once it is over. The first failure counts: others may come of it."""
        if self.nursery is None:
            return
        self._note_failure(error)
        self.cancel(f"{self.cell.address} crashed: {type(error).__name__}")

    def _note_failure(self, error: BaseException) -> None:
        self.intake.ending = True
        if self.failure is None:
            self.failure = sole(error)

    def learn(self, tell: Callable[[Down], Any], down: Down) -> None:
        """Hear of the end of somebody who is watched."""
        if self.nursery is None or self.cell.state is State.STOPPING:
            return  # the next life has not watched, and may have children of the same names
        try:
            message = tell(down)
        except Exception as error:
            self.fail(error)  # its own doing, and not the trouble of whoever it watched
        else:
            self.intake.enqueue(Envelope(message, self.cell.clock()))

    def grants_restart(self, child: str) -> bool:
        """Spend a restart on *child*; if none is left this actor fails too, and its parent decides."""
        actor = self.actor
        if actor is None or self.intake.ending or self.cell.state is State.STOPPING:
            return False
        if self._budget is None:
            try:
                self._budget = actor.budget()
            except Exception as error:
                self.fail(error)
                return False
        budget = self._budget
        if budget.allows(self.cell.clock()):
            return True
        self.fail(RestartBudgetSpent(self.cell.address, child, budget.restarts, budget.within))
        return False

    def restart_group_of(self, child: Child, delay: float) -> None:
        """Restart *child*, which is resting, and those that go with it."""
        self.children.note_failed(child, delay)
        if not self.children.conducting:
            self.children.conducting = True
            self.start_task(self.children.restart_groups, name="restarting its children")

    # -- living

    async def live(self) -> ExitReason:
        """All of it, but for what is meant for the whole program: that is raised."""
        cell = self.cell
        cell.enter(State.STARTING)
        try:
            actor = cell.make_actor()
            actor.context = self
        except Exception as error:
            return Crashed(sole(error))
        self.actor = actor
        over = False
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                if cell.parent is None:
                    # The root's life is the system's: whoever watches its deadlines lives as long.
                    nursery.start_soon(cell.deadlines.run, name=f"actor {cell.address}: deadlines")
                with self._scope, Crashing(self._note_failure):
                    await actor.started()
                    self.begun = True
                    cell.enter(State.IDLE)
                    await self.intake.handle_messages(actor)
                await self._wind_up()
                if nursery.child_tasks:
                    nursery.cancel_scope.cancel(reason=f"{cell.address} ends")
            over = True
        finally:
            self.nursery = None
            self.begun = False
            self.intake.forget()
            forget_all(self)
            await self._say_goodbye(actor, over)
            self.actor = None
        try:
            # Not given a name: the error of a crash refers to this frame, and would keep it alive.
            return self._outcome()
        finally:
            self.failure = None

    async def _wind_up(self) -> None:
        cell = self.cell
        cell.enter(State.STOPPING)
        self.intake.forget()
        if cell.restart is Restart.TEMPORARY:
            cell.close_mailbox()
        self.intake.fail_questions()
        await self.children.stop_all("parent stops")

    def _outcome(self) -> ExitReason:
        if self.failure is not None:
            return Crashed(self.failure)
        return Stopped(self.cell.stop_reason or self.cell.finish_reason or "restarts with its siblings")

    async def _run(self, errand: Errand, task: Callable[..., Awaitable[None]], args: tuple[Any, ...]) -> None:
        here.set(errand)
        with Crashing(self.fail):
            await task(*args)

    async def _say_goodbye(self, actor: Actor[Any], over: bool) -> None:
        cell, reason = self.cell, self._outcome() if over else Stopped("cancelled")
        if not over and self.failure is not None:
            log.error("%s crashed, and all was cancelled", cell.address, exc_info=self.failure)
        if type(actor).stopped is Actor.stopped:
            return  # it has nothing to say
        scope = trio.CancelScope(shield=True, deadline=cell.clock() + cell.grace)
        with scope, Crashing(self._note_bad_goodbye):
            await actor.stopped(reason)
        if scope.cancelled_caught:
            log.warning("%s was cut short in `stopped` after its grace of %g s", cell.address, cell.grace)

    def _note_bad_goodbye(self, error: BaseException) -> None:
        log.error("%s failed while stopping", self.cell.address, exc_info=error)
