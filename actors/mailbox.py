"""The bounded queue in front of every actor: the only place where messages wait.

Built on one trio memory channel for waking its reader. The channel itself is unbounded: the bound, and what
happens at it, are decided here, because a full trio channel can only raise or wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any

import trio
from attrs import define

from .errors import MailboxClosed


class Overflow(Enum):
    """What `put_nowait` does when the mailbox is full. `put` waits whatever the policy."""

    REJECT = "reject"
    """Refuse the message; the sender is told."""
    DROP_NEWEST = "drop newest"
    """Drop the message; it is counted."""
    DROP_OLDEST = "drop oldest"
    """Drop the message that has waited longest; it is counted."""


@define(eq=False)
class Envelope:
    """A message on its way. `deadline` is on trio's clock: past it, nobody waits for the work any more."""

    message: Any
    deadline: float = math.inf
    conflation_key: Hashable | None = None


class Mailbox:
    """A FIFO of at most *capacity* envelopes.

    Args:
        capacity: How many may wait.
        overflow: What to do with one too many.
        conflate: Gives the key of messages of which only the newest matters, `None` for all others. While
            one with the same key is waiting, a newer one takes its place in the queue.
    """

    def __init__(
        self,
        capacity: int,
        overflow: Overflow = Overflow.REJECT,
        conflate: Callable[[Any], Hashable | None] | None = None,
    ) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.peak = 0
        self.dropped = 0
        self.conflated = 0
        self._conflate = conflate
        self._waiting: dict[Hashable, Envelope] = {}
        self._length = 0
        self._closed = False
        self._blocked = trio.lowlevel.ParkingLot()
        self._put, self._get = trio.open_memory_channel[Envelope](math.inf)

    def __len__(self) -> int:
        return self._length

    @property
    def closed(self) -> bool:
        return self._closed

    def put_nowait(self, envelope: Envelope) -> bool:
        """Queue *envelope*; false if there is no room and the policy is `REJECT`.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        if self._closed:
            raise MailboxClosed
        if self._replaces_a_waiting_one(envelope):
            return True
        if self._length >= self.capacity:
            if self.overflow is Overflow.REJECT:
                return False
            self.dropped += 1
            if self.overflow is Overflow.DROP_NEWEST:
                return True
            self._taken(self._get.receive_nowait())
        self._append(envelope)
        return True

    def put_urgent(self, envelope: Envelope) -> None:
        """Queue what must not be lost and is bounded by other means, like the word of a watched actor's end.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        if self._closed:
            raise MailboxClosed
        self._append(envelope)

    async def put(self, envelope: Envelope) -> None:
        """Queue *envelope*, waiting while there is no room.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._closed and self._length >= self.capacity:
            if self._replaces_a_waiting_one(envelope):
                break
            await self._blocked.park()
        else:
            if self._closed:
                raise MailboxClosed
            if not self._replaces_a_waiting_one(envelope):
                self._append(envelope)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def get(self) -> Envelope:
        """The envelope that has waited longest.

        Raises:
            MailboxClosed: It was closed.
        """
        try:
            envelope = await self._get.receive()
        except trio.ClosedResourceError:
            raise MailboxClosed from None
        self._taken(envelope)
        return envelope

    def close(self) -> list[Envelope]:
        """Take no more and wake everybody who waits here; what was queued is handed back."""
        if self._closed:
            return []
        self._closed = True
        left = []
        while self._length:
            envelope = self._get.receive_nowait()
            self._taken(envelope)
            left.append(envelope)
        self._get.close()
        self._put.close()
        self._blocked.unpark_all()
        return left

    def _replaces_a_waiting_one(self, envelope: Envelope) -> bool:
        if self._conflate is None:
            return False
        key = envelope.conflation_key = self._conflate(envelope.message)
        if key is None or (older := self._waiting.get(key)) is None:
            return False
        older.message, older.deadline = envelope.message, envelope.deadline
        self.conflated += 1
        return True

    def _append(self, envelope: Envelope) -> None:
        if envelope.conflation_key is not None:
            self._waiting[envelope.conflation_key] = envelope
        self._length += 1
        if self._length > self.peak:
            self.peak = self._length
        self._put.send_nowait(envelope)

    def _taken(self, envelope: Envelope) -> None:
        self._length -= 1
        if envelope.conflation_key is not None:
            self._waiting.pop(envelope.conflation_key, None)
        if self._blocked:
            self._blocked.unpark()
