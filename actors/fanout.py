"""Telling many actors the same, for the price of little more than the receivers' own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import trio

from .causality import here
from .delivery import Delivery
from .envelope import Envelope
from .errors import MailboxFull, RecipientStopped
from .ref import ActorRef

M = TypeVar("M")

# Others run after so many receivers, some of which do their work at once.
TURN = 64


async def fan_out(refs: Sequence[ActorRef[M]], message: M) -> list[ActorRef[M]]:
    """As `fan_out_nowait`, but others run after every 64 of *refs*."""
    if len(refs) < TURN:
        return fan_out_nowait(refs, message)
    untold: list[ActorRef[M]] = []
    for start in range(0, len(refs), TURN):
        untold += fan_out_nowait(refs[start : start + TURN], message)
        await trio.lowlevel.checkpoint()
    return untold


def fan_out_nowait(refs: Sequence[ActorRef[M]], message: M) -> list[ActorRef[M]]:
    """Tell *message*, which is no question, to each of *refs* at once; those that could not be told.

    They are full, or gone (see `ActorRef.alive`). To those who take it in the sender's task, it comes in one
    envelope, with one number.
    """
    if len(refs) == 1 or (refs and refs[0]._recipient.observers):
        return [ref for ref in refs if not _is_told(ref, message)]
    if not refs:
        return []
    untold: list[ActorRef[M]] = []
    envelope = Envelope(message, refs[0]._recipient.clock())
    envelope.began_at = envelope.sent_at
    delivery = Delivery(envelope)
    token = here.set(delivery)
    try:
        for ref in refs:
            delivery.receiver = receiver = ref._recipient
            consume = receiver.mailbox.direct
            left = message
            if consume is not None:
                try:
                    left = consume(message)
                except Exception as error:
                    # Its own doing, and not the trouble of whoever told it something.
                    receiver.ledger.note_consumed(envelope)
                    receiver.crash_consuming(envelope, error)
                    continue
                if left is not message:
                    receiver.ledger.note_consumed(envelope)
                if left is None:
                    continue
            here.reset(token)
            if not _is_put(ref, left):
                untold.append(ref)
            token = here.set(delivery)
    finally:
        here.reset(token)
        envelope.message = None
    return untold


def _is_told(ref: ActorRef[M], message: M) -> bool:
    try:
        ref.tell_nowait(message)
    except (MailboxFull, RecipientStopped):
        return False
    return True


def _is_put(ref: ActorRef[M], message: M) -> bool:
    try:
        ref._put(message)
    except (MailboxFull, RecipientStopped):
        return False
    return True
