"""What whoever tells an actor something looks at, in one small object.

In a fan-out to a thousand receivers nearly nothing of them is in the processor's caches any more when their
turn comes, and every object that is looked at costs as much as the work itself. So this is kept together,
within reach of each ref.
"""

from __future__ import annotations

from typing import Any, Protocol

from .envelope import Envelope

# How many of the newest messages a ledger keeps.
RECENT = 16


class Consumer(Protocol):
    """Takes messages at once."""

    def consume(self, message: Any, /) -> Any:
        """What is left of *message* (see `Actor.consume`)."""


class Front:
    """Of one actor, over all of its lives.

    Attributes:
        consumer: Who takes a message at once, while nothing is queued and the actor waits; else `None`.
        shared: The newest of the entries in its ledger that others share, as long as nothing came after them.
    """

    __slots__ = ("consumer", "shared")

    def __init__(self) -> None:
        self.consumer: Consumer | None = None
        self.shared: Shared | None = None


class Shared:
    """One entry for many ledgers: of a message that many actors took at once, in one envelope.

    Telling the same thousand actors again and again, this spares looking at the accounts of each of them,
    which are rarely in the processor's caches: a ledger whose newest entry is *before* takes note of the next
    by pointing to it. So an entry stands for all before it, too.

    Attributes:
        counts: How many messages there were so far, by their classes.
        recent: The newest of them, in their order.
        length: How many there were.
    """

    __slots__ = ("counts", "length", "recent")

    def __init__(self, envelope: Envelope, before: Shared | None) -> None:
        if before is None:
            self.length = 1
            self.counts = {envelope.type: 1}
            self.recent: tuple[Envelope, ...] = (envelope,)
        else:
            self.length = before.length + 1
            self.counts = {**before.counts, envelope.type: before.counts.get(envelope.type, 0) + 1}
            self.recent = (*before.recent[1 - RECENT :], envelope)
