"""Rows into messages, facts and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, Row, Select, and_, false, select

from server.chat import (
    Component,
    ConversationKey,
    Fact,
    HistoryReset,
    Message,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    OpenReply,
    Question,
    ReadUpTo,
    ReplyEnded,
    Sender,
    Snapshot,
)

from .bodies import Body, load_body, load_chain
from .moments import moment
from .schema import EDITED, READ, RECALLED, RESET, conversations, events, messages, questions
from .sql_ledger import pages
from .sql_sealing import Keys, keys_of, unseal_body, unseal_question
from .vault import Vault

MOST = 2**63 - 1
"""The greatest number that a column holds."""

Rows = Sequence[Row[Any]]


def bounded(number: int) -> int:
    """*number*, or the nearest that can be compared with a column."""
    return max(-1, min(number, MOST))


def conversation_row(connection: Connection, key: ConversationKey) -> Row[Any] | None:
    c = conversations.c
    return connection.execute(
        select(conversations).where(
            and_(
                c.pipeline == key.pipeline,
                c.session_type == key.session_type,
                c.session_id == key.session_id,
            )
        )
    ).one_or_none()


def body_of(row: Row[Any], key: ConversationKey, keys: Keys) -> Body | None:
    """The body of a message's row; None if it was recalled, be it in a newer copy of this data."""
    return unsealed(row.body, row.key_id, key, row.id, keys)


def unsealed(
    body: bytes | None, key_id: bytes | None, conversation: ConversationKey, message: int, keys: Keys
) -> Body | None:
    """The same, of a row's values."""
    key = keys.get(key_id)
    if body is None or key is None:
        return None
    return load_body(unseal_body(key, body, conversation, message))


def message_of(row: Row[Any], key: ConversationKey, body: Body) -> Message:
    return Message(
        row.id,
        "user" if row.question is None else "assistant",
        body.chain,
        moment(row.at),
        body.connection_id,
        Sender(row.sender, body.name),
        is_final=row.seq is not None,
        seq=row.seq,
        finish_reason=body.finish_reason,
        usage=body.usage,
        client_msg_id=body.client_msg_id,
        reply_to=body.reply_to if row.question is None else row.question,
        edited_at=None if row.edited_at is None else moment(row.edited_at),
        alternative_of=row.alternative_of,
    )


def read_facts(
    connection: Connection, vault: Vault, row: Row[Any], *, after: int, upto: int, limit: int | None = None
) -> tuple[Fact, ...]:
    """Facts of the conversation *row*, in order, from the first after both *after* and its floor."""
    key = key_of(row)
    after = bounded(max(after, row.floor))
    upto = bounded(upto if limit is None else min(upto, after + limit))
    if upto <= after:
        return ()
    happened: Rows = connection.execute(
        select(events).where(
            and_(events.c.conversation == row.id, events.c.seq > after, events.c.seq <= upto)
        )
    ).all()
    added: Rows = connection.execute(
        select(messages).where(
            and_(messages.c.conversation == row.id, messages.c.seq > after, messages.c.seq <= upto)
        )
    ).all()
    shown = {message.id: message for message in added}
    edited = {one.message for one in happened if one.kind == EDITED} - shown.keys()
    for page in pages(edited):
        for message in connection.execute(
            select(messages).where(and_(messages.c.conversation == row.id, messages.c.id.in_(page)))
        ):
            shown[message.id] = message
    keys = keys_of(vault, (message.key_id for message in shown.values()))
    objects = {
        number: message_of(message, key, body_of(message, key, keys) or Body())
        for number, message in shown.items()
    }
    facts: list[Fact] = [
        (MessageAdded if message.question is None else ReplyEnded)(message.seq, objects[message.id])
        for message in added
    ]
    facts += (_event(one, objects.get(one.message)) for one in happened)
    facts.sort(key=lambda fact: fact.seq)
    return tuple(facts)


def _event(row: Row[Any], message: Message | None) -> Fact:
    at = moment(row.at)
    match row.kind:
        case k if k == EDITED:
            return MessageEdited(row.seq, edited_at(message, row.seq) if message else _trimmed(row))
        case k if k == RECALLED:
            return MessageRecalled(row.seq, row.message, row.user, at)
        case k if k == READ:
            return ReadUpTo(row.seq, row.user, row.message)
        case k if k == RESET:
            return HistoryReset(row.seq, at)
        case other:
            raise LookupError(f"an event of kind {other}")


def edited_at(message: Message, seq: int) -> Message:
    """*message* as the fact of its edit shows it."""
    return evolve(message, seq=seq)


def _trimmed(row: Row[Any]) -> Message:
    """Stands for an edited message that retention has taken away since."""
    at = moment(row.at)
    return Message(row.message, "user", (), at, "", Sender(row.user, ""), seq=row.seq, edited_at=at)


