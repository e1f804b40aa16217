"""What one life of an actor does with its messages: takes them one by one, as long as it lives.

Its timers, its requests and the answers it owes are here too: all are forgotten with the life.
"""

from __future__ import annotations

from typing import Any, Protocol

import trio
from attrs import define

from .actor import Actor
from .ask import Question, Unanswered, promise_of
from .causality import Origin, here
from .envelope import Envelope
from .errors import MailboxClosed
from .ref import Recipient
from .request import AnswerEnvelope, Requests
from .timers import Alarm, Timer, Timers
from .tracing import Ledger

# An actor whose mailbox never empties lets others run after so many messages, or seconds.
TURN_MESSAGES = 64
TURN_SECONDS = 0.001


class Reader(Recipient, Protocol):
    """The cell whose mailbox is read."""

    ledger: Ledger
    current: Envelope | None
    because: Envelope | None

    @property
    def cause(self) -> int: ...
    @property
    def origin(self) -> Origin | None: ...


@define(eq=False)
class Intake:
    """Reads *cell*'s mailbox until `ending` is set."""

    cell: Reader
    ending: bool = False
    # Most actors never need these, and what is not there costs neither memory nor the collector's time.
    timers: Timers | None = None
    _alarm: Alarm | None = None
    requests: Requests | None = None
    _unanswered: Unanswered | None = None

    def end(self) -> None:
        """Take no more messages after the one in hand."""
        self.ending = True
        self.cell.mailbox.ring()

    def after(self, seconds: float, message: Any) -> Timer:
        """Put *message* into the mailbox when so many seconds are over."""
        cell = self.cell
        setter = here.get() or cell
        if self.timers is None:
            self.timers = Timers()
        timer = self.timers.add(cell.clock() + seconds, message, setter.cause, setter.origin)
        if seconds > 0:
            self._set_alarm(timer.due)
        else:
            cell.mailbox.ring()
        return timer

    def _set_alarm(self, due: float) -> None:
        """Be woken then, or earlier: in vain costs less than to set it anew each time."""
        alarm = self._alarm
        if alarm is None or alarm.settled or due < alarm.at:
            if alarm is not None:
                alarm.cancel()
            self._alarm = Alarm(due, self.cell.deadlines, self.cell.mailbox.ring)

    def forget(self) -> None:
        """What this life has asked for is not for the next."""
        cell = self.cell
        if self.timers is not None:
            self.timers.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.requests is not None:
            self.requests.abandon()
            for envelope in cell.mailbox.discard(AnswerEnvelope):
                cell.dead_letters.add(cell.address, envelope.type, "its life is over")

    def fail_questions(self) -> None:
        """Tell everybody who still waits for an answer that none will come."""
        if self._unanswered is not None:
            self._unanswered.fail(self.cell.address)

    async def handle_messages(self, actor: Actor[Any]) -> None:
        cell, mailbox = self.cell, self.cell.mailbox
        clock, ledger, observers = cell.clock, cell.ledger, cell.observers
        consumer = actor.consumer
        if consumer is None and type(actor).consume is not Actor.consume:
            consumer = actor
        now = clock()
        left, turn_ends = TURN_MESSAGES, now + TURN_SECONDS
        while not self.ending:
            if self.timers:
                self._send_due(self.timers)
            # Without another message it waits anyway, and is then there for what comes.
            if (left <= 0 or now >= turn_ends) and mailbox:
                await trio.lowlevel.checkpoint()
                now = clock()
                left, turn_ends = TURN_MESSAGES, now + TURN_SECONDS
                continue
            envelope = mailbox.take()
            if envelope is None:
                cell.because = None
                cell.since = clock()
                if self.timers:
                    self._set_alarm(self.timers.next_due())
                await mailbox.wait(consumer)
                # Woken or not, who was cancelled meanwhile takes no message: it is for the next life.
                await trio.lowlevel.checkpoint_if_cancelled()
                now = clock()
                left, turn_ends = TURN_MESSAGES, now + TURN_SECONDS
                continue
            message = envelope.message
            envelope.began_at = now  # between two messages in a row no time passes
            if envelope.deadline <= now or (isinstance(message, Question) and not self._expect(message)):
                ledger.expired += 1
                cell.dead_letters.add(cell.address, envelope.type, "expired")
                continue
            cell.current = cell.because = envelope
            if observers:
                self._tell_began(envelope)
            try:
                await actor.handle(message)
            except BaseException as error:
                ledger.note(envelope, clock())
                self._tell_ended(envelope, error)
                raise
            del message  # it may be large, and the next may be long in coming
            cell.current = None
            ledger.note(envelope, now := clock())
            if observers:
                self._tell_ended(envelope, None)
            left -= 1

    def _tell_began(self, envelope: Envelope) -> None:
        for observer in self.cell.observers:
            observer.began(envelope, self.cell.address, len(self.cell.mailbox))

    def _tell_ended(self, envelope: Envelope, error: BaseException | None) -> None:
        for observer in self.cell.observers:
            observer.ended(envelope, self.cell.address, error)

    def _expect(self, question: Question[Any, Any]) -> bool:
        """Note *question* as one to be answered; false if nobody waits for the answer any more."""
        promise = promise_of(question)
        if promise is None:
            return True  # it was told: its answer goes nowhere
        if promise.settled:
            return False
        if self._unanswered is None:
            self._unanswered = Unanswered()
        self._unanswered.expect(promise, question)
        return True

    def _send_due(self, timers: Timers) -> None:
        cell = self.cell
        while (timer := timers.pop_due(cell.clock())) is not None:
            envelope = Envelope(timer.take(), timer.due)
            envelope.sender, envelope.cause = cell.address, timer.cause
            envelope.origin = timer.origin or Origin(envelope.id, envelope.kind)
            self.enqueue(envelope)

    def enqueue(self, envelope: Envelope) -> None:
        """Put *envelope* into the mailbox, full or not: a timer's message, or word of an end."""
        cell = self.cell
        try:
            cell.mailbox.put_urgent(envelope)
        except MailboxClosed:
            cell.dead_letters.add(cell.address, envelope.type, "recipient gone")
            return
        cell.note_sent(envelope)
