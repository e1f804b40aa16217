"""Handling at once: a message that an idle actor takes in the sender's task, without a turn of the scheduler.

A task switch costs more than most messages do, and in a fan-out to a thousand receivers nearly all the time.
So an actor may offer a *consumer* (`Actor.consume`), which is tried while the actor waits for a message. What
it leaves goes into the mailbox, and whatever comes after that waits behind it: order is as always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .ask import Question
from .causality import Origin, here
from .envelope import Envelope
from .front import Front
from .mailbox import Mailbox
from .tracing import Ledger, Observer

# A consumer that tells somebody whose consumer tells somebody … A chain must not end in a RecursionError,
# which would be the crash of an actor that did nothing wrong.
DEEPEST = 16


class Later:
    """What a consumer has begun, to be finished once all others of the same fan-out have begun theirs.

    For a system call, say: if they follow each other without work in between, whoever they concern is still
    awake from the last, and waking costs most. Until then the consumer may be offered more; and what comes
    into its mailbox meanwhile is before what it leaves.
    """

    # No abstract base class: to ask for an instance of one costs as much as a call.
    __slots__ = ()

    def finish(self) -> Any:
        """What is left for the mailbox, never the whole message, or `None`. An exception is a crash."""
        raise NotImplementedError


class Receiver(Protocol):
    """The cell of the idle actor."""

    address: str
    mailbox: Mailbox
    ledger: Ledger
    observers: list[Observer]
    clock: Callable[[], float]
    deliveries: list[Delivery]

    def crash_consuming(self, envelope: Envelope, error: Exception) -> None: ...


class Ref(Protocol):
    """What leads to it: `ActorRef`."""

    @property
    def _front(self) -> Front: ...
    @property
    def _recipient(self) -> Receiver: ...


class Delivery:
    """What goes on in the sender's task meanwhile (see `causality.Activity`): the receiver is at work.

    Attributes:
        ref: To the receiver. Not its cell, which nobody has to look at.
    """

    __slots__ = ("_envelope", "ref")
    errand = ""

    def __init__(self, envelope: Envelope, ref: Ref) -> None:
        self._envelope = envelope
        self.ref = ref

    @property
    def receiver(self) -> Receiver:
        return self.ref._recipient

    @property
    def address(self) -> str:
        return self.receiver.address

    @property
    def cause(self) -> int:
        return self._envelope.id

    @property
    def origin(self) -> Origin:
        return self._envelope.origin

    @property
    def waiter(self) -> Receiver:
        return self.receiver


def deliver(ref: Ref, envelope: Envelope) -> Envelope | None:
    """Offer the message to the actor behind *ref*, which has a consumer just now.

    What is still to be put into its mailbox: nothing, a new envelope with what was left, or *envelope* itself
    if the message was declined or could not be offered. Time spent is on the sender's account.
    """
    receiver = ref._recipient
    message, deliveries, observers = envelope.message, receiver.deliveries, receiver.observers
    # Who gets a question owes its answer, which is the intake's affair; `None`, left, means that nothing is.
    if message is None or isinstance(message, Question):
        return envelope
    if deliveries and is_closed_within(deliveries, receiver):
        return envelope
    consumer = ref._front.consumer
    assert consumer is not None
    delivery = Delivery(envelope, ref)
    envelope.began_at = envelope.sent_at
    if observers:
        _tell_began(receiver, envelope)
    deliveries.append(delivery)
    token = here.set(delivery)
    try:
        left = consumer.consume(message)
        if left is not None and isinstance(left, Later):
            left = left.finish()
    except BaseException as error:
        receiver.ledger.note_consumed(envelope)
        if observers:
            _tell_ended(receiver, envelope, error)
        envelope.message = None
        if not isinstance(error, Exception):
            raise
        # Its own doing, and not the trouble of whoever told it something.
        receiver.crash_consuming(envelope, error)
        return None
    finally:
        here.reset(token)
        deliveries.pop()
    if left is message:
        return _declined(receiver, envelope) if observers else envelope
    receiver.ledger.note_consumed(envelope)
    if observers:
        _tell_ended(receiver, envelope, None)
    envelope.message = None
    return None if left is None else Envelope(left, envelope.sent_at)


def is_closed_within(deliveries: Sequence[Delivery], receiver: Receiver) -> bool:
    """Whether *receiver* is offered nothing while these go on: it is at work in one, or they are too many."""
    return len(deliveries) >= DEEPEST or any(delivery.receiver is receiver for delivery in deliveries)


def _declined(receiver: Receiver, envelope: Envelope) -> Envelope | None:
    for observer in receiver.observers:
        observer.declined(envelope, receiver.address)
    # Here, for the observers know already that it was sent.
    if receiver.mailbox.closed or not receiver.mailbox.put_nowait(envelope):
        return envelope
    return None


def _tell_began(receiver: Receiver, envelope: Envelope) -> None:
    # Before it is taken: else what comes of it would be told before it.
    for observer in receiver.observers:
        observer.sent(envelope, receiver.address, 1)
        observer.began(envelope, receiver.address, 0)


def _tell_ended(receiver: Receiver, envelope: Envelope, error: BaseException | None) -> None:
    envelope.took = receiver.clock() - envelope.began_at
    for observer in receiver.observers:
        observer.ended(envelope, receiver.address, error)
