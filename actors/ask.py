"""Questions: messages that carry the way back for one answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, cast

import trio

from .errors import ActorDied

M_co = TypeVar("M_co", covariant=True)
R = TypeVar("R")


class Expired(Exception):
    """No answer came in time. Internal: `ActorRef.ask` turns it into `AskTimeout`."""


class Promise(Generic[R]):
    """The asker's side of a question: set once, by the first answer or failure.

    `owner` owes the answer: the actor that was asked, or the last one that the question was passed on to.
    """

    __slots__ = ("_asker", "_error", "_value", "on_late", "on_passed", "on_settled", "owner", "settled")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.settled = False
        self._asker: trio.lowlevel.Task | None = None
        self._value: R | None = None
        self._error: BaseException | None = None
        self.on_late: Callable[[], None] | None = None
        self.on_settled: Callable[[], None] | None = None
        self.on_passed: Callable[[], None] | None = None

    def resolve(self, value: R) -> None:
        if self._settle():
            self._value = value

    def fail(self, error: BaseException) -> None:
        if self._settle():
            self._error = error

    def expire(self) -> None:
        """Its time is over."""
        if self._settle(late=False):
            self._error = Expired()

    def abandon(self) -> None:
        """Nobody waits any more: whatever comes now is late."""
        self._settle(late=False)

    def pass_on(self, owner: Any) -> None:
        """From now on, *owner* owes the answer."""
        self.owner = owner
        on_settled, self.on_settled = self.on_settled, None
        if on_settled is not None:
            on_settled()  # who passed it on may end: it owes the answer no more
        if self.on_passed is not None:
            self.on_passed()

    async def wait(self) -> R:
        """The answer, once: it is not kept. One task may wait."""
        if self.settled:
            await trio.lowlevel.checkpoint()
        else:
            self._asker = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
        if self._error is not None:
            # Raised, an error refers to this frame: a way back from here would make a cycle.
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error
        value, self._value = self._value, None  # it may refer to the question, and the question does to this
        return cast(R, value)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._asker = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _settle(self, *, late: bool = True) -> bool:
        if self.settled:
            if late and self.on_late is not None:
                self.on_late()
            return False
        self.settled = True
        self.owner = None
        self.on_passed = None
        on_settled, self.on_settled = self.on_settled, None
        if on_settled is not None:
            on_settled()
        if self._asker is not None:
            trio.lowlevel.reschedule(self._asker)
            self._asker = None
        return True


class Question(Generic[M_co, R]):
    """Base of messages of the family `M_co` that are answered with an R.

    A question object is good for one `ask`. The asked actor calls `answer` (or `refuse`) at once or later; a
    question that was told, not asked, is answered into the void.
    """

    __slots__ = ("_promise",)
    _promise: Promise[R]

    def answer(self, value: R) -> None:
        """Give the asker *value*. A second answer, or one that comes too late, is a dead letter."""
        promise = promise_of(self)
        if promise is not None:
            promise.resolve(value)

    def refuse(self, error: Exception) -> None:
        """Raise *error* at the asker."""
        promise = promise_of(self)
        if promise is not None:
            promise.fail(error)

    @property
    def settled(self) -> bool:
        """Whether it needs no answer (any more): it was answered, or its asker has left.

        For an actor that keeps questions for later: one that was still in the mailbox is not handled then.
        """
        promise = promise_of(self)
        return promise is not None and promise.settled


def promise_of(message: object) -> Promise[object] | None:
    """The promise behind *message*, if it is a question somebody asked."""
    return getattr(message, "_promise", None) if isinstance(message, Question) else None


def awaited(message: object) -> Promise[object] | None:
    """The promise behind *message*, if somebody waits for it."""
    promise = promise_of(message)
    return None if promise is None or promise.settled else promise


def bind(question: Question[M_co, R], promise: Promise[R]) -> None:
    """Have *question* answered into *promise*.

    Raises:
        ValueError: It was asked before.
    """
    if promise_of(question) is not None:
        raise ValueError(f"this {type(question).__name__} was asked before; ask a new one")
    object.__setattr__(question, "_promise", promise)  # questions are usually frozen


def withdraw(question: Question[Any, Any]) -> None:
    """Nobody got *question*: it may be asked again."""
    object.__setattr__(question, "_promise", None)


class Unanswered:
    """The questions an actor owes answers to, so that their askers hear when none can come any more."""

    def __init__(self) -> None:
        self._open: dict[Promise[object], object] = {}

    def expect(self, promise: Promise[object], question: object) -> None:
        """Note *question*, whose *promise* somebody waits on, until it is answered."""
        if promise.on_settled is not None:
            promise.on_settled()  # told by an actor to itself: it is in its books already
        self._open[promise] = question
        promise.on_settled = partial(self._open.__delitem__, promise)

    def fail(self, address: str) -> None:
        """Tell every asker that *address* died."""
        for promise, question in list(self._open.items()):
            promise.fail(ActorDied(address, question))
