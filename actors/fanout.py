"""Telling many actors the same, for the price of little more than the receivers' own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import trio

from .ask import Question
from .causality import here
from .delivery import Delivery, Later, is_closed_within
from .envelope import Envelope
from .errors import MailboxFull, RecipientStopped
from .ref import TURN, ActorRef
from .tracing import Shared

M = TypeVar("M")

# Others run after so many receivers, some of which do their work at once: write to a socket, say, in 5 µs.
# So the others wait a sixth of a millisecond.
MANY = 32
# Where the system sees to the sockets itself (`ActorSystem.pump`), all others wait for so many.
MOST = 256


async def fan_out(refs: Sequence[ActorRef[M]], message: M) -> list[ActorRef[M]]:
    """As `fan_out_nowait`, but others run after every 32 of *refs*, or are seen to by `ActorSystem.pump`.

    Cancelled, it has told those whose turn had come, or nobody if it was before.
    """
    if refs and len(refs) <= MANY and next(refs[0]._recipient.turns) % TURN:
        await trio.lowlevel.checkpoint_if_cancelled()
    else:
        await trio.lowlevel.checkpoint()
    if len(refs) <= MANY:
        return fan_out_nowait(refs, message)
    refs = tuple(refs)  # whoever runs meanwhile may change them
    untold = fan_out_nowait(refs[:MANY], message)
    pump = refs[0]._recipient.pump
    for start in range(MANY, len(refs), MANY):
        if pump is None or start % MOST == 0 or not pump():
            await trio.lowlevel.checkpoint()
        untold += fan_out_nowait(refs[start : start + MANY], message)
    return untold


def fan_out_nowait(refs: Sequence[ActorRef[M]], message: M) -> list[ActorRef[M]]:
    """Tell *message* to each of *refs*, actors of one system, at once; those that could not be told.

    They are full, or gone (see `ActorRef.alive`). To those who take it in the sender's task it comes in one
    envelope, with one number, unless an observer looks on.
    """
    if not refs:
        return []
    first = refs[0]._recipient
    if len(refs) == 1 or first.observers or message is None or isinstance(message, Question):
        return [ref for ref in refs if not _is_told(ref, message)]
    untold: list[ActorRef[M]] = []
    begun: list[tuple[ActorRef[M], Later]] = []
    envelope = Envelope(message, first.clock())
    envelope.began_at = envelope.sent_at
    entry = Shared(envelope, first.ledger)
    before = entry.before
    delivery, deliveries = Delivery(envelope, first), first.deliveries
    around = tuple(deliveries)
    token = here.set(delivery)
    deliveries.append(delivery)
    try:
        for ref in refs:
            delivery.receiver = receiver = ref._recipient
            consume = receiver.mailbox.direct
            if consume is None or (around and is_closed_within(around, receiver)):
                left = message
            else:
                try:
                    left = consume(message)
                except Exception as error:
                    # Its own doing, and not the trouble of whoever told it something.
                    receiver.ledger.note_shared(entry)
                    receiver.crash_consuming(envelope, error)
                    continue
                if left is not message:
                    ledger = receiver.ledger
                    if ledger.shared is before:
                        ledger.shared = entry  # as `note_shared`, without a call
                    else:
                        ledger.note_shared(entry)
                    if left is None:
                        continue
                    if isinstance(left, Later):
                        begun.append((ref, left))
                        continue
            here.reset(token)  # what is put into a mailbox is sent by the sender
            try:
                if not _is_put(ref, left, envelope.sent_at):
                    untold.append(ref)
            finally:
                token = here.set(delivery)
    finally:
        # Even if the sender is interrupted: what was begun was told.
        unfinished: list[tuple[ActorRef[M], M]] = []
        try:
            _finish(begun, delivery, envelope, unfinished)
        finally:
            here.reset(token)
            deliveries.pop()
            envelope.message = None
            _put_all(unfinished, envelope.sent_at, untold)
    return untold


def _finish(
    begun: Sequence[tuple[ActorRef[M], Later]],
    delivery: Delivery,
    envelope: Envelope,
    unfinished: list[tuple[ActorRef[M], M]],
) -> None:
    """Note in *unfinished* who leaves what."""
    interrupt: BaseException | None = None
    for ref, later in begun:
        delivery.receiver = receiver = ref._recipient
        try:
            left = later.finish()
        except Exception as error:
            receiver.crash_consuming(envelope, error)
        except BaseException as error:
            interrupt = error
        else:
            if left is not None:
                unfinished.append((ref, left))
    if interrupt is not None:
        raise interrupt


def _put_all(left: Sequence[tuple[ActorRef[M], M]], now: float, untold: list[ActorRef[M]]) -> None:
    for number, (ref, message) in enumerate(left, start=1):
        try:
            if not _is_put(ref, message, now):
                untold.append(ref)
        except BaseException:
            _put_all(left[number:], now, untold)
            raise


def _is_told(ref: ActorRef[M], message: M) -> bool:
    try:
        ref.tell_nowait(message)
    except (MailboxFull, RecipientStopped):
        return False
    return True


def _is_put(ref: ActorRef[M], message: M, now: float) -> bool:
    try:
        ref._put(Envelope(message, now))
    except (MailboxFull, RecipientStopped):
        return False
    return True
