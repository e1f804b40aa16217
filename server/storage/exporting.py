"""Conversations out of a store, as lines of JSON: for people and programs, and for another store.

The first line says what this is, the last one how much of it there was, so that half is not taken for the
whole. Between them comes one conversation after the other: a line of its own, then its messages, events, what
was read by whom, and the questions that wait.

What is said is in clear. Ids and seqs stay. Epochs do not come along, and no memory of `client_msg_id`s: the
digests in it would tell something of what was recalled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row, Select, and_, select
from sqlalchemy.exc import SQLAlchemyError

from server.chat import ConversationKey

from .copies import AT_ONCE, reading
from .engines import place_of
from .moments import ticks
from .port import StoreError
from .records import FORMAT, spell
from .schema import conversations, events, messages, questions, receipts
from .sql_ledger import pages
from .sql_reading import key_of
from .sql_sealing import Keys, VaultTrouble, keys_of, unseal_body, unseal_question
from .vault import Vault

Rows = Iterator[tuple[Row[Any], Keys]]


def export(engine: Engine, vault: Vault, now: Callable[[], datetime]) -> Iterator[bytes]:
    """The lines of an export of everything, as it is at one moment, while a server may write on.

    A message whose key is gone was recalled since this data was copied: it is exported as recalled.

    Raises:
        StoreError: The store can't be read, or its messages can't be unsealed.
    """
    try:
        with reading(engine) as connection:
            yield spell("export", format=FORMAT, at=ticks(now()))
            yield from _conversations(connection, vault)
    except SQLAlchemyError as error:
        raise StoreError(f"{place_of(engine)} can't be read: {type(error).__name__}") from error
    except VaultTrouble as error:
        raise StoreError(str(error.__cause__)) from error


def _conversations(connection: Connection, vault: Vault) -> Iterator[bytes]:
    said = _Following(connection, select(messages).order_by(messages.c.conversation, messages.c.id), vault)
    happened = _Following(connection, select(events).order_by(events.c.conversation, events.c.seq))
    read = _Following(connection, select(receipts).order_by(receipts.c.conversation, receipts.c.user))
    waiting = _Following(connection, _waiting(), vault)
    counts = {"conversations": 0, "messages": 0}
    for row in _stream(connection, select(conversations).order_by(conversations.c.id)):
        key = key_of(row)
        counts["conversations"] += 1
        yield spell("conversation", **row._mapping)
        for message, keys in said.of(row.id):
            counts["messages"] += 1
            yield _message(message, key, keys)
        for event, _ in happened.of(row.id):
            yield spell("event", **event._mapping)
        for receipt, _ in read.of(row.id):
            yield spell("receipt", **receipt._mapping)
        for question, keys in waiting.of(row.id):
            if question.key_id in keys:
                yield _question(question, key, keys)
    yield spell("end", **counts)


def _waiting() -> Select[Any]:
    its_message = and_(
        messages.c.conversation == questions.c.conversation, messages.c.id == questions.c.message
    )
    return (
        select(questions, messages.c.key_id)
        .join(messages, its_message)
        .order_by(questions.c.conversation, questions.c.message)
    )


def _message(row: Row[Any], key: ConversationKey, keys: Keys) -> bytes:
    body = None
    if row.body is not None and row.key_id in keys:
        body = orjson.Fragment(unseal_body(keys[row.key_id], row.body, key, row.id))
    return spell("message", **{**row._mapping, "body": body, "recalled": body is None})


def _question(row: Row[Any], key: ConversationKey, keys: Keys) -> bytes:
    chain = None
    if row.body is not None:
        chain = orjson.Fragment(unseal_question(keys[row.key_id], row.body, key, row.message))
    return spell("question", **row._mapping, chain=chain)


class _Following:
    """The rows of one table, in order of their conversations, handed out as one comes to each.

    With a *vault* they bear the ids of keys, and come with them; else there are none.
    """

    def __init__(self, connection: Connection, rows: Select[Any], vault: Vault | None = None) -> None:
        self._rows = self._with_keys(_stream(connection, rows), vault)
        self._next = next(self._rows, None)

    def of(self, conversation: int) -> Rows:
        while self._next is not None and self._next[0].conversation <= conversation:
            row, self._next = self._next, next(self._rows, None)
            yield row

    @staticmethod
    def _with_keys(rows: Iterator[Row[Any]], vault: Vault | None) -> Rows:
        for page in pages(rows, AT_ONCE):
            keys = keys_of(vault, (row.key_id for row in page)) if vault is not None else {}
            for row in page:
                yield row, keys


def _stream(connection: Connection, rows: Select[Any]) -> Iterator[Row[Any]]:
    found: Sequence[Row[Any]] | Any = connection.execute(rows.execution_options(yield_per=AT_ONCE))
    return iter(found)
