"""Telling many actors the same, for the price of little more than the receivers' own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import trio

from .ask import Question
from .causality import here
from .delivery import Delivery, Later, is_closed_within
from .envelope import Envelope
from .errors import MailboxFull, RecipientStopped
from .front import Shared
from .ref import TURN, ActorRef

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


def fan_out_nowait(refs: Sequence[ActorRef[M]], message: M, *more: M) -> list[ActorRef[M]]:
    """Tell *message*, and then *more*, to each of *refs*, actors of one system, at once.

    Handed back are those that could not be told: they are full, or gone (see `ActorRef.alive`), and were told
    nothing after that. To those who take it in the sender's task a message comes in one envelope, with one
    number, unless an observer looks on; what they begin (see `Later`) is finished once all was told.
    """
    if not refs:
        return []
    messages = (message, *more)
    alone = len(refs) == 1 or refs[0]._recipient.observers
    if alone or any(each is None or isinstance(each, Question) for each in messages):
        return [ref for ref in refs if not _is_told(ref, messages)]
    untold: list[ActorRef[M]] = []
    rounds: list[_Round[M]] = []
    try:
        for each in messages:
            rounds.append(_Round(each, refs[0]))
            left = [ref for ref in refs if ref not in untold] if untold else refs
            rounds[-1].begin(left, untold, rounds)
    finally:
        # Even if the sender is interrupted: what was begun was told.
        _finish(rounds, untold)
    return [ref for ref in refs if ref in untold] if untold else []


class _Round(Generic[M]):
    """One message on its way to all of them; *first* is one of those, for what all have in common."""

    def __init__(self, message: M, first: ActorRef[M]) -> None:
        self._envelope = envelope = Envelope(message, first._recipient.clock())
        envelope.began_at = envelope.sent_at
        self._entry = Shared(envelope, first._front)
        self._delivery = Delivery(envelope, first)
        self._deliveries = first._recipient.deliveries
        self._begun: list[tuple[ActorRef[M], Later]] = []

    def begin(
        self, refs: Sequence[ActorRef[M]], untold: list[ActorRef[M]], rounds: Sequence[_Round[M]]
    ) -> None:
        """Have it consumed, or put into mailboxes after what *rounds* leave; note the rest in *untold*."""
        envelope, entry, delivery, begun = self._envelope, self._entry, self._delivery, self._begun
        message: M = envelope.message
        before = entry.before
        around = tuple(self._deliveries)
        token = here.set(delivery)
        self._deliveries.append(delivery)
        try:
            for ref in refs:
                delivery.ref = ref
                front = ref._front
                consumer = front.consumer
                if consumer is None or (around and is_closed_within(around, ref._recipient)):
                    left = message
                else:
                    try:
                        left = consumer.consume(message)
                    except Exception as error:
                        # Its own doing, and not the trouble of whoever told it something.
                        ref._recipient.ledger.note_shared(entry)
                        ref._recipient.crash_consuming(envelope, error)
                        continue
                    if left is not message:
                        if front.shared is before:
                            front.shared = entry  # as `note_shared`, without a call
                        else:
                            ref._recipient.ledger.note_shared(entry)
                        if left is None:
                            continue
                        if isinstance(left, Later):
                            begun.append((ref, left))
                            continue
                here.reset(token)  # what is put into a mailbox is sent by the sender
                try:
                    for each in rounds:
                        if each._begun:
                            each.finish(untold, of=ref)
                    if not _is_put(ref, left, envelope.sent_at):
                        untold.append(ref)
                finally:
                    token = here.set(delivery)
        finally:
            here.reset(token)
            self._deliveries.pop()

    def finish(self, untold: list[ActorRef[M]], of: ActorRef[M] | None = None) -> None:
        """Finish what was begun, or what *of* one; note in *untold* who had no room for what was left."""
        begun = [each for each in self._begun if of is None or each[0] == of]
        self._begun[:] = [each for each in self._begun if not (of is None or each[0] == of)]
        delivery, interrupt = self._delivery, None
        unfinished: list[tuple[ActorRef[M], M]] = []
        token = here.set(delivery)
        self._deliveries.append(delivery)
        for ref, later in begun:
            delivery.ref = ref
            try:
                left = later.finish()
            except Exception as error:
                ref._recipient.crash_consuming(self._envelope, error)
            except BaseException as error:
                interrupt = error
            else:
                if left is not None:
                    unfinished.append((ref, left))
        here.reset(token)
        self._deliveries.pop()
        if of is None:
            self._envelope.message = None
        try:
            _put_all(unfinished, self._envelope.sent_at, untold)
        finally:
            if interrupt is not None:
                raise interrupt


def _finish(rounds: Sequence[_Round[M]], untold: list[ActorRef[M]]) -> None:
    for number, each in enumerate(rounds, start=1):
        try:
            each.finish(untold)
        except BaseException:
            _finish(rounds[number:], untold)
            raise


def _put_all(left: Sequence[tuple[ActorRef[M], M]], now: float, untold: list[ActorRef[M]]) -> None:
    for number, (ref, message) in enumerate(left, start=1):
        try:
            if not _is_put(ref, message, now):
                untold.append(ref)
        except BaseException:
            _put_all(left[number:], now, untold)
            raise


def _is_told(ref: ActorRef[M], messages: Sequence[M]) -> bool:
    try:
        for message in messages:
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
