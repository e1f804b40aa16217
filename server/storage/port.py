"""What a store promises, whatever it is made of. One conformance suite holds for all of them.

Its methods block: they are called in worker threads, `write`, `trim` and `maintain` one at a time, the others
beside each other and beside those.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from server.chat import Command, ConversationKey, Fact, Message, Snapshot
from server.messages import Trimmed


class StoreError(Exception):
    """The store can't be read or written now; later it may be."""


class StoreUnusable(StoreError):
    """The store can't be opened. Its text is one line for the operator, without secrets."""


class Store(Protocol):
    """Keeps conversations."""

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Do *commands* in order, durably: a power cut after the return undoes none of them.

        For each, in order: its answer, the `Refusal` with which it was declined, or a `StoreError` that it
        alone met. As one transaction, unless one of them has to be left out.

        Raises:
            StoreError: The transaction failed: some, all, or none of them may be done.
        """
        ...

    def load(
        self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None
    ) -> Snapshot: ...

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]: ...

    def messages(
        self,
        key: ConversationKey,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        alternatives: bool = False,
    ) -> tuple[Message, ...]: ...

    def unsettled(self) -> tuple[ConversationKey, ...]: ...

    def trim(self, *, before: datetime | None, keep: int | None) -> tuple[Trimmed, ...]: ...

    def maintain(self) -> None: ...

    def close(self) -> None:
        """Let go of everything. Nothing else may be called afterwards."""
        ...
