"""Who waits for whom: the edges along which a system can hang, and the cycles in which it would for ever.

An edge is *blocking* if the waiter's own handler is held up by it: then it takes no message until the wait is
over. A cycle of blocking edges can end by a time-out only, so it is refused at once. What a task beside the
handler waits for is shown, but holds nobody up.
"""

from __future__ import annotations

from typing import Any, Protocol

import trio

from .ask import Promise
from .causality import here
from .errors import WaitCycle


class Waiter(Protocol):
    """An actor, as far as it waits for others."""

    address: str
    task: trio.lowlevel.Task | None
    waits: list[Wait]

    @property
    def beside(self) -> trio.Nursery | None:
        """Where what runs beside its handler runs."""


class Wait:
    """One edge: *waiter* waits for an answer (if there is a *promise*) or for room in *target*'s mailbox."""

    __slots__ = ("blocking", "errand", "kind", "promise", "since", "target", "waiter")

    def __init__(
        self, waiter: Waiter, errand: str, target: Waiter, promise: Promise[Any] | None, kind: type
    ) -> None:
        self.waiter = waiter
        self.errand = errand
        self.target = target
        self.promise = promise
        self.kind = kind
        self.blocking = not errand and _holds_up(waiter, trio.lowlevel.current_task())
        self.since = trio.current_time()

    @property
    def for_whom(self) -> Waiter | None:
        """The actor that could end the wait; nobody, if it is over."""
        return self.target if self.promise is None else self.promise.owner

    def begin(self, message: object) -> None:
        """Enter this into the waiter's books.

        Raises:
            WaitCycle: It would never end.
        """
        cycle = self.cycle()
        if cycle is not None:
            raise WaitCycle(cycle, message)
        self.waiter.waits.append(self)

    def end(self) -> None:
        self.waiter.waits.remove(self)

    def cycle(self) -> tuple[str, ...] | None:
        """The addresses of the blocking waits through which this one comes back to its waiter."""
        first = self.for_whom
        if not self.blocking or first is None:
            return None
        came_from: dict[Waiter, Waiter] = {first: self.waiter}
        to_see = [first]
        while to_see:
            actor = to_see.pop()
            if actor is self.waiter:
                return _path(came_from, actor)
            for wait in actor.waits:
                next_ = wait.for_whom
                if wait.blocking and next_ is not None and next_ not in came_from:
                    came_from[next_] = actor
                    to_see.append(next_)
        return None

    def refuse_cycle(self) -> None:
        """Fail the promise if its question was passed on to somebody who waits for the asker."""
        cycle = self.cycle()
        if cycle is not None and self.promise is not None:
            self.promise.fail(WaitCycle(cycle, self.kind))


def wait_for(target: Waiter, promise: Promise[Any] | None, kind: type) -> Wait | None:
    """The edge from the actor at work in this task to *target*; none outside of all actors."""
    activity = here.get()
    waiter = None if activity is None else activity.waiter
    if activity is None or waiter is None:
        return None
    return Wait(waiter, activity.errand, target, promise, kind)


def _holds_up(waiter: Waiter, task: trio.lowlevel.Task) -> bool:
    """Whether *waiter*'s handler can't go on before *task*: it runs there, or waits for its nursery."""
    while task is not waiter.task:
        nursery = task.parent_nursery
        if nursery is None or nursery is waiter.beside:
            return False
        task = nursery.parent_task
    return True


def _path(came_from: dict[Waiter, Waiter], last: Waiter) -> tuple[str, ...]:
    path = [last.address]
    actor = came_from[last]
    while actor is not last:
        path.append(actor.address)
        actor = came_from[actor]
    return (path[0], *reversed(path[1:]))
