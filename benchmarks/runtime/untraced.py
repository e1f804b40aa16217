"""The runtime without its books: what `tracing_cost.py` compares with. Nothing else has this switch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from actors.actor import Actor
from actors.ask import Question
from actors.envelope import Envelope
from actors.intake import TURN_MESSAGES, TURN_SECONDS, Intake


def _bare_envelope(self: Envelope, message: Any, sent_at: float, deadline: float = math.inf) -> None:
    """No number, no cause, no sender, no times; the type is what dead letters need."""
    self.message = message
    self.type = type(message)
    self.deadline = deadline
    self.conflation_key = None
    self.weight = 0
    self.cause, self.sender, self._origin, self.sent_at = 0, "", None, 0.0


async def _handle_bare(self: Intake, actor: Actor[Any]) -> None:
    """The loop of `Intake.handle_messages` without ledger, observers and causes."""
    cell, mailbox, clock = self.cell, self.cell.mailbox, self.cell.clock
    left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS
    while not self.ending:
        if self.timers:
            self._send_due(self.timers)
        envelope = mailbox.take()
        if envelope is None:
            if self.timers:
                with trio.CancelScope(deadline=self.timers.next_due()):
                    await mailbox.wait()
            else:
                await mailbox.wait()
            await trio.lowlevel.checkpoint_if_cancelled()
            left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS
            continue
        message = envelope.message
        now = clock()
        if envelope.deadline <= now or (isinstance(message, Question) and not self._expect(message)):
            cell.dead_letters.add(cell.address, envelope.type, "expired")
            continue
        await actor.handle(message)
        del message, envelope
        left -= 1
        if left == 0 or now >= turn_ends:
            await trio.lowlevel.checkpoint()
            left, turn_ends = TURN_MESSAGES, clock() + TURN_SECONDS


@contextmanager
def untraced() -> Iterator[None]:
    """Systems that are started in the block keep no books."""
    envelope, handle = Envelope.__init__, Intake.handle_messages
    Envelope.__init__ = _bare_envelope  # type: ignore[method-assign]
    Intake.handle_messages = _handle_bare  # type: ignore[method-assign]
    try:
        yield
    finally:
        Envelope.__init__ = envelope  # type: ignore[method-assign]
        Intake.handle_messages = handle  # type: ignore[method-assign]