def key_of(row: Row[Any]) -> ConversationKey:
    return ConversationKey(row.pipeline, row.session_type, row.session_id)


def read_messages(
    connection: Connection,
    vault: Vault,
    row: Row[Any],
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    alternatives: bool = False,
) -> tuple[Message, ...]:
    """Final messages of the conversation *row*, oldest first, as `ReadMessages` says."""
    forwards = after is not None and before is None
    low = None if after is None else bounded(after)
    high = None if before is None else bounded(before)
    key = key_of(row)
    found: list[Message] = []
    while (missing := bounded(limit) - len(found)) > 0:
        rows = connection.execute(
            _history(row.id, low, high, alternatives)
            .order_by(messages.c.id if forwards else messages.c.id.desc())
            .limit(missing)
        ).all()
        if not rows:
            break
        keys = keys_of(vault, (one.key_id for one in rows))
        bodies = ((one, body_of(one, key, keys)) for one in rows)
        # Those whose keys were destroyed since this data was copied don't count: there may be as many more.
        found += (message_of(one, key, body) for one, body in bodies if body is not None)
        low, high = (rows[-1].id, high) if forwards else (low, rows[-1].id)
    return tuple(found if forwards else reversed(found))


def _history(conversation: int, low: int | None, high: int | None, alternatives: bool) -> Select[Any]:
    shown = [
        messages.c.conversation == conversation,
        messages.c.seq.is_not(None),
        messages.c.recalled == false(),
    ]
    # A bound that bounds nothing has PostgreSQL expect so few rows that it reads and sorts them all.
    if low is not None:
        shown.append(messages.c.id > low)
    if high is not None:
        shown.append(messages.c.id < high)
    if not alternatives:
        shown.append(messages.c.superseded == false())
    return select(messages).where(and_(*shown))


def read_snapshot(
    connection: Connection, vault: Vault, row: Row[Any], *, limit: int, after: int | None
) -> Snapshot:
    facts: tuple[Fact, ...] = ()
    if after is not None:
        facts = read_facts(connection, vault, row, after=after, upto=row.last_seq)
    return Snapshot(
        epoch=row.epoch,
        last_seq=row.last_seq,
        floor=row.floor,
        facts=facts,
        messages=read_messages(connection, vault, row, limit=limit),
        questions=_questions(connection, vault, row),
        open_reply=_open_reply(connection, vault, row),
        lost=after is not None and after < row.floor,
    )


def _questions(connection: Connection, vault: Vault, row: Row[Any]) -> tuple[Question, ...]:
    key = key_of(row)
    rows = connection.execute(
        select(messages, questions.c.stream, questions.c.again, questions.c.body.label("inline"))
        .join(
            messages,
            and_(messages.c.conversation == questions.c.conversation, messages.c.id == questions.c.message),
        )
        .where(questions.c.conversation == row.id)
        .order_by(questions.c.message)
    ).all()
    keys = keys_of(vault, (one.key_id for one in rows))
    return tuple(_waiting(rows, key, keys))


def _waiting(rows: Rows, key: ConversationKey, keys: Keys) -> Iterable[Question]:
    for row in rows:
        body = body_of(row, key, keys)
        if body is None:
            continue  # its key was destroyed since this data was copied: it waits for nothing
        message = message_of(row, key, body)
        if row.inline is not None:
            message = with_chain(message, inline_of(row.inline, row, key, keys))
        yield Question(message, row.stream, row.again)


def inline_of(data: bytes, row: Row[Any], key: ConversationKey, keys: Keys) -> tuple[Component, ...]:
    """The chain that a question keeps since it has inline data."""
    return load_chain(unseal_question(keys[row.key_id], data, key, row.id))


def with_chain(message: Message, chain: tuple[Component, ...]) -> Message:
    return evolve(message, chain=chain)


def open_in(conversation: int) -> Select[tuple[int]]:
    """The ids of replies that are open there: one, or none.

    Nothing but the id: for whole rows SQLite would rather go through all messages than use an index.
    """
    of_it = and_(messages.c.conversation == conversation, messages.c.seq.is_(None))
    return select(messages.c.id).where(of_it)


def _open_reply(connection: Connection, vault: Vault, row: Row[Any]) -> OpenReply | None:
    found = connection.execute(
        select(messages)
        .where(and_(messages.c.conversation == row.id, messages.c.id.in_(open_in(row.id))))
        .order_by(messages.c.id)
        .limit(1)
    ).one_or_none()
    if found is None:
        return None
    key = key_of(row)
    body = body_of(found, key, keys_of(vault, [found.key_id])) or Body()
    reply = message_of(found, key, body)
    return OpenReply(
        reply.id,
        found.question,
        reply.timestamp,
        reply.connection_id,
        reply.sender,
        reply.content,
        reply.alternative_of,
        body.stream,
    )
