"""What others hold of an actor: its address and ways to send to it. It stays valid over restarts."""

from __future__ import annotations

from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import trio

from .ask import Question, pose
from .dead_letters import DeadLetters
from .errors import AskTimeout, MailboxClosed, MailboxFull, RecipientStopped
from .mailbox import Envelope, Mailbox

M = TypeVar("M")
R = TypeVar("R")


class Recipient(Protocol):
    """What a ref needs to know of the actor behind it."""

    address: str
    mailbox: Mailbox
    dead_letters: DeadLetters

    def stop(self, reason: str) -> None: ...
    async def wait_gone(self) -> None: ...


class ActorRef(Generic[M]):
    """Sends messages of the family M to one actor. Refs to the same actor are equal."""

    __slots__ = ("_recipient",)

    def __init__(self, recipient: Recipient) -> None:
        self._recipient = recipient

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

    async def tell(self, message: M) -> None:
        """Queue *message*, waiting while the mailbox is full.

        Bound the wait with `trio.fail_after`.

        Raises:
            RecipientStopped: The actor is gone; *message* rides on the error.
        """
        await self._put(Envelope(message))

    def tell_nowait(self, message: M) -> None:
        """Queue *message* at once.

        Raises:
            MailboxFull: There is no room, and the mailbox's policy is to refuse.
            RecipientStopped: The actor is gone; *message* rides on the error.
        """
        recipient = self._recipient
        try:
            taken = recipient.mailbox.put_nowait(Envelope(message))
        except MailboxClosed:
            raise self._gone(message) from None
        if not taken:
            raise MailboxFull(recipient.address, message)

    async def ask(self, question: Question[M, R], *, timeout: float) -> R:
        """The answer to *question*.

        *timeout* seconds cover the wait for room in the mailbox, the wait in it, and the handling; once they
        are over, work that did not begin is skipped.

        Raises:
            AskTimeout: No answer came in time.
            ActorDied: The actor crashed or stopped before it answered.
            RecipientStopped: The actor was gone already.
        """
        promise = pose(question)
        # Must not refer to the question: in a cycle, what may be large would wait for the garbage collector.
        promise.on_late = partial(
            self._recipient.dead_letters.add, self.address, type(question), "answered too late"
        )
        try:
            with trio.move_on_after(timeout) as scope:
                await self._put(Envelope(question, scope.deadline))
                return await promise.wait()
        finally:
            promise.abandon()
        raise AskTimeout(self.address, question, timeout)

    def stop(self, reason: str = "stopped") -> None:
        """Let the actor finish the message it is handling, then end it for good. Does not wait."""
        self._recipient.stop(reason)

    async def wait_gone(self) -> None:
        """Wait until the actor has ended for good."""
        await self._recipient.wait_gone()

    async def _put(self, envelope: Envelope) -> None:
        try:
            await self._recipient.mailbox.put(envelope)
        except MailboxClosed:
            raise self._gone(envelope.message) from None

    def _gone(self, message: Any) -> RecipientStopped:
        self._recipient.dead_letters.add(self.address, type(message), "recipient gone")
        return RecipientStopped(self.address, message)
