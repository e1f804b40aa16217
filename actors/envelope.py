"""What a message travels in."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from .causality import Origin, here, next_id


class Envelope:
    """A message on its way, and what is known of its journey.

    Attributes:
        message: It; `None` again once it was handled.
        type: Its class.
        id: Its number, unique in the process.
        cause: The id of the message whose handling sent it; 0 if there was none.
        sender: The address of the actor that sent it; empty from outside of all actors.
        deadline: On trio's clock: past it, nobody waits for the work any more.
        sent_at, began_at: On trio's clock.
        took: Seconds of handling, once it is over.
    """

    # Written by hand, and the defaults by the class: one is made for every message.
    __slots__ = (
        "_origin",
        "began_at",
        "cause",
        "conflation_key",
        "deadline",
        "id",
        "message",
        "sender",
        "sent_at",
        "took",
        "type",
        "weight",
    )

    def __init__(self, message: Any, sent_at: float, deadline: float = math.inf) -> None:
        self.message = message
        self.type = type(message)
        self.id = next_id()
        self.sent_at = sent_at
        self.deadline = deadline
        self.conflation_key: Hashable | None = None
        self.weight = 0
        self.began_at = self.took = 0.0
        self._origin: Origin | None
        activity = here.get()
        if activity is None:
            self.cause, self.sender, self._origin = 0, "", None
        else:
            self.cause, self.sender, self._origin = activity.cause, activity.address, activity.origin

    @property
    def origin(self) -> Origin:
        """What the chain of causes began with: with this message itself, if with nothing else.

        Made when somebody asks: most messages from nowhere cause nothing.
        """
        if self._origin is None:
            self._origin = Origin(self.id, self.type.__name__)
        return self._origin

    @origin.setter
    def origin(self, origin: Origin | None) -> None:
        self._origin = origin

    @property
    def kind(self) -> str:
        """The name of its class."""
        return self.type.__name__

    def replace(self, newer: Envelope) -> None:
        """Become *newer*, in its own place in the queue."""
        for name in ("message", "type", "id", "sent_at", "deadline", "weight", "cause", "sender", "_origin"):
            setattr(self, name, getattr(newer, name))
