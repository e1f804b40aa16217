"""A store that fails when it is told to, and otherwise is a real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.chat import Command, ConversationKey, Fact, Message, Snapshot
from server.storage import Store, StoreError
from tests.in_memory import memory_store


class Flaky:
    """Passes everything on.

    Attributes:
        failing: Nothing can be read or written.
        full: Nothing can be written.
        tries: How often something was to be written.
        forgetful: What is written is, but nobody hears so.
        written: Every command that was done.
    """

    def __init__(self) -> None:
        self._store: Store = memory_store()
        self.failing = False
        self.full = False
        self.tries = 0
        self.forgetful = False
        self.written: list[Command[Any]] = []

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        self.tries += 1
        self._check()
        if self.full:
            raise StoreError("the disk is full")
        outcomes = self._store.write(commands)
        self.written += commands
        if self.forgetful:
            raise StoreError("the answer was lost")
        return outcomes

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        self._check()
        return self._store.load(key, epoch=epoch, messages=messages, after=after)

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]:
        self._check()
        return self._store.facts(key, after=after, upto=upto, limit=limit)

    def messages(self, key: ConversationKey, **asked: Any) -> tuple[Message, ...]:
        self._check()
        return self._store.messages(key, **asked)

    def unsettled(self) -> tuple[ConversationKey, ...]:
        self._check()
        return self._store.unsettled()

    def trim(self, **asked: Any) -> Any:
        self._check()
        return self._store.trim(**asked)

    def maintain(self) -> None:
        self._check()
        self._store.maintain()

    def close(self) -> None:
        self._store.close()

    def _check(self) -> None:
        if self.failing:
            raise StoreError("the disk is full")
