"""What could not be delivered, counted and, for the newest few, kept to look at."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen


@frozen
class DeadLetter:
    """One undeliverable message: for whom, of which type, and why."""

    address: str
    message_type: str
    why: str


@define
class DeadLetters:
    """The dead letters of one system. Message bodies are not kept: they may be private, and large."""

    total: int = 0
    recent: deque[DeadLetter] = field(factory=lambda: deque(maxlen=100))

    def add(self, address: str, kind: type, why: str) -> None:
        """Count a message of the class *kind*; not the message itself, so that nothing holds on to it."""
        self.total += 1
        self.recent.append(DeadLetter(address, kind.__name__, why))
