"""What the admin routes answer, as far as it is looked at here; checked once, when it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import cattrs
from attrs import frozen

from .admin import Unanswered

T = TypeVar("T")


@frozen
class Origin:
    """Where a chain of messages began."""

    id: int
    name: str
    labels: Mapping[str, str]


@frozen
class Message:
    """A message that is, or was, handled: `age` since it was sent, `seconds` in handling."""

    kind: str
    id: int
    cause: int
    origin: Origin
    sender: str
    age: float
    seconds: float


@frozen
class Wait:
    """Somebody waits for an answer of the actor at `address`, or for room in its mailbox.

    `waiter` is an address, too, or "address: task" for one beside the handler, which holds nobody up.
    """

    waiter: str
    address: str
    what: str
    kind: str
    seconds: float

    @property
    def actor(self) -> str:
        """The address of the actor that waits, or whose task does."""
        return self.waiter.partition(": ")[0]


@frozen
class Crash:
    ago: float
    error: str
    kind: str | None
    cause: int


@frozen
class Actor:
    """A living actor. `since`: seconds in its state; `busy`: seconds of handling, the present one too."""

    address: str
    kind: str
    state: str
    since: float
    handling: Message | None
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
    restarts: int
    crashes: tuple[Crash, ...]
    waits: tuple[Wait, ...]

    @property
    def lost(self) -> int:
        """Messages that it never handled: dropped, rejected, or expired while they waited."""
        return self.dropped + self.rejected + self.expired


@frozen
class Details:
    """The answer to GET actors/<address>, of one that lives, as far as the list does not tell it."""

    recent: tuple[Message, ...]
    attributes: Mapping[str, str]


@frozen
class Gone:
    """An actor that was there a while ago."""

    address: str
    kind: str
    ago: float
    reason: str
    handled: int
    restarts: int
    lived: float


@frozen
class DeadLetters:
    total: int


@frozen
class Frame:
    """One line of a stack."""

    file: str
    line: int
    function: str
    code: str


@frozen
class Hold:
    """A time in which one task kept all others from running."""

    ago: float
    seconds: float
    actor: str | None
    note: str
    stack: tuple[Frame, ...]


@frozen
class Holds:
    total: int
    recent: tuple[Hold, ...]


@frozen
class Actors:
    """The answer to GET actors: living ones, parents before children, and those lately gone, newest last."""

    actors: tuple[Actor, ...]
    gone: tuple[Gone, ...]
    dead_letters: DeadLetters
    holds: Holds


@frozen
class Task:
    """A task of trio. `actor`: whose; `stack`: where it waits, outermost first, if that was asked for."""

    id: int
    name: str
    actor: str | None
    children: tuple[Task, ...]
    stack: tuple[Frame, ...]


@frozen
class Tasks:
    """The answer to GET tasks."""

    root: Task


@frozen
class Waiting:
    """A task without its place in the tree."""

    id: int
    name: str
    actor: str | None
    stack: tuple[Frame, ...]


@frozen
class Thread:
    name: str
    stack: tuple[Frame, ...]


@frozen
class Stacks:
    """The answer to GET stacks."""

    tasks: tuple[Waiting, ...]
    threads: tuple[Thread, ...]


def check(host: str, data: Any, kind: type[T]) -> T:
    """*data*, which *host* answered, as *kind*.

    Raises:
        Unanswered: It is something else.
    """
    try:
        return cattrs.structure(data, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, RecursionError):
        raise Unanswered(f"{host} does not answer as this version of Triologue does") from None
