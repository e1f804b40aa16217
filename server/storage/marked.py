"""A store whose mark hears of every commit before anybody else does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from server.chat import Command, ConversationKey, Fact, Message, Snapshot
from server.messages import Trimmed

from .mark import Mark
from .port import Store
from .sql_store import SqlStore


class MarkedStore(Store):
    """`store`, kept in step with `mark`. Both are closed with it.

    Nothing is told of a commit, neither that it was made nor what it made, before the mark knows of it.
    """

    def __init__(self, store: SqlStore, mark: Mark) -> None:
        self._store = store
        self._mark = mark
        # Whether there may be commits that the mark does not know of: a write goes on, or failed.
        self._doubtful = False

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        doubtful, self._doubtful = self._doubtful, True
        counted = self._store.commits
        answers = self._store.write(commands)
        if self._store.commits > counted:
            self._mark.note(self._store.commits)
            doubtful = False
        self._doubtful = doubtful
        return answers

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        snapshot = self._store.load(key, epoch=epoch, messages=messages, after=after)
        self._settle()
        return snapshot

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]:
        facts = self._store.facts(key, after=after, upto=upto, limit=limit)
        self._settle()
        return facts

    def messages(
        self,
        key: ConversationKey,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        alternatives: bool = False,
    ) -> tuple[Message, ...]:
        found = self._store.messages(key, limit=limit, before=before, after=after, alternatives=alternatives)
        self._settle()
        return found

    def unsettled(self) -> tuple[ConversationKey, ...]:
        return self._store.unsettled()

    def trim(self, *, before: datetime | None, keep: int | None) -> tuple[Trimmed, ...]:
        return self._store.trim(before=before, keep=keep)

    def maintain(self) -> None:
        self._store.maintain()

    def new_epochs(self) -> None:
        self._store.new_epochs()

    def close(self) -> None:
        self._mark.close()
        self._store.close()

    def _settle(self) -> None:
        """Have the mark know of everything that was just read.

        The commit of a write that goes on, or of one that failed, may have been read. Then it is counted, so
        the count of now covers it.
        """
        if self._doubtful:
            self._mark.note(self._store.read_commits())
