"""The newest messages of a conversation, as its facts made them: what a pipeline may look back at."""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import attrgetter

from attrs import define, evolve, field, frozen

from .components import Plain, weight_of, without_inline_data
from .facts import Fact, HistoryReset, MessageAdded, MessageEdited, MessageRecalled, ReplyEnded
from .model import Message

SHORTENED = " […]"
"""Ends the text of a message that was too large to keep whole."""

_by_id = attrgetter("id")


@frozen
class Limits:
    """What a transcript keeps: the newest `messages`, as long as they weigh less than `size` bytes or so.

    A message that alone weighs more is kept shortened to the beginning of its text.
    """

    messages: int = 100
    size: int = 2**20


@define
class Transcript:
    """The newest messages, oldest first, without recalled ones and without answers that were given again."""

    limits: Limits = field(factory=Limits)
    _kept: list[Message] = field(factory=list)
    _size: int = 0

    def apply(self, fact: Fact) -> None:
        """Take in what happened next."""
        match fact:
            case MessageAdded(message=message):
                self.keep(message)
            case ReplyEnded(message=message):
                if message.alternative_of is not None:
                    self._drop(message.alternative_of)
                self.keep(message)
            case MessageEdited(message=message):
                if self._drop(message.id):
                    self.keep(message)
            case MessageRecalled(message_id=number):
                self._drop(number)
            case HistoryReset():
                self.clear()
            case _:
                pass

    def keep(self, message: Message) -> None:
        """Keep *message*, without its inline data, and let go of the oldest if it is too much now."""
        chain = without_inline_data(message.chain)
        if weight_of(chain) > self.limits.size:
            chain = (Plain(_beginning(message.content, self.limits.size // 2)),)
        kept = message if chain is message.chain else evolve(message, chain=chain)
        if not self._kept or message.id > self._kept[-1].id:
            self._kept.append(kept)
        else:
            self._drop(message.id)
            # A reply's id is older than those of the questions that came while it was being written.
            insort(self._kept, kept, key=_by_id)
        self._size += weight_of(kept.chain)
        while len(self._kept) > 1 and (
            len(self._kept) > self.limits.messages or self._size > self.limits.size
        ):
            self._size -= weight_of(self._kept.pop(0).chain)

    def clear(self) -> None:
        self._kept.clear()
        self._size = 0

    def forget(self, upto: int) -> None:
        """Let go of the messages with ids up to *upto*."""
        while self._kept and self._kept[0].id <= upto:
            self._size -= weight_of(self._kept.pop(0).chain)

    def messages(self) -> tuple[Message, ...]:
        """What is kept, oldest first, by id."""
        return tuple(self._kept)

    def before(self, question: Message) -> tuple[Message, ...]:
        """The conversation up to *question*: earlier messages and every finished reply, oldest first."""
        kept = self._kept
        index = bisect_left(kept, question.id, key=_by_id)
        return (*kept[:index], *(m for m in kept[index:] if m.role == "assistant"))

    def _drop(self, number: int) -> bool:
        index = bisect_left(self._kept, number, key=_by_id)
        if index == len(self._kept) or self._kept[index].id != number:
            return False
        self._size -= weight_of(self._kept.pop(index).chain)
        return True


def _beginning(text: str, size: int) -> str:
    """As much of *text* as takes *size* bytes of memory; a character takes four at most."""
    return text[: size if text.isascii() else size // 4] + SHORTENED
