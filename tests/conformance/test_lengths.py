"""What is read takes as much work of the database in a long conversation as in a short one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from attrs import define
from sqlalchemy import Connection, Engine, event, text

from server.chat import ConversationKey
from server.storage import SqlStore, make_engine

from .places import Place, careless
from .saying import EPOCH, begin, end, post

SHORT, LONG = (ConversationKey("p", "person", name) for name in ("short", "long"))
PAGE = 10
FEW, MANY = 40, 1600
"""How many messages are in the one and in the other."""

Read = Callable[[SqlStore, ConversationKey, int], object]
READS: dict[str, Read] = {
    "open": lambda store, key, _: store.load(key, epoch=EPOCH, messages=PAGE),
    "resume": lambda store, key, last: store.load(key, epoch=EPOCH, messages=PAGE, after=last - PAGE),
    "facts": lambda store, key, last: store.facts(key, after=last // 2, upto=last, limit=PAGE),
    "newest": lambda store, key, _: store.messages(key, limit=PAGE),
    "before": lambda store, key, last: store.messages(key, limit=PAGE, before=last // 2),
    "after": lambda store, key, last: store.messages(key, limit=PAGE, after=last // 2),
    "between": lambda store, key, last: store.messages(key, limit=PAGE, before=last, after=last // 2),
    "alternatives": lambda store, key, _: store.messages(key, limit=PAGE, alternatives=True),
}


@define
class Effort:
    """Counts what the database does, not how long it takes.

    SQLite's instructions; of PostgreSQL, the rows of messages that a transaction fetched.
    """

    spent: int = 0

    def watch(self, engine: Engine) -> None:
        """Count from now on what *engine*'s new connections do."""
        careless(engine)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", self._count_instructions)
        else:
            event.listen(engine, "commit", self._count_rows)

    def of(self, call: Callable[[], object]) -> int:
        """How much *call* takes."""
        before = self.spent
        call()
        return self.spent - before

    def _count_instructions(self, connection: Any, record: Any) -> None:
        connection.set_progress_handler(self._go_on, 1)

    def _go_on(self) -> int:
        self.spent += 1
        return 0

    def _count_rows(self, connection: Connection) -> None:
        read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'"
        self.spent += connection.execute(text(read)).scalar_one()


def _say(store: SqlStore, key: ConversationKey, count: int) -> None:
    """Have *count* messages in the conversation, every other one an answer; ids and seqs up to *count*."""
    for number in range(1, count, 2):
        store.write([post("a", key), begin(number, key), end(number + 1, key=key)])


def _analyze(url: str) -> None:
    """What PostgreSQL does by itself a minute later."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


@pytest.fixture
def effort() -> Effort:
    return Effort()


@pytest.fixture
def filled(url: str, effort: Effort) -> Iterator[SqlStore]:
    """A store with both conversations, which its database has come to know."""
    with Place(url) as place:
        store = place.open(prepare=effort.watch)
        _say(store, SHORT, FEW)
        _say(store, LONG, MANY)
        if url.startswith("postgresql"):
            _analyze(url)
        yield store


def test_no_read_takes_more_in_a_long_conversation(filled: SqlStore, effort: Effort) -> None:
    """Opening a conversation of years must be as quick as opening one of today, and so must its pages."""
    for name, read in READS.items():
        short = effort.of(partial(read, filled, SHORT, FEW))
        long = effort.of(partial(read, filled, LONG, MANY))

        assert 0 < long <= short + 2 * PAGE, name


def test_the_start_goes_through_no_settled_messages(filled: SqlStore, effort: Effort) -> None:
    """It looks for what is still due, of which there is little, however much has been said."""
    assert effort.of(filled.unsettled) <= FEW
    filled.write([post("due", LONG)])
    assert filled.unsettled() == (LONG,)
