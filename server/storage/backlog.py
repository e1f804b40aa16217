"""What waits to be written, in the order in which it came."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, field, frozen

from server.chat import Command, ConversationKey, Edit, EndReply, Post, SaveReply, weight_of
from server.messages import Commit, Maintain, Trim

Work = Commit[Any] | Trim | Maintain

# What a command of no content weighs.
SMALL = 512


@frozen
class Limits:
    """How much may wait, and how much is done at once: so many, and so many bytes of memory or so."""

    waiting: int = 16_384
    waiting_bytes: int = 2**26
    batch: int = 500
    batch_bytes: int = 2**24


@define
class Backlog:
    """A queue of work, and which of it is still undecided: it waits, or was taken and is not `done`."""

    limits: Limits = field(factory=Limits)
    done: int = 0
    """The number of the newest work that is decided, as all before it are. The first is number 1."""
    _taken: int = 0
    _weight: int = 0
    _waiting: deque[tuple[Work, int]] = field(factory=deque)
    _latest: dict[ConversationKey, int] = field(factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, work: Work) -> bool:
        """Put *work* behind all that waits; false if there is no room."""
        weight = _weight(work)
        if self._waiting and (
            len(self._waiting) >= self.limits.waiting or self._weight + weight > self.limits.waiting_bytes
        ):
            return False
        self._waiting.append((work, weight))
        self._weight += weight
        if isinstance(work, Commit):
            self._latest[work.command.key] = self._taken + len(self._waiting)
        return True

    def take(self) -> list[Work]:
        """The next work to do together: commits, or one of another kind alone; none if nothing is left to do.

        What nobody waits for any more is left out.
        """
        limits, batch, size = self.limits, list[Work](), 0
        while self._waiting:
            work, weight = self._waiting[0]
            if batch and (
                not isinstance(work, Commit)
                or not isinstance(batch[0], Commit)
                or len(batch) >= limits.batch
                or size + weight > limits.batch_bytes
            ):
                break
            self._pop()
            if not work.settled:
                batch.append(work)
                size += weight
        return batch

    def take_all(self) -> list[Work]:
        """All that waits, for whoever will do none of it."""
        return [self._pop() for _ in range(len(self._waiting))]

    def decide(self) -> None:
        """All that was taken is done, or not to be done."""
        self.done = self._taken
        if not self._waiting:
            self._latest.clear()
        elif len(self._latest) > 2 * len(self._waiting):
            self._latest = {key: number for key, number in self._latest.items() if number > self.done}

    def undecided(self, key: ConversationKey) -> int:
        """The number of the newest undecided command to *key*, or of a decided one if there is none."""
        return self._latest.get(key, 0)

    def _pop(self) -> Work:
        work, weight = self._waiting.popleft()
        self._weight -= weight
        self._taken += 1
        return work


def _weight(work: Work) -> int:
    return SMALL + (_content_of(work.command) if isinstance(work, Commit) else 0)


def _content_of(command: Command[Any]) -> int:
    match command:
        case Post(chain=chain) | Edit(chain=chain):
            return weight_of(chain)
        case SaveReply(text=text) | EndReply(text=text):
            return text.__sizeof__()
    return 0
