"""The states of an actor's life, and the ways it ends."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class State(Enum):
    """What an actor is doing."""

    STARTING = "starting"
    IDLE = "idle"
    HANDLING = "handling"
    WAITING = "waiting"
    """Handling, and held up by another actor: for its answer, or for room in its mailbox."""
    RESTARTING = "restarting"
    STOPPING = "stopping"
    GONE = "gone"


@frozen
class Stopped:
    """It was asked to stop, or stopped itself."""

    reason: str


@frozen
class Crashed:
    """It raised, and was not (or no longer) to be restarted."""

    error: BaseException


ExitReason = Stopped | Crashed


@frozen
class Down:
    """Tells a watcher that the actor at *address* is gone for good."""

    address: str
    reason: ExitReason
