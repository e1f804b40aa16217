"""The class to derive from: an actor's behaviour, without its task, mailbox or supervision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from .ask import Question
from .delivery import Later
from .front import Consumer
from .lifecycle import Down, ExitReason
from .mailbox import Overflow
from .ref import ActorRef, Recipient
from .request import Answer
from .restart import Backoff, Restart, RestartBudget, Strategy
from .timers import Timer

M = TypeVar("M")
N = TypeVar("N")
R = TypeVar("R")


class Context(Protocol):
    """What the runtime does for a running actor."""

    @property
    def ref(self) -> ActorRef[Any]: ...
    def spawn(
        self,
        factory: Callable[[], Actor[N]],
        *,
        name: str,
        restart: Restart,
        capacity: int | None,
        bearing: int | None,
        grace: float,
    ) -> ActorRef[N]: ...
    def start_task(self, task: Callable[..., Awaitable[None]], *args: Any, name: str) -> None: ...
    def after(self, seconds: float, message: Any) -> Timer: ...
    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], Any]) -> None: ...
    def unwatch(self, ref: ActorRef[Any]) -> None: ...
    def request(
        self,
        ref: ActorRef[N],
        question: Question[N, R],
        then: Callable[[Answer[R]], Any],
        *,
        timeout: float,
    ) -> None: ...
    def finish(self, reason: str) -> None: ...
    def everybody(self) -> list[Recipient]: ...
    def now(self) -> float: ...


class Actor(ABC, Generic[M]):
    """Handles messages of the family M, one at a time, in the order they arrived.

    A new object is made for every (re)start, so state that `__init__` sets up is fresh after a crash. What
    must survive one belongs into what the factory hands in.
    """

    capacity: ClassVar[int] = 256
    """How many messages may wait in its mailbox."""
    overflow: ClassVar[Overflow] = Overflow.REJECT
    """What `tell_nowait` meets when they are that many."""
    backoff: ClassVar[Backoff] = Backoff()
    """How soon its children are restarted, each for itself, crash after crash."""
    strategy: ClassVar[Strategy] = Strategy.ONE_FOR_ONE
    """Which of its children are restarted when one of them is."""

    context: Context
    consumer: Consumer | None = None
    """A part of it that is to `consume` instead; to be set in `started` at latest."""

    @abstractmethod
    async def handle(self, message: M) -> None:
        """React to *message*. An exception is a crash; the message is not handled again."""

    def consume(self, message: M) -> M | Later | None:
        """What is left of *message* for the mailbox, once that is done which can be done without waiting.

        `None`: nothing. The message itself, as by default: nothing was done. A `Later`: what its `finish`
        says, which is called soon. Something else: that is left.

        Tried for what is told, but for questions and `None`, while the actor waits for a message; in the
        sender's task, so it must be quick. It may do what `handle` may, but for waiting, and for beginning
        tasks otherwise than with `start_task`. An exception is a crash of this actor, as in `handle`, and
        not the sender's trouble.
        """
        return message

    async def started(self) -> None:
        """Runs first in every life, before any message."""

    async def stopped(self, reason: ExitReason) -> None:
        """Runs last in a life, after a crash or a cancellation too; bounded by the actor's grace."""

    def budget(self) -> RestartBudget:
        """How many restarts of its children it forgives before it fails itself."""
        return RestartBudget()

    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        """The key of a message that a newer one of the same key may replace in the mailbox, else `None`."""
        return None

    @staticmethod
    def weight(message: Any) -> int:
        """What *message* weighs against the mailbox's `bearing`: where one may be a million times another."""
        return 0

    @property
    def ref(self) -> ActorRef[M]:
        """This actor, for others to send to."""
        return self.context.ref

    def now(self) -> float:
        """Seconds on the system's clock."""
        return self.context.now()

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
        """Start a child.

        Args:
            factory: Makes the child, anew for every restart.
            name: Its last address part; unique among the living children.
            restart: Which endings lead to a restart.
            capacity: Of its mailbox, if not the class's own.
            bearing: How much the messages in its mailbox may weigh together, in the unit of `weight`.
            grace: Seconds it gets to finish when it is stopped, before it is cancelled.
        """
        return self.context.spawn(
            factory, name=name, restart=restart, capacity=capacity, bearing=bearing, grace=grace
        )

    def start_task(self, task: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        """Run *task* beside the mailbox loop, as a named child of this actor.

        It ends with the actor; if it raises, the actor crashes.
        """
        self.context.start_task(task, *args, name=name)

    def after(self, seconds: float, message: M) -> Timer:
        """Send *message* to itself after so many seconds, unless this life is over by then."""
        return self.context.after(seconds, message)

    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], M]) -> None:
        """Get `tell(down)` once, when the actor behind *ref* is gone for good; at once if it is already.

        Lasts as long as this life: watch again in `started` what must be watched after a crash.
        """
        self.context.watch(ref, tell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Hear no more of the end of the actor behind *ref*; unless the message is in the mailbox already."""
        self.context.unwatch(ref)

    def request(
        self,
        ref: ActorRef[N],
        question: Question[N, R],
        then: Callable[[Answer[R]], M],
        *,
        timeout: float,
    ) -> None:
        """Ask without waiting: get `then(answer)` as a message, once, whatever comes of *question*.

        What `ask` would raise, and `MailboxFull` if there is no room at once, is in the answer; it is never a
        `WaitCycle`. *timeout* seconds cover all until the answer, whose message always gets in. It lasts as
        long as this life. *then* is called in the moment of the answer; if it raises, this actor crashes.

        Raises:
            ValueError: *timeout* is no number, or *question* was asked before.
        """
        self.context.request(ref, question, then, timeout=timeout)

    def stop(self, reason: str = "finished") -> None:
        """End this life after the message that is being handled: for good, unless it is permanent.

        A permanent actor comes back, at the cost of one restart; `self.ref.stop()` ends it for good.
        """
        self.context.finish(reason)
