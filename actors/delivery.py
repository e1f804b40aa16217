"""Handling at once: a message that an idle actor takes in the sender's task, without a turn of the scheduler.

A task switch costs more than most messages do, and in a fan-out to a thousand receivers nearly all the time.
So an actor may offer a *consumer* (`Actor.consume`), which is tried while the actor waits for a message. What
it leaves goes into the mailbox, and whatever comes after that waits behind it: order is as always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .causality import Origin, here
from .envelope import Envelope
from .mailbox import Mailbox
from .tracing import Ledger, Observer


class Receiver(Protocol):
    """The cell of the idle actor."""

    address: str
    mailbox: Mailbox
    ledger: Ledger
    observers: list[Observer]
    clock: Callable[[], float]

    def crash_consuming(self, envelope: Envelope, error: Exception) -> None: ...


class Delivery:
    """What goes on in the sender's task meanwhile (see `causality.Activity`): the receiver is at work."""

    __slots__ = ("_envelope", "receiver")
    errand = ""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self.receiver: Receiver

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


def deliver(receiver: Receiver, envelope: Envelope) -> Any:
    """Have *receiver*, whose mailbox has a `direct` consumer just now, take the message.

    What is left to be put into its mailbox: `None` if nothing is, the message itself if it was declined. Time
    spent is on the sender's account, in whose time it is.
    """
    consume = receiver.mailbox.direct
    assert consume is not None
    delivery = Delivery(envelope)
    delivery.receiver = receiver
    message = envelope.message
    envelope.began_at = envelope.sent_at
    token = here.set(delivery)
    failure: Exception | None = None
    try:
        left = consume(message)
    except Exception as error:
        # Its own doing, and not the trouble of whoever told it something.
        left, failure = None, error
    finally:
        here.reset(token)
    if left is message:
        return left
    receiver.ledger.note_consumed(envelope)
    if receiver.observers:
        envelope.took = receiver.clock() - envelope.began_at
        for observer in receiver.observers:
            observer.sent(envelope, receiver.address, 0)
            observer.consumed(envelope, receiver.address, failure)
    envelope.message = None
    if failure is not None:
        receiver.crash_consuming(envelope, failure)
    return left
