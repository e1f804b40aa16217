"""Everything the runtime raises. Each error names the actor it is about and carries what recovery needs."""

from __future__ import annotations

import trio


class ActorError(Exception):
    """Base of all errors of the runtime."""


class RecipientStopped(ActorError):
    """The actor is gone, or going, and will never read *message*: here it is back."""

    def __init__(self, address: str, message: object) -> None:
        super().__init__(f"{address} is gone; it did not get {type(message).__name__}")
        self.address = address
        self.message = message


class MailboxFull(ActorError):
    """The mailbox had no room, and its policy is not to wait or drop: *message* is back with its sender."""

    def __init__(self, address: str, message: object) -> None:
        super().__init__(f"the mailbox of {address} is full; it did not get {type(message).__name__}")
        self.address = address
        self.message = message


class AskTimeout(ActorError):
    """No answer within *seconds*, counted from the call of `ask`."""

    def __init__(self, address: str, question: object, seconds: float) -> None:
        super().__init__(f"{address} did not answer {type(question).__name__} within {seconds:g} s")
        self.address = address
        self.question = question
        self.seconds = seconds


class ActorDied(ActorError):
    """The asked actor crashed or stopped before it answered."""

    def __init__(self, address: str, question: object) -> None:
        super().__init__(f"{address} ended before it answered {type(question).__name__}")
        self.address = address
        self.question = question


class WaitCycle(ActorError):
    """The wait could never end: each actor of *cycle* waits for the next, and the last for the first.

    *message* was not sent.
    """

    def __init__(self, cycle: tuple[str, ...], message: object) -> None:
        kind = message if isinstance(message, type) else type(message)
        way = " → ".join((*cycle, cycle[0]))
        super().__init__(f"waiting with {kind.__name__} would never end: {way}")
        self.cycle = cycle
        self.message = message


class QuestionDropped(ActorError):
    """*question* left the mailbox unread: dropped for want of room, or a newer one took its place."""

    def __init__(self, address: str, question: object) -> None:
        super().__init__(f"{address} dropped {type(question).__name__} unread")
        self.address = address
        self.question = question


class RestartBudgetSpent(ActorError):
    """A child of *address* failed more often than the supervisor forgives; the supervisor fails with it."""

    def __init__(self, address: str, child: str, restarts: int, within: float) -> None:
        super().__init__(
            f"{child} failed again after {restarts} restarts within {within:g} s under {address}"
        )
        self.address = address
        self.child = child


class MailboxClosed(ActorError):
    """The mailbox takes no more messages, and gives none. Internal: refs turn it into `RecipientStopped`."""


def weightiest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """*group* without its groups, and without its cancellations if there is anything else.

    Passed on as it is, a group grows by a layer with every parent, and a deep tree breaks Python's recursion.
    """
    leaves: list[BaseException] = []
    groups = [group]
    while groups:
        for error in groups.pop().exceptions:
            if isinstance(error, BaseExceptionGroup):
                groups.append(error)
            else:
                leaves.append(error)
    others = [error for error in leaves if not isinstance(error, trio.Cancelled)]
    return BaseExceptionGroup(group.message, others) if len(others) > 1 else (others or leaves)[0]


def sole(error: BaseException) -> BaseException:
    """*error* without the groups that nurseries wrapped around it; a group of several stays one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
