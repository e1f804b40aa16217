"""Telling many actors the same, for the price of little more than the receivers' own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

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
# Where the system sees to the sockets itself (`ActorSystem.pump`), all others wait for so many, or so many
# seconds: with ten thousand sockets, of which nothing is in the processor's caches, each takes twice as long.
MOST, LONGEST = 256, 0.002


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
    pump, clock = refs[0]._recipient.pump, refs[0]._recipient.clock
    until = clock() + LONGEST
    untold: list[ActorRef[M]] = []
    sending = _Round(message, refs[0])
    for start in range(0, len(refs), MANY):
        if start and (pump is None or start % MOST == 0 or clock() >= until or not pump()):
            await trio.lowlevel.checkpoint()
            until = clock() + LONGEST
        untold += sending.tell(refs[start : start + MANY])
    return untold


def fan_out_nowait(refs: Sequence[ActorRef[M]], message: M) -> list[ActorRef[M]]:
    """Tell *message* to each of *refs*, actors of one system, at once; those that could not be told.

    They are full, or gone (see `ActorRef.alive`). To those who take it in the sender's task it comes in one
    envelope, with one number, unless an observer looks on.
    """
    if len(refs) <= 1:
        return [ref for ref in refs if not _is_told(ref, message)]
    return _Round(message, refs[0]).tell(refs)


class FanOut(Generic[M]):
    """Several messages to the same *refs*, actors of one system, each told all of them in order.

    A context manager: what the receivers begin (see `Later`) is finished at its end, once for all messages.
    Nobody may wait meanwhile.

    Attributes:
        untold: Those that could not be told one, as in `fan_out_nowait`; they were told none after that, for
            they would miss something and not know.
    """

    def __init__(self, refs: Sequence[ActorRef[M]]) -> None:
        self._refs = refs
        self._rounds: list[_Round[M]] = []
        self.untold: list[ActorRef[M]] = []

    def __enter__(self) -> FanOut[M]:
        return self

    def tell(self, message: M) -> None:
        """Tell each *message*."""
        untold = self.untold
        refs = [ref for ref in self._refs if ref not in untold] if untold else self._refs
        if not refs:
            return
        if _is_told_singly(message, refs[0]):
            rounds, self._rounds = self._rounds, []
            _finish(rounds, untold)
            untold += [ref for ref in refs if not _is_told(ref, message)]
        else:
            self._rounds.append(_Round(message, refs[0]))
            self._rounds[-1].begin(refs, untold, self._rounds)

    def __exit__(self, *_: object) -> None:
        # Even if the sender is interrupted: what was begun was told.
        _finish(self._rounds, self.untold)


class _Round(Generic[M]):
    """One message on its way to all of them, some at a time; *first* is one, for what all have in common."""

    def __init__(self, message: M, first: ActorRef[M]) -> None:
        self._sender = here.get()
        self._clock = first._recipient.clock
        self._now = self._clock()
        self._message = message
        self._envelope = envelope = Envelope(message, self._now)
        envelope.began_at = envelope.sent_at
        self._before: Shared | None = None
        self._entry: Shared | None = None
        self._delivery = Delivery(envelope, first)
        self._deliveries = first._recipient.deliveries
        self._begun: list[tuple[ActorRef[M], Later]] = []

    def tell(self, refs: Sequence[ActorRef[M]]) -> list[ActorRef[M]]:
        """Tell *refs*, in a turn of their own, and finish what they begin; those that could not be told."""
        if _is_told_singly(self._message, refs[0]):
            return [ref for ref in refs if not _is_told(ref, self._message)]
        untold: list[ActorRef[M]] = []
        self._now = self._clock()
        self._envelope.message = self._message
        try:
            self.begin(refs, untold, [self])
        finally:
            self.finish(untold)
        return untold

    def begin(
        self, refs: Sequence[ActorRef[M]], untold: list[ActorRef[M]], rounds: Sequence[_Round[M]]
    ) -> None:
        """Have it consumed, or put into mailboxes after what *rounds* leave; note the rest in *untold*."""
        envelope, message, entry = self._envelope, self._message, self._entry
        # The others, it is to be hoped, have shared the entries before, too. Who has not costs more.
        before = refs[0]._front.shared
        if entry is None or before is not self._before:
            entry = self._entry = Shared(envelope, before)
            self._before = before
        delivery, begun = self._delivery, self._begun
        # Of each it is asked whether it left a `Later`, and `isinstance` costs as much as a call.
        later: type[Later] | None = None
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
                        ref._recipient.ledger.note_shared(entry, before)
                        ref._recipient.crash_consuming(envelope, error)
                        continue
                    if left is not message:
                        if front.shared is before:
                            front.shared = entry  # as `note_shared`, without a call
                        else:
                            ref._recipient.ledger.note_shared(entry, before)
                        if left is None:
                            continue
                        if type(left) is later or isinstance(left, Later):
                            later = type(left)
                            begun.append((ref, left))
                            continue
                here.reset(token)  # what is put into a mailbox is sent by the sender
                try:
                    for each in rounds:
                        if each._begun:
                            each.finish(untold, of=ref)
                    if ref not in untold and not _is_put(ref, left, self._now):
                        untold.append(ref)
                finally:
                    token = here.set(delivery)
        finally:
            here.reset(token)
            self._deliveries.pop()

    def finish(self, untold: list[ActorRef[M]], of: ActorRef[M] | None = None) -> None:
        """Finish what was begun, or what *of* one; note in *untold* who had no room for what was left."""
        if of is None:
            begun, self._begun = self._begun, []
        else:
            begun = [each for each in self._begun if each[0] == of]
            self._begun[:] = [each for each in self._begun if each[0] != of]
        delivery, interrupt = self._delivery, None
        unfinished: list[tuple[ActorRef[M], M]] = []
        token = here.set(delivery)
        self._deliveries.append(delivery)
        try:
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
            self._deliveries.pop()
            if of is None:
                self._envelope.message = None
            if unfinished:
                here.set(self._sender)
                _put_all(unfinished, self._now, untold)
        finally:
            here.reset(token)
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


def _is_told_singly(message: object, first: ActorRef[Any]) -> bool:
    """Whether *first*, and so all of them, get *message* in an envelope of their own."""
    return bool(first._recipient.observers) or message is None or isinstance(message, Question)


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
