"""The bounded queue in front of every actor: the only place where messages wait.

The messages lie in a deque, where they can be dropped, replaced and handed back; one trio memory channel is
the bell that wakes the reader. They don't lie in the channel itself: that hands an item to its reader's task
before the task runs, and whoever looks in between finds it neither queued nor received.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any, Protocol

import trio

from .envelope import Envelope
from .errors import MailboxClosed
from .front import Consumer, Front


class Overflow(Enum):
    """What `put_nowait` does when the mailbox is full. `put` waits whatever the policy."""

    REJECT = "reject"
    """Refuse the message; the sender is told."""
    DROP_NEWEST = "drop newest"
    """Drop the message; it is counted."""
    DROP_OLDEST = "drop oldest"
    """Drop the message that has waited longest; it is counted."""


class Owner(Protocol):
    """Whose mailbox it is."""

    def note_sent(self, envelope: Envelope) -> None:
        """*envelope*, which had to wait for room, has got in."""

    def note_dropped(self, message: Any) -> None:
        """*message* was dropped, or replaced by a newer one."""


# The queue of every mailbox in which nothing waits. Never put anything into it.
_NOTHING: deque[Envelope] = deque(maxlen=0)


class Mailbox:
    """A FIFO of at most *capacity* envelopes.

    Args:
        capacity: How many may wait.
        overflow: What to do with one too many.
        conflate: Gives the key of messages of which only the newest matters, `None` for all others. While
            one with the same key is waiting, a newer one takes its place in the queue.
        weigh: Gives a message's weight, in whatever unit; by default nothing weighs anything.
        bearing: How much the waiting messages may weigh together. A single one may always wait.

    Attributes:
        front: Whose `consumer` is set here.
    """

    __slots__ = (
        "_bell",
        "_closed",
        "_conflate",
        "_plain",
        "_queue",
        "_reader_waits",
        "_replaceable",
        "_rung",
        "_senders",
        "_weigh",
        "bearing",
        "capacity",
        "conflated",
        "dropped",
        "front",
        "overflow",
        "owner",
        "peak",
        "rejected",
        "weight",
    )

    def __init__(
        self,
        capacity: int,
        overflow: Overflow = Overflow.REJECT,
        conflate: Callable[[Any], Hashable | None] | None = None,
        weigh: Callable[[Any], int] | None = None,
        bearing: float = math.inf,
    ) -> None:
        self.capacity = capacity
        self.bearing = bearing
        self.weight = 0
        self._weigh = weigh
        self.overflow = overflow
        self.peak = 0
        self.dropped = 0
        self.rejected = 0
        self.conflated = 0
        self.owner: Owner | None = None
        self.front = Front()
        self._conflate = conflate
        self._plain = conflate is None and weigh is None
        self._queue: deque[Envelope] = _NOTHING
        self._replaceable: dict[Hashable, Envelope] = {}
        self._senders: dict[trio.lowlevel.Task, Envelope] = {}
        self._closed = False
        self._reader_waits = False
        self._bell, self._rung = trio.open_memory_channel[None](1)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and the reader waits."""
        return self._reader_waits and not self._queue

    @property
    def oldest(self) -> Envelope | None:
        """The one that is next."""
        return self._queue[0] if self._queue else None

    def put_nowait(self, envelope: Envelope) -> bool:
        """Queue *envelope*; false if there is no room and the policy is `REJECT`.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        if self._closed:
            raise MailboxClosed
        if self._plain and len(self._queue) < self.capacity:
            self._push(envelope)
            return True
        self._label(envelope)
        if self._replaces_a_waiting_one(envelope):
            return True
        if self._is_full_for(envelope):
            if self.overflow is Overflow.REJECT:
                self.rejected += 1
                return False
            if self.overflow is Overflow.DROP_NEWEST:
                self.dropped += 1
                self._tell_dropped(envelope.message)
                return True
            while self._is_full_for(envelope):
                self.dropped += 1
                self._tell_dropped(self._remove_oldest().message)
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

    def offer(self, envelope: Envelope) -> bool:
        """Queue *envelope* if there is room, whatever the policy.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        if self._closed:
            raise MailboxClosed
        if self._plain and len(self._queue) < self.capacity and not self._senders:
            self._push(envelope)
            return True
        self._label(envelope)
        if self._replaces_a_waiting_one(envelope):
            return True
        # Nobody gets ahead of those who wait, lest small messages keep a large one out for ever.
        if self._senders or self._is_full_for(envelope):
            return False
        self._append(envelope)
        return True

    async def wait_for_room(self, envelope: Envelope) -> None:
        """Queue *envelope*, which was offered in vain. Who has waited longest gets in first.

        Raises:
            MailboxClosed: Nobody will read it.
        """
        task = trio.lowlevel.current_task()
        self._senders[task] = envelope

        def give_up(_: object) -> trio.lowlevel.Abort:
            del self._senders[task]
            self._let_senders_in()  # there may be room for a smaller one
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)
        if self._senders.pop(task, None) is not None:
            raise MailboxClosed  # woken by `close`, not by `_let_senders_in`

    def take(self) -> Envelope | None:
        """The envelope that has waited longest, if one is there."""
        if not self._queue:
            return None
        envelope = self._queue.popleft() if self._plain else self._remove_oldest()
        if self._senders:
            self._let_senders_in()
        return envelope

    async def wait(self, consumer: Consumer | None = None) -> None:
        """Wait until something was queued, somebody rang, or the mailbox was closed.

        Meanwhile *consumer* is offered messages, if nothing is queued.
        """
        self._reader_waits = True
        if not self._queue:
            self.front.consumer = consumer
            # A deque takes 600 bytes even if it is empty, as most are nearly always.
            self._queue = _NOTHING
        try:
            await self._rung.receive()
        except trio.ClosedResourceError:
            pass
        finally:
            self._reader_waits = False
            self.front.consumer = None

    def ring(self) -> None:
        """Wake the reader, if it waits."""
        if self._reader_waits:
            self._reader_waits = False
            self.front.consumer = None
            try:  # noqa: SIM105 - `suppress` would cost something with every message
                self._bell.send_nowait(None)
            except trio.WouldBlock:
                pass  # a reader that was cancelled in the moment it was rung for has left that ring behind

    def discard(self, kind: type[Envelope]) -> list[Envelope]:
        """Take out all that came urgently in an envelope of that *kind*."""
        found = [envelope for envelope in self._queue if type(envelope) is kind]
        if found:
            self._queue = deque(envelope for envelope in self._queue if type(envelope) is not kind)
            self._let_senders_in()
        return found

    def close(self) -> list[Envelope]:
        """Take no more and wake everybody who waits here; what was queued is handed back."""
        if self._closed:
            return []
        self._closed = True
        self.owner = None  # they would be a cycle
        left = list(self._queue)
        self._queue = _NOTHING
        self.weight = 0
        self._replaceable.clear()
        self._reader_waits = False
        self.front.consumer = None
        self._rung.close()
        self._bell.close()
        for task in self._senders:
            trio.lowlevel.reschedule(task)
        return left

    def _label(self, envelope: Envelope) -> None:
        if self._conflate is not None:
            envelope.conflation_key = self._conflate(envelope.message)
        if self._weigh is not None:
            envelope.weight = self._weigh(envelope.message)

    def _is_full_for(self, envelope: Envelope) -> bool:
        if not self._queue:
            return False
        return len(self._queue) >= self.capacity or self.weight + envelope.weight > self.bearing

    def _takes(self, envelope: Envelope) -> bool:
        if self._replaces_a_waiting_one(envelope):
            return True
        if self._is_full_for(envelope):
            return False
        self._append(envelope)
        return True

    def _replaces_a_waiting_one(self, envelope: Envelope) -> bool:
        key = envelope.conflation_key
        if key is None or (older := self._replaceable.get(key)) is None:
            return False
        self.weight += envelope.weight - older.weight
        replaced = older.message
        older.replace(envelope)
        self.conflated += 1
        self._tell_dropped(replaced)
        return True

    def _append(self, envelope: Envelope) -> None:
        if envelope.conflation_key is not None:
            self._replaceable[envelope.conflation_key] = envelope
        self.weight += envelope.weight
        self._push(envelope)

    def _push(self, envelope: Envelope) -> None:
        if self._queue is _NOTHING:
            self._queue = deque()
        self._queue.append(envelope)
        length = len(self._queue)
        if length > self.peak:
            self.peak = length
        if self._reader_waits:
            self.ring()

    def _remove_oldest(self) -> Envelope:
        envelope = self._queue.popleft()
        self.weight -= envelope.weight
        if envelope.conflation_key is not None:
            del self._replaceable[envelope.conflation_key]
        return envelope

    def _let_senders_in(self) -> None:
        while self._senders and self._takes(self._senders[task := next(iter(self._senders))]):
            envelope = self._senders.pop(task)
            if self.owner is not None:
                self.owner.note_sent(envelope)
            trio.lowlevel.reschedule(task)

    def _tell_dropped(self, message: Any) -> None:
        if self.owner is not None:
            self.owner.note_dropped(message)
