"""Taking the pictures in `views` of living actors. Nothing here changes anything."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sized
from enum import Enum
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from .envelope import Envelope
from .lifecycle import Crashed, ExitReason, State
from .mailbox import Mailbox
from .ref import ActorRef
from .tracing import Ledger
from .views import ActorView, CrashView, GoneView, KindTotals, MessageView, WaitView
from .waiting import Wait

MAX_ATTRIBUTES = 100


class Subject(Protocol):
    """What is read of a cell."""

    address: str
    kind: type[Any]
    mailbox: Mailbox
    ledger: Ledger
    state: State
    since: float
    started_at: float
    current: Envelope | None
    waits: list[Wait]
    stop_reason: str | None
    reason: ExitReason | None

    @property
    def actor(self) -> object: ...
    @property
    def requests(self) -> int: ...


@frozen
class Gone:
    """What is kept of an actor after its end."""

    address: str
    kind: str
    at: float
    reason: str
    handled: int
    restarts: int
    lived: float


@define
class Total:
    """The sums over the actors of one class that are gone; `started` counts the living too."""

    started: int = 0
    handled: Counter[type] = field(factory=Counter)
    busy: float = 0.0
    dropped: int = 0
    conflated: int = 0
    rejected: int = 0
    expired: int = 0
    restarts: int = 0
    crashes: int = 0

    def add(self, subject: Subject) -> None:
        ledger, mailbox = subject.ledger, subject.mailbox
        for type_, number in ledger.counts.items():
            self.handled[type_] += number
        self.busy += ledger.busy
        self.dropped += mailbox.dropped
        self.conflated += mailbox.conflated
        self.rejected += mailbox.rejected
        self.expired += ledger.expired
        self.restarts += ledger.restarts
        self.crashes += ledger.crashed


def view_actor(subject: Subject, now: float) -> ActorView:
    """*subject* as it is at the moment *now*."""
    ledger, mailbox, current = subject.ledger, subject.mailbox, subject.current
    oldest = mailbox.oldest
    state, since = subject.state, subject.since
    if current is not None and state is State.IDLE:
        state, since = State.HANDLING, current.began_at
        blocking = [wait.since for wait in subject.waits if wait.blocking]
        if blocking:
            state, since = State.WAITING, min(blocking)
        if subject.stop_reason is not None:
            # As soon as it has done with the message in hand.
            state, since = State.STOPPING, subject.since
    return ActorView(
        address=subject.address,
        kind=subject.kind.__name__,
        state=state,
        since=now - since,
        handling=None if current is None else view_message(current, now),
        queued=len(mailbox),
        capacity=mailbox.capacity,
        peak=mailbox.peak,
        oldest=0.0 if oldest is None else now - oldest.sent_at,
        dropped=mailbox.dropped,
        conflated=mailbox.conflated,
        rejected=mailbox.rejected,
        expired=ledger.expired,
        handled=sum(ledger.counts.values()),
        # Of one that was ended by a crash, the time is in the ledger already.
        busy=ledger.busy + (0.0 if current is None or current.message is None else now - current.began_at),
        counts={type_.__name__: number for type_, number in ledger.counts.items()},
        restarts=ledger.restarts,
        crashes=tuple(
            CrashView(now - crash.at, crash.error, crash.kind, crash.cause) for crash in ledger.crashes
        ),
        waits=tuple(view_waits(subject, now)),
        requests=subject.requests,
    )


def view_message(envelope: Envelope, now: float) -> MessageView:
    """A message that is being handled, or was."""
    over = envelope.message is None
    return MessageView(
        kind=envelope.kind,
        id=envelope.id,
        cause=envelope.cause,
        origin=envelope.origin,
        sender=envelope.sender,
        age=now - envelope.sent_at,
        waited=envelope.began_at - envelope.sent_at,
        seconds=envelope.took if over else now - envelope.began_at,
    )


def view_waits(subject: Subject, now: float) -> list[WaitView]:
    """For whom *subject* waits, its helpers included."""
    found = []
    for wait in subject.waits:
        whom = wait.for_whom
        if whom is not None:
            waiter = f"{subject.address}: {wait.errand}" if wait.errand else subject.address
            what = "room" if wait.promise is None else "answer"
            found.append(WaitView(waiter, whom.address, what, wait.kind.__name__, now - wait.since))
    return found


def remember(subject: Subject, now: float) -> Gone:
    """What is to be kept of *subject*, which has ended."""
    match subject.reason:
        case Crashed():
            error = subject.ledger.crashes[-1].error if subject.ledger.crashes else "?"
            reason = f"crashed: {error}"
        case None:
            reason = "cancelled"
        case stopped:
            reason = f"stopped: {stopped.reason}"
    return Gone(
        address=subject.address,
        kind=subject.kind.__name__,
        at=now,
        reason=reason,
        handled=sum(subject.ledger.counts.values()),
        restarts=subject.ledger.restarts,
        lived=now - subject.started_at,
    )


def view_gone(gone: Gone, now: float) -> GoneView:
    return GoneView(
        gone.address, gone.kind, now - gone.at, gone.reason, gone.handled, gone.restarts, gone.lived
    )


def add_up(kind: type, total: Total, living: list[Subject]) -> KindTotals:
    """All that the actors of the class *kind* ever did."""
    so_far = evolve(total, handled=Counter(total.handled))
    for subject in living:
        so_far.add(subject)
    handled: Counter[str] = Counter()
    for type_, number in so_far.handled.items():
        handled[type_.__name__] += number
    queues = [len(subject.mailbox) for subject in living]
    return KindTotals(
        kind=kind.__name__,
        living=len(living),
        started=so_far.started,
        handled=handled,
        busy=so_far.busy,
        queued=sum(queues),
        longest_queue=max(queues, default=0),
        dropped=so_far.dropped,
        conflated=so_far.conflated,
        rejected=so_far.rejected,
        expired=so_far.expired,
        restarts=so_far.restarts,
        crashes=so_far.crashes,
    )


def describe(actor: object) -> dict[str, str]:
    """The attributes of *actor*, each in a few words that give away no contents.

    Numbers, truth values, `None` and enum members are shown as they are, actors by address; of everything
    else, text above all, only the kind and the length: it may be private, and it may be large.
    """
    attributes: Mapping[str, object] = getattr(actor, "__dict__", {})
    shown = [(name, value) for name, value in attributes.items() if name != "context"]
    described = {name: _in_words(value) for name, value in shown[:MAX_ATTRIBUTES]}
    if len(shown) > MAX_ATTRIBUTES:
        described["…"] = f"{len(shown) - MAX_ATTRIBUTES} more"
    return described


def _in_words(value: object) -> str:
    match value:
        case None | bool() | float():
            return repr(value)
        case int():
            return repr(value) if -(2**63) <= value < 2**63 else "int, huge"
        case Enum():
            return f"{type(value).__name__}.{value.name}"
        case ActorRef():
            return f"actor {value.address}"
        case str() | bytes() | list() | tuple() | dict() | set() | frozenset() | deque():
            return f"{type(value).__name__} of {len(_sized(value))}"
    return type(value).__name__


def _sized(value: Any) -> Sized:
    return value  # type: ignore[no-any-return]
