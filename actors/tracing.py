"""What every actor writes down of its work, always: so little that it costs next to nothing.

Each cell keeps a `Ledger`; who wants to see more, while it happens, attaches an `Observer` to the system.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .envelope import Envelope
from .front import RECENT, Front, Shared
from .lifecycle import State

CRASHES = 5
ERROR_LENGTH = 300


class Observer:
    """Is told of everything that the actors do, in the moment they do it; derive from it what you need.

    Its methods are called in the middle of the runtime's work: they must be quick, must not raise, and must
    not keep an envelope's `message`, which may be large and private.
    """

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        """The actor at *address* was sent a message; *queued* wait in its mailbox now.

        A full mailbox that drops the newest has dropped it.
        """

    def began(self, envelope: Envelope, address: str, queued: int) -> None:
        """It begins to handle it; *queued* still wait."""

    def ended(self, envelope: Envelope, address: str, error: BaseException | None) -> None:
        """It has handled it, or was ended by *error*, a cancellation among them."""

    def declined(self, envelope: Envelope, address: str) -> None:
        """It began in vain: what it could have taken at once waits in its mailbox, to be begun again."""

    def changed(self, address: str, state: State) -> None:
        """It starts, restarts, stops or is gone."""


@frozen
class Crash:
    """When (on trio's clock) an actor crashed, of what, and at which message."""

    at: float
    error: str
    kind: str | None
    cause: int


class Ledger:
    """The accounts of one actor over all of its lives.

    Args:
        front: Where the newest of the entries that are shared with others is kept.
    """

    __slots__ = (
        "_before",
        "_counts",
        "_front",
        "_recent",
        "busy",
        "crashed",
        "crashes",
        "expired",
        "restarts",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        # The shared entry before the first that is its own.
        self._before: Shared | None = None
        self._counts: dict[type, int] = {}
        self.busy = 0.0
        self.expired = 0
        self.restarts = 0
        # A list: a deque takes 600 bytes even if there is little in it.
        self._recent: list[Envelope] | None = None
        self.crashed = 0
        self.crashes: tuple[Crash, ...] = ()

    @property
    def counts(self) -> dict[type, int]:
        """How many messages it handled, by their classes."""
        self._settle()
        return self._counts

    @property
    def recent(self) -> Sequence[Envelope]:
        """The newest of them, in their order."""
        self._settle()
        return self._recent or ()

    def note(self, envelope: Envelope, ended_at: float) -> None:
        """Enter a message that was handled. Its body is forgotten."""
        envelope.message = envelope.conflation_key = None
        envelope.took = took = ended_at - envelope.began_at
        self.busy += took
        self.note_consumed(envelope)

    def note_consumed(self, envelope: Envelope) -> None:
        """Enter a message that was handled at once. The time it took is its sender's."""
        if self._front.shared is not None:
            self._settle()
        try:
            self._counts[envelope.type] += 1
        except KeyError:
            self._counts[envelope.type] = 1
        recent = self._recent
        if recent is None:
            self._recent = [envelope]
            return
        if len(recent) == RECENT:
            del recent[0]
        recent.append(envelope)

    def note_shared(self, entry: Shared, before: Shared | None) -> None:
        """Enter a message that others have taken as well, at once; *before* it came others, of theirs."""
        if self._front.shared is not before:
            self._settle()
            self._before = before
        self._front.shared = entry

    def _settle(self) -> None:
        """Make the entries that are shared its own, but for those before its first."""
        entry, self._front.shared = self._front.shared, None
        before, self._before = self._before, None
        if entry is None:
            return
        length, known = (0, {}) if before is None else (before.length, before.counts)
        for kind, count in entry.counts.items():
            if new := count - known.get(kind, 0):
                self._counts[kind] = self._counts.get(kind, 0) + new
        self._recent = [*(self._recent or ()), *entry.recent[length - entry.length :]][-RECENT:]

    def note_crash(self, at: float, error: BaseException, envelope: Envelope | None) -> None:
        kind, cause = (None, 0) if envelope is None else (envelope.kind, envelope.id)
        text = repr(error)
        if len(text) > ERROR_LENGTH:
            text = text[:ERROR_LENGTH] + "…"
        self.crashed += 1
        self.crashes = (*self.crashes[1 - CRASHES :], Crash(at, text, kind, cause))
