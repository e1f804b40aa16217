"""What is forgotten in time, and what is looked for over all conversations."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any

from attrs import define
from sqlalchemy import (
    Connection,
    SelectBase,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    union,
    update,
)

from server.chat import ConversationKey
from server.messages import Trimmed

from .moments import ticks
from .schema import client_messages, conversations, events, messages, questions
from .sql_ledger import pages
from .sql_reading import key_of, open_in
from .sql_run import REMEMBERED
from .sql_sealing import keys_of
from .statements import Bulk
from .vault import Vault

AT_ONCE = 1000
"""How many conversations one trim looks at: nothing else can be written meanwhile."""

_new_epoch = Bulk(
    update(conversations).where(conversations.c.id == bindparam("row")).values(epoch=bindparam("drawn")),
    ("drawn", "row"),
)


@define
class Trimming:
    """Forgets old messages, a number of conversations at a time; the next run goes on behind them."""

    _upto: int = 0

    @property
    def at_end(self) -> bool:
        """Whether the next run begins with the first conversation again."""
        return self._upto == 0

    def run(
        self, connection: Connection, *, before: datetime | None, keep: int | None, released: list[bytes]
    ) -> tuple[Trimmed, ...]:
        """Trim the next conversations that have too much; put the ids of keys to destroy into *released*."""
        due = []
        if before is not None:
            due.append(conversations.c.oldest < ticks(before))
        if keep is not None:
            due.append(conversations.c.last_id - conversations.c.gone > max(keep, 0))
        if not due:
            return ()
        rows = connection.execute(
            select(conversations)
            .where(and_(or_(*due), conversations.c.id > self._upto))
            .order_by(conversations.c.id)
            .limit(AT_ONCE)
            .with_for_update()
        ).all()
        self._upto = rows[-1].id if len(rows) == AT_ONCE else 0
        trimmed = (_trim(connection, row, before, keep, released) for row in rows)
        return tuple(one for one in trimmed if one is not None)


def _trim(
    connection: Connection, row: Any, before: datetime | None, keep: int | None, released: list[bytes]
) -> Trimmed | None:
    of_it = messages.c.conversation == row.id
    upto = row.gone
    if before is not None:
        young = (
            select(messages.c.id)
            .where(and_(of_it, messages.c.id > row.gone, messages.c.at >= ticks(before)))
            .order_by(messages.c.id)
            .limit(1)
        )
        first = connection.execute(young).scalar_one_or_none()
        upto = row.last_id if first is None else first - 1
    if keep is not None:
        upto = max(upto, row.last_id - max(keep, 0))
    upto = min(upto, _settled(connection, row))
    if upto <= row.gone:
        return None
    old = and_(of_it, messages.c.id <= upto)
    sealed = select(messages.c.key_id).where(and_(old, messages.c.key_id.is_not(None)))
    released += connection.execute(sealed).scalars()
    floor = connection.execute(select(func.max(messages.c.seq)).where(old)).scalar_one()
    floor = max(row.floor, floor or 0)
    connection.execute(delete(messages).where(old))
    connection.execute(delete(events).where(and_(events.c.conversation == row.id, events.c.seq <= floor)))
    oldest = connection.execute(
        select(messages.c.at).where(of_it).order_by(messages.c.id).limit(1)
    ).scalar_one_or_none()
    connection.execute(
        update(conversations)
        .where(conversations.c.id == row.id)
        .values(floor=floor, gone=upto, oldest=oldest)
    )
    return Trimmed(key_of(row), floor, upto)


def _settled(connection: Connection, row: Any) -> int:
    """The newest message of which nothing is due any more: neither an answer nor the end of one."""
    waiting = select(func.min(questions.c.message)).where(questions.c.conversation == row.id)
    # The question too: whoever goes on with the reply after a restart reads it in the history.
    writing = select(func.min(messages.c.question)).where(
        and_(messages.c.conversation == row.id, messages.c.id.in_(open_in(row.id)))
    )
    unsettled = [connection.execute(found).scalar_one() for found in (waiting, writing)]
    newest: int = min((number - 1 for number in unsettled if number is not None), default=row.last_id)
    return newest


def forget_claims(connection: Connection, now: datetime) -> None:
    """Drop the `client_msg_id`s that are not known any more."""
    connection.execute(delete(client_messages).where(client_messages.c.at < ticks(now - REMEMBERED)))


def find_unsettled(connection: Connection) -> tuple[ConversationKey, ...]:
    writing: SelectBase = select(messages.c.conversation).where(messages.c.seq.is_(None))
    if connection.dialect.name == "sqlite":
        # By itself it would go through the larger index, of all messages.
        here = text("SELECT conversation FROM messages INDEXED BY messages_open WHERE seq IS NULL")
        writing = here.columns(messages.c.conversation)
    open_ones = union(select(questions.c.conversation), writing).subquery()
    c = conversations.c
    rows = connection.execute(
        select(c.pipeline, c.session_type, c.session_id)
        .where(c.id.in_(select(open_ones.c.conversation)))
        .order_by(c.id)
    )
    return tuple(ConversationKey(*row) for row in rows)


def used_keys(connection: Connection, ids: Collection[bytes]) -> set[bytes]:
    """Which of *ids* a message names."""
    named: set[bytes] = set()
    for page in pages(ids):
        # The second condition lets the partial index serve.
        found = select(messages.c.key_id).where(
            and_(messages.c.key_id.in_(page), messages.c.key_id.is_not(None))
        )
        named.update(bytes(key) for key in connection.execute(found).scalars())
    return named


def is_empty(connection: Connection) -> bool:
    return connection.execute(select(conversations.c.id).limit(1)).first() is None


def draw_epochs(connection: Connection, vault: Vault) -> None:
    """New epochs for all: this data is older than what was told. Its keys may be, too."""
    rows = connection.execute(select(conversations.c.id)).scalars().all()
    _new_epoch.run(connection, [(secrets.token_hex(6), row) for row in rows])
    _drop_unreadable_questions(connection, vault)


def _drop_unreadable_questions(connection: Connection, vault: Vault) -> None:
    """Drop the questions that were recalled after this copy was made: nobody can answer them."""
    waiting = connection.execute(
        select(questions.c.conversation, questions.c.message, messages.c.key_id)
        .join(
            messages,
            and_(messages.c.conversation == questions.c.conversation, messages.c.id == questions.c.message),
        )
        .where(messages.c.key_id.is_not(None))
    ).all()
    for page in pages(waiting):
        there = keys_of(vault, (row.key_id for row in page))
        lost = [(row.conversation, row.message) for row in page if row.key_id not in there]
        if lost:
            place = tuple_(questions.c.conversation, questions.c.message)
            connection.execute(delete(questions).where(place.in_(lost)))
