"""What an observer gets to see of a running system: frozen pictures of one moment. All times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from .causality import Origin
from .lifecycle import State


@frozen
class MessageView:
    """A message that is being handled, or was. Its body is not shown.

    Attributes:
        kind: The name of its class.
        cause: The id of the message whose handling sent it; 0 if none did.
        sender: The address of the actor that sent it; empty from outside of all actors.
        age: Since it was sent.
        waited: Between sending and handling.
        seconds: Of handling, so far or altogether.
    """

    kind: str
    id: int
    cause: int
    origin: Origin
    sender: str
    age: float
    waited: float
    seconds: float


@frozen
class WaitView:
    """*waiter* (an actor, or "actor: task" for one beside its handler) waits for the actor at *address*.

    *what* is "answer" or "room" (in its mailbox); *kind* the name of the message's class.
    """

    waiter: str
    address: str
    what: str
    kind: str
    seconds: float


@frozen
class CrashView:
    """One crash: how long *ago*, its error in one bounded line, and the message at hand, if there was one."""

    ago: float
    error: str
    kind: str | None
    cause: int


@frozen
class ActorView:
    """One living actor. `since` is the time in `state`; `oldest` how long the next message has waited.

    `requests` are those it has made and not heard of.
    """

    address: str
    kind: str
    state: State
    since: float
    handling: MessageView | None
    queued: int
    capacity: int
    peak: int
    oldest: float
    dropped: int
    conflated: int
    rejected: int
    expired: int
    handled: int
    busy: float
    counts: Mapping[str, int]
    restarts: int
    crashes: tuple[CrashView, ...]
    waits: tuple[WaitView, ...]
    requests: int = 0


@frozen
class GoneView:
    """An actor that has ended lately."""

    address: str
    kind: str
    ago: float
    reason: str
    handled: int
    restarts: int
    lived: float


@frozen
class KindTotals:
    """All actors of one class since the system began, those that are gone among them."""

    kind: str
    living: int
    started: int
    handled: Mapping[str, int]
    busy: float
    queued: int
    longest_queue: int
    dropped: int
    conflated: int
    rejected: int
    expired: int
    restarts: int
    crashes: int
