"""The conversations that one transaction writes to: who gives out ids and seqs in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from attrs import define, field
from sqlalchemy import Connection, bindparam, insert, update

from server.chat import Command, ConversationKey

from .schema import conversations
from .statements import Bulk, Lookup

T = TypeVar("T")

PAGE = 2000
"""How many values one statement looks for at most; both databases take some ten thousand parameters."""

_key = (conversations.c.pipeline, conversations.c.session_type, conversations.c.session_id)
_counts = ("epoch", "last_id", "last_seq", "floor", "gone", "oldest")
_find = Lookup(conversations, _key, locking=True)
_update = Bulk(
    update(conversations)
    .where(conversations.c.id == bindparam("row"))
    .values({name: bindparam(name) for name in _counts}),
    (*_counts, "row"),
)


class TakenMeanwhile(Exception):
    """Another process began one of the conversations at the same time: do the transaction again."""


@define(eq=False)
class Conversation:
    """What a row of `conversations` says, or will say; `row` is None as long as there is none."""

    key: ConversationKey
    epoch: str
    row: int | None = None
    last_id: int = 0
    last_seq: int = 0
    floor: int = 0
    gone: int = 0
    oldest: int | None = None
    changed: bool = False

    def has(self, message: int) -> bool:
        """Whether there is a message of that id, be it recalled."""
        return self.gone < message <= self.last_id

    def next_id(self, at: int) -> int:
        """The id of a new message, said *at*."""
        if self.last_id == self.gone:
            self.oldest = at
        self.last_id += 1
        self.changed = True
        return self.last_id

    def next_seq(self) -> int:
        self.last_seq += 1
        self.changed = True
        return self.last_seq


@define(eq=False)
class Ledger:
    """Conversations by key. On PostgreSQL their rows are locked until the transaction ends."""

    _connection: Connection
    _known: dict[tuple[str, str, str], Conversation] = field(factory=dict)

    def lock(self, commands: Iterable[Command[Any]]) -> None:
        """Read, and lock, the conversations of *commands*: all at once, and in one order in every process."""
        known = self._known
        for command in commands:
            name = _name(command.key)
            if name not in known:
                known[name] = Conversation(command.key, command.epoch)
        for row, pipeline, session_type, session_id, *counts in _find.run(self._connection, sorted(known)):
            found = known[pipeline, session_type, session_id]
            found.row = row
            found.epoch, found.last_id, found.last_seq, found.floor, found.gone, found.oldest = counts

    def __getitem__(self, key: ConversationKey) -> Conversation:
        return self._known[_name(key)]

    def begin_new(self) -> None:
        """Give a row to each conversation that something has happened to.

        Raises:
            TakenMeanwhile: It has one by now.
        """
        new = [one for one in self._known.values() if one.changed and one.row is None]
        if not new:
            return
        new.sort(key=lambda one: _name(one.key))
        if self._connection.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert as insert_unless_there

            adding: Any = insert_unless_there(conversations).on_conflict_do_nothing()
        else:
            adding = insert(conversations)
        rows = self._connection.execute(
            adding.returning(conversations.c.id, *_key),
            [
                {
                    "pipeline": one.key.pipeline,
                    "session_type": one.key.session_type,
                    "session_id": one.key.session_id,
                    **{name: getattr(one, name) for name in _counts},
                }
                for one in new
            ],
        )
        for row, *name in rows:
            self._known[*name].row = row
        if any(one.row is None for one in new):
            raise TakenMeanwhile

    def save(self) -> None:
        """Write down what has changed."""
        self.begin_new()
        changed = [one for one in self._known.values() if one.changed]
        _update.run(
            self._connection,
            [
                (one.epoch, one.last_id, one.last_seq, one.floor, one.gone, one.oldest, one.row)
                for one in changed
            ],
        )
        for one in changed:
            one.changed = False


def _name(key: ConversationKey) -> tuple[str, str, str]:
    return key.pipeline, key.session_type, key.session_id


def pages(values: Iterable[T], size: int = PAGE) -> Iterator[list[T]]:
    """*values* in lists of at most *size*, none of them empty."""
    rest = iter(values)
    while page := list(islice(rest, size)):
        yield page
