"""Who is running here, and because of what: the thread that leads from one message to those it caused.

Each message carries the id of the one whose handling sent it, and the *origin* that all of this began with.
A context variable tells who is running; what it holds changes from message to message, so setting it once
per task is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import count
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Begun = TypeVar("Begun", bound="Origin | None")

next_id = count(1).__next__
"""Ids of messages and origins: unique in the process, growing."""


class Origin(NamedTuple):
    """Where a chain of messages began: with a client's frame, a request, or a message from nowhere."""

    id: int
    name: str
    labels: Mapping[str, str] = {}


class Cause(NamedTuple):
    """Because of which message something is done, and what that began with."""

    id: int
    origin: Origin | None


class Activity(Protocol):
    """What is going on in a task."""

    @property
    def address(self) -> str:
        """The actor at work; empty outside of all actors."""

    @property
    def cause(self) -> int:
        """The id of the message being handled; 0 if there is none."""

    @property
    def origin(self) -> Origin | None:
        """What it all began with; `None` if nothing has begun."""

    @property
    def errand(self) -> str:
        """The name of the task beside the handler that is at work; empty for the handler itself."""

    @property
    def waiter(self) -> Any:
        """The actor's cell; `None` outside of all actors."""


class Errand:
    """Something that runs beside an actor's handler, or outside of all actors, on behalf of something."""

    __slots__ = ("address", "cause", "errand", "origin", "waiter")

    def __init__(self, address: str, errand: str, cause: int, origin: Origin | None, waiter: Any) -> None:
        self.address = address
        self.errand = errand
        self.cause = cause
        self.origin = origin
        self.waiter = waiter


here: ContextVar[Activity | None] = ContextVar("actor", default=None)


def current() -> Activity | None:
    """What the calling task is doing, if it belongs to an actor or to an `origin`."""
    return here.get()


class Doing(Generic[Begun]):
    """What `origin` and `resume` return."""

    __slots__ = ("_cause", "_origin", "_token")

    def __init__(self, cause: int, origin: Begun) -> None:
        self._cause = cause
        self._origin = origin

    def __enter__(self) -> Begun:
        around = here.get()
        if around is None:
            errand = Errand("", "", self._cause, self._origin, None)
        else:
            errand = Errand(around.address, around.errand, self._cause, self._origin, around.waiter)
        self._token = here.set(errand)
        return self._origin

    def __exit__(self, *_: object) -> None:
        here.reset(self._token)


def origin(name: str, **labels: str) -> AbstractContextManager[Origin]:
    """Begin something new: what the block sends, and all that comes of it, is marked with this origin.

    *labels* are for those who read traces and logs: which client it was, for example.
    """
    return Doing(0, Origin(next_id(), name, labels))


def cause() -> Cause:
    """Why the caller does what it does: to keep with work that is put off, and to `resume` with it."""
    activity = here.get()
    return Cause(0, None) if activity is None else Cause(activity.cause, activity.origin)


def resume(cause: Cause) -> AbstractContextManager[Origin | None]:
    """Go on with what was put off: what the block sends is because of *cause*, not of the message at hand."""
    return Doing(cause.id, cause.origin)
