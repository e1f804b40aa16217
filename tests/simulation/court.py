"""What all witnesses of a run know, and how one of them speaks up."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from server.chat import ConversationKey

from .faults import Faults
from .journal import Journal
from .models import Moods
from .plan import Habit
from .truth import Annals, Truth
from .wire import Frame


@define
class Court:
    """What every witness of a run knows."""

    truth: Truth
    faults: Faults
    moods: Moods
    journal: Journal
    acks: dict[tuple[Any, ...], tuple[int, int]] = field(factory=dict)
    first_acks: set[tuple[Any, ...]] = field(factory=set)
    stops: dict[Any, float] = field(factory=dict)
    """When somebody last stopped or reset each conversation."""


@define(eq=False)
class Stand:
    """Where a witness of one socket stands: what it knows, and whose socket it is."""

    court: Court
    name: str
    habit: Habit
    opened: float = field(init=False)
    lag: float = 0.0
    """How late, in seconds, the client may hear of things, since it reads slowly."""
    user: str = ""
    """The client's user id, once it was welcomed."""

    def __attrs_post_init__(self) -> None:
        self.opened = self.court.journal.now

    @property
    def annals(self) -> Annals:
        return self.court.truth.of(self.habit.key)

    def count(self, what: str) -> None:
        self.court.journal.count(what)

    def broken(self, law: str, text: str) -> None:
        self.court.journal.broken(law, f"{self.name}: {text}")

    def check(self, law: str, holds: object, text: str) -> None:
        if not holds:
            self.broken(law, text)

    def excused(self, *kinds: str, since: float, until: float | None = None) -> bool:
        """Whether a fault of one of these kinds concerned this conversation then, or until now."""
        end = self.court.journal.now if until is None else until
        excuse = self.court.faults.excuse
        return any(excuse(self.habit.key, since=since, until=end, kinds=kind) for kind in kinds)


def check_history(court: Court, key: ConversationKey, messages: list[Frame]) -> None:
    """What the history shows was said, is in order, and was not taken back before."""
    annals, journal = court.truth.of(key), court.journal
    numbers = [message["id"] for message in messages]
    if numbers != sorted(set(numbers)):
        journal.broken("history is in order", f"{numbers}")
    for message in messages:
        number = message["id"]
        if message["seq"] not in annals.facts:
            journal.broken("nothing leaves before its commit", f"{number} in the history")
        if message["content"] not in annals.texts.get(number, []):
            journal.broken("what is shown was said", f"{number} says {message['content']!r}")
