"""What happened in a conversation for good: its durable events, one for each `seq`, without holes.

A fact of a message shows the message as it is now: after an edit both the first fact and the edit's have the
new text, and after a recall there is none in either.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self

from attrs import evolve, frozen

from .components import Component
from .model import Message


@frozen
class Fact:
    """One durable event; `seq` is its place."""

    seq: int


@frozen
class _OfMessage(Fact):
    message: Message

    def with_chain(self, chain: tuple[Component, ...]) -> Self:
        """The same, of a message that says *chain*."""
        if chain == self.message.chain:
            return self
        return evolve(self, message=evolve(self.message, chain=chain))


@frozen
class MessageAdded(_OfMessage):
    """A user's message took its place. Its chain holds no inline data."""


@frozen
class ReplyEnded(_OfMessage):
    """A reply is final. Of a running one there are no facts."""


@frozen
class MessageEdited(_OfMessage):
    """`message.seq` is that of the edit."""


@frozen
class MessageRecalled(Fact):
    """The message is gone; `by` is the id of who recalled it."""

    message_id: int
    by: str
    at: datetime


@frozen
class ReadUpTo(Fact):
    """The user of that id has read everything up to and with the message of that id."""

    user: str
    up_to: int


@frozen
class HistoryReset(Fact):
    """Everything before is forgotten; ids and seqs go on."""

    at: datetime
