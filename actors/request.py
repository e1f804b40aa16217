"""Asking without waiting: the answer comes as a message, behind those that came before it.

A request costs no task and no cancel scope. It is a promise like an ask's, with the same deadlines, that
calls back instead of waking a task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from attrs import frozen

from .ask import Promise, Question, bind, withdraw
from .causality import Cause
from .deadlines import Deadlines
from .envelope import Envelope
from .errors import AskTimeout, MailboxFull, RecipientStopped
from .ref import ActorRef

N = TypeVar("N")
R = TypeVar("R")


@frozen(eq=False)
class Answer(Generic[R]):
    """What came of a request: a value, or the *error* that stands for it."""

    _value: R | None = None
    error: Exception | None = None

    def get(self) -> R:
        """The value.

        Raises:
            AskTimeout: No answer came in time.
            ActorDied: The actor crashed or stopped before it answered.
            QuestionDropped: The mailbox dropped the question, or replaced it by a newer message.
            RecipientStopped: The actor was gone already.
            MailboxFull: There was no room for the question, which may be asked again.
            Exception: Whatever the actor refused with.
        """
        if self.error is not None:
            raise self.error
        return cast(R, self._value)


Deliver = Callable[[Callable[[Answer[Any]], Any], Answer[Any], Cause], None]


class Request(Promise[R]):
    """The asker's side of a question that no task waits for."""

    __slots__ = ("_address", "_cause", "_question", "_requests", "_seconds", "_then")

    def __init__(
        self,
        owner: Any,
        question: Question[Any, R],
        then: Callable[[Answer[R]], Any],
        seconds: float,
        cause: Cause,
        requests: Requests,
    ) -> None:
        super().__init__(owner)
        self._address: str = owner.address
        self._question: Question[Any, R] | None = question
        self._then: Callable[[Answer[R]], Any] | None = then
        self._seconds = seconds
        self._cause = cause
        self._requests: Requests | None = requests

    def resolve(self, value: R) -> None:
        if self._settle():
            self._close(Answer(value))

    def fail(self, error: BaseException) -> None:
        if self._settle():
            self._close(Answer(error=cast(Exception, error)))

    def expire(self) -> None:
        if self._settle(late=False):
            self._close(Answer(error=AskTimeout(self._address, self._question, self._seconds)))

    def abandon(self) -> None:
        if self._settle(late=False):
            self._close(None)

    def _close(self, answer: Answer[R] | None) -> None:
        requests, then = self._requests, self._then
        # The question refers to this, and the heap of deadlines does for a while: none of it is needed now.
        self._requests = self._then = self._question = None
        assert requests is not None
        assert then is not None
        requests.close(self)
        if answer is not None:
            requests.deliver(then, answer, self._cause)


class Requests:
    """The open requests of one life.

    Args:
        deadlines: Of the system.
        deliver: Is given `then`, the answer and why it was asked for, as soon as the answer is there.
    """

    __slots__ = ("_deadlines", "_open", "deliver")

    def __init__(self, deadlines: Deadlines, deliver: Deliver) -> None:
        self.deliver = deliver
        self._deadlines = deadlines
        self._open: set[Request[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def send(
        self,
        ref: ActorRef[N],
        question: Question[N, R],
        then: Callable[[Answer[R]], Any],
        timeout: float,
        cause: Cause,
    ) -> None:
        """Ask *ref*, now if at all.

        Raises:
            ValueError: *question* was asked before.
        """
        recipient = ref._recipient
        request = Request(recipient, question, then, timeout, cause, self)
        bind(question, request)
        # As in `ask`, this must not refer to the question.
        request.on_late = partial(
            recipient.dead_letters.add, recipient.address, type(question), "answered too late"
        )
        now = recipient.clock()
        envelope = Envelope(question, now, now + timeout)
        self._open.add(request)
        self._deadlines.add(envelope.deadline, request)
        try:
            if not ref._offer(envelope):
                recipient.mailbox.rejected += 1
                raise MailboxFull(recipient.address, question)
        except (RecipientStopped, MailboxFull) as error:
            withdraw(question)
            request.fail(error.with_traceback(None))

    def close(self, request: Request[Any]) -> None:
        """*request* is settled."""
        self._open.discard(request)
        self._deadlines.remove()

    def abandon(self) -> None:
        """The life is over: whatever comes now is late, and what did not begin need not."""
        while self._open:
            next(iter(self._open)).abandon()


class AnswerEnvelope(Envelope):
    """Brings an answer to the life that asked for it, and to no other."""

    __slots__ = ()

    def __init__(self, message: Any, sent_at: float, sender: str, cause: Cause) -> None:
        super().__init__(message, sent_at)
        self.sender, self.cause, self.origin = sender, cause.id, cause.origin
