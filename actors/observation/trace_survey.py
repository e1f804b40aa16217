"""What has to be known of a whole recording before the first line of a trace can be written.

Recordings are large and this runs beside a serving thread, so everything is done in small pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .recorder import KINDS, Changed, Event, Exited, Handled, Recorded, Sent, Spawned, Step

_SENT = KINDS.index(Sent)
_PIECE = 2000
_BUCKETS = 1000


class Survey:
    """A look over *recorded*.

    Args:
        rest: Called after every piece of work, of a few milliseconds.
        forget: Take *recorded* to pieces on the way. To free half a million events in one go would let no
            thread run for a tenth of a second.

    Attributes:
        addresses: Of all actors in it, parents before their children.
        task_names: By number.
        sent: The ids of the messages whose sending was recorded.
        handled: Events by the id of the message.
        caused: By the id of a message, those that were sent because of it, but not while it was handled.
        effects: All of those.
    """

    def __init__(self, recorded: Recorded, *, rest: Callable[[], object], forget: bool) -> None:
        self.began, self.ended = recorded.began, recorded.ended
        self.addresses: list[str] = []
        self.task_names = dict(recorded.tasks)
        self.sent: set[int] = set()
        self.handled: dict[int, Event] = {}
        self.caused: dict[int, list[int]] = {}
        self.effects: set[int] = set()
        self._rest = rest
        self._buckets: list[list[Event]] = [[] for _ in range(_BUCKETS)]
        self._look_over(recorded)
        self._find_caused(recorded)
        if forget:
            recorded.events.clear()

    def in_order(self) -> Iterator[tuple[int, Any]]:
        """Every event in the order of its beginning, as the index of its kind and one of `KINDS`; once."""
        for bucket in self._buckets:
            # One sort of everything would let no other thread run for a tenth of a second.
            bucket.sort(key=self._begin)
            for kind, *fields in bucket:
                yield kind, KINDS[kind]._make(fields)
            bucket.clear()
        while self.handled:
            self.handled.popitem()
            if len(self.handled) % _PIECE == 0:
                self._rest()

    def is_within_cause(self, sent: Sent) -> bool:
        """Whether it was sent in the middle of the handling that was its cause."""
        event = self.handled.get(sent.cause)
        if event is None:
            return False
        cause = Handled._make(event[1:])
        return cause.address == sent.sender and cause.began < sent.at < (cause.ended or self.ended)

    def _begin(self, event: Event) -> int:
        began: int = event[1]
        return began or self.began

    def _look_over(self, recorded: Recorded) -> None:
        addresses: set[str] = set()
        span = max(1, self.ended - self.began)
        for event in self._in_pieces(recorded):
            match KINDS[event[0]]._make(event[1:]):
                case Handled(message=message, address=address):
                    self.handled[message] = event
                    addresses.add(address)
                case Sent(message=message, sender=sender, address=address):
                    self.sent.add(message)
                    addresses.update((address, sender))
                case Changed(address=address):
                    addresses.add(address)
                case Spawned(task=number, name=name) | Exited(task=number, name=name):
                    self.task_names[number] = name
                case Step(task=number):
                    self.task_names.setdefault(number, "?")  # it ended, and that was dropped
            bucket = (self._begin(event) - self.began) * _BUCKETS // span
            self._buckets[min(max(bucket, 0), _BUCKETS - 1)].append(event)
        self.addresses = sorted(addresses - {""})

    def _find_caused(self, recorded: Recorded) -> None:
        for event in self._in_pieces(recorded):
            if event[0] != _SENT:
                continue
            sent = Sent._make(event[1:])
            cause = self.handled.get(sent.cause)
            if cause is not None and self._begin(cause) < sent.at and not self.is_within_cause(sent):
                self.caused.setdefault(sent.cause, []).append(sent.message)
                self.effects.add(sent.message)

    def _in_pieces(self, recorded: Recorded) -> Iterator[Event]:
        for index, event in enumerate(recorded.events):
            if index % _PIECE == 0:
                self._rest()
            yield event
