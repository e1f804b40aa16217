"""What others hold of an actor: its address and ways to send to it. It stays valid over restarts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import trio

from .ask import Expired, Promise, Question, bind, withdraw
from .dead_letters import DeadLetters
from .deadlines import Deadlines
from .delivery import Delivery, deliver
from .envelope import Envelope
from .errors import AskTimeout, MailboxClosed, MailboxFull, RecipientStopped, WaitCycle
from .lifecycle import ExitReason, State
from .mailbox import Mailbox
from .tracing import Ledger, Observer
from .waiting import Waiter, wait_for

M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")

# Who does nothing but tell lets others run after so many messages to anybody in the system.
TURN = 16


class Recipient(Waiter, Protocol):
    """What a ref needs to know of the actor behind it."""

    mailbox: Mailbox
    ledger: Ledger
    dead_letters: DeadLetters
    observers: list[Observer]
    clock: Callable[[], float]
    deadlines: Deadlines
    turns: Iterator[int]
    deliveries: list[Delivery]
    reason: ExitReason | None
    watchers: Any
    since: float
    state: State
    claims: dict[tuple[str, str, str], int] | None

    @property
    def pump(self) -> Callable[[], bool] | None: ...
    def note_sent(self, envelope: Envelope) -> None: ...
    def crash_consuming(self, envelope: Envelope, error: Exception) -> None: ...
    def stop(self, reason: str) -> None: ...
    async def wait_gone(self) -> None: ...


class ActorRef(Generic[M_contra]):
    """Sends messages of one family to one actor. Refs to the same actor are equal.

    It may be used where a narrower family is expected: who takes more takes that too.
    """

    __slots__ = ("_front", "_recipient")

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient
        self._front = recipient.mailbox.front

    def __repr__(self) -> str:
        return f"<ActorRef {self.address}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other._recipient is self._recipient

    def __hash__(self) -> int:
        return hash(self._recipient)

    @property
    def address(self) -> str:
        """Its path in the tree of actors."""
        return self._recipient.address

    @property
    def alive(self) -> bool:
        """Whether it still takes messages."""
        return not self._recipient.mailbox.closed

    @property
    def idle(self) -> bool:
        """Whether it waits for a message: everything it was told is done."""
        return self._recipient.mailbox.idle

    async def tell(self, message: M_contra) -> None:
        """Queue *message*, waiting while the mailbox is full.

        Bound the wait with `trio.fail_after`. Always a cancellation point; while there is room, others run
        only after every few calls: a turn for each message would cost more than the message.

        Raises:
            RecipientStopped: The actor is gone; *message* rides on the error.
            WaitCycle: There is no room, and there never would be any: the actor waits for the sender.
        """
        if next(self._recipient.turns) % TURN:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        envelope = Envelope(message, self._recipient.clock())
        if self._front.consumer is not None:
            left = deliver(self, envelope)
            if left is None:
                return
            envelope = left
        if not self._offer(envelope):
            await self._wait_for_room(envelope)

    def tell_nowait(self, message: M_contra) -> None:
        """Queue *message* at once.

        Raises:
            MailboxFull: There is no room, and the mailbox's policy is to refuse.
            RecipientStopped: The actor is gone; *message* rides on the error.
        """
        recipient = self._recipient
        envelope = Envelope(message, recipient.clock())
        if self._front.consumer is not None:
            left = deliver(self, envelope)
            if left is None:
                return
            envelope = left
        self._put(envelope)

    def _put(self, envelope: Envelope) -> None:
        """As `tell_nowait`, but into the mailbox in any case."""
        recipient = self._recipient
        try:
            taken = recipient.mailbox.put_nowait(envelope)
        except MailboxClosed:
            raise self._gone(envelope.message) from None
        if not taken:
            raise MailboxFull(recipient.address, envelope.message)
        if recipient.observers or isinstance(envelope.message, Question):
            recipient.note_sent(envelope)

    async def ask(self, question: Question[M_contra, R], *, timeout: float) -> R:
        """The answer to *question*.

        *timeout* seconds cover the wait for room in the mailbox, the wait in it, and the handling; once they
        are over, work that did not begin is skipped.

        Raises:
            AskTimeout: No answer came in time.
            ActorDied: The actor crashed or stopped before it answered.
            QuestionDropped: The mailbox dropped it, or replaced it by a newer message.
            RecipientStopped: The actor was gone already.
            WaitCycle: The actor waits for the asker, itself or through others, so no answer could come.
            ValueError: *timeout* is no number, or *question* was asked before.
        """
        if math.isnan(timeout):
            raise ValueError("timeout must not be NaN")
        await trio.lowlevel.checkpoint_if_cancelled()
        recipient = self._recipient
        promise: Promise[R] = Promise(recipient)
        bind(question, promise)
        wait = wait_for(recipient, promise, type(question))
        if wait is not None:
            try:
                wait.begin(question)
            except WaitCycle:
                withdraw(question)
                raise
            promise.on_passed = wait.refuse_cycle
        # Must not refer to the question: in a cycle, what may be large would wait for the garbage collector.
        promise.on_late = partial(
            recipient.dead_letters.add, recipient.address, type(question), "answered too late"
        )
        now = recipient.clock()
        envelope = Envelope(question, now, now + timeout)
        deadlines = recipient.deadlines
        deadlines.add(envelope.deadline, promise)
        try:
            if not self._offer(envelope):
                with trio.CancelScope(deadline=envelope.deadline):
                    await self._wait_for_room(envelope)
            return await promise.wait()
        except Expired:
            raise AskTimeout(recipient.address, question, timeout) from None
        except RecipientStopped:
            withdraw(question)
            raise
        finally:
            promise.abandon()
            deadlines.remove()
            if wait is not None:
                wait.end()

    def stop(self, reason: str = "stopped") -> None:
        """Let the actor finish the message it is handling, then end it for good. Does not wait.

        However long that message takes: only the end of its parent cuts it off, after its grace.
        """
        self._recipient.stop(reason)

    async def wait_gone(self) -> None:
        """Wait until the actor has ended for good."""
        await self._recipient.wait_gone()

    def _offer(self, envelope: Envelope) -> bool:
        try:
            taken = self._recipient.mailbox.offer(envelope)
        except MailboxClosed:
            raise self._gone(envelope.message) from None
        if taken and (self._recipient.observers or isinstance(envelope.message, Question)):
            self._recipient.note_sent(envelope)
        return taken

    async def _wait_for_room(self, envelope: Envelope) -> None:
        wait = wait_for(self._recipient, None, envelope.type)
        if wait is not None:
            wait.begin(envelope.message)
        try:
            await self._recipient.mailbox.wait_for_room(envelope)
        except MailboxClosed:
            raise self._gone(envelope.message) from None
        finally:
            if wait is not None:
                wait.end()

    def _gone(self, message: Any) -> RecipientStopped:
        self._recipient.dead_letters.add(self.address, type(message), "recipient gone")
        return RecipientStopped(self.address, message)
