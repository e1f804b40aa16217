"""What happened between two looks at the actors: messages a second, and the share of busy time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from .answers import Actor, Actors

Sort = str


@frozen
class Row:
    """One actor since the last look. `messages` are handled ones a second; `busy` is a share of the time."""

    actor: Actor
    messages: float
    busy: float

    @property
    def age(self) -> float:
        """Seconds since its current message, or the oldest that waits, was sent."""
        return max(self.actor.handling.age if self.actor.handling else 0.0, self.actor.oldest)


def rows(before: Actors | None, after: Actors, seconds: float) -> list[Row]:
    """A row for each of the actors of *after*; *before* was seen so many *seconds* earlier."""
    known = {actor.address: actor for actor in before.actors} if before is not None else {}
    return [_row(known.get(actor.address), actor, seconds) for actor in after.actors]


def sort(found: list[Row], by: Sort) -> list[Row]:
    """*found* with what is looked for first: by one of `SORTS`."""
    return sorted(found, key=SORTS[by])


def _row(before: Actor | None, after: Actor, seconds: float) -> Row:
    if before is None or seconds <= 0:
        return Row(after, 0.0, 0.0)
    handled, busy = after.handled - before.handled, after.busy - before.busy
    if handled < 0 or busy < 0:
        # Another one under this address, in a server that began anew.
        handled, busy = after.handled, after.busy
    return Row(after, handled / seconds, min(1.0, busy / seconds))


def _by(*values: Callable[[Row], float]) -> Callable[[Row], tuple[float | str, ...]]:
    return lambda row: (*(-value(row) for value in values), row.actor.address)


SORTS: Mapping[Sort, Callable[[Row], tuple[float | str, ...]]] = {
    "mailbox": _by(lambda row: row.actor.queued, lambda row: row.actor.oldest, lambda row: row.actor.peak),
    "busy": _by(lambda row: row.busy, lambda row: row.messages, lambda row: row.age),
    "age": _by(lambda row: row.age, lambda row: row.busy),
    "handled": _by(lambda row: row.messages, lambda row: row.actor.handled),
    "name": _by(),
}
