"""The statements of a run: each for all rows of their kind."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, true, update

from .schema import client_messages, messages, questions
from .statements import Bulk, Lookup


def _adding(table: Any) -> Bulk:
    return Bulk(insert(table), tuple(table.c.keys()))


FIND_CLAIMS = Lookup(
    client_messages,
    (client_messages.c.conversation, client_messages.c.scope, client_messages.c.client_msg_id),
)
TAKE_QUESTIONS = Lookup(questions, (questions.c.conversation, questions.c.message), taking=True)
FIND_REPLIES = Lookup(messages, (messages.c.conversation, messages.c.id))
ADD_MESSAGES = _adding(messages)
ADD_QUESTIONS = _adding(questions)
ADD_CLAIMS = _adding(client_messages)
_here = and_(messages.c.conversation == bindparam("row"), messages.c.id == bindparam("number"))
CHANGE_REPLIES = Bulk(
    update(messages)
    .where(_here)
    .values(seq=bindparam("place"), key_id=bindparam("name"), body=bindparam("sealed")),
    ("place", "name", "sealed", "row", "number"),
)
SUPERSEDE = Bulk(
    update(messages)
    .where(
        and_(
            messages.c.conversation == bindparam("row"),
            messages.c.id > bindparam("asked"),
            messages.c.id < bindparam("number"),
            messages.c.question == bindparam("asked"),
            messages.c.seq.is_not(None),
        )
    )
    .values(superseded=true()),
    ("row", "asked", "number"),
)
DROP_CLAIMS = Bulk(
    delete(client_messages).where(
        and_(
            client_messages.c.conversation == bindparam("row"),
            client_messages.c.scope == bindparam("whose"),
            client_messages.c.client_msg_id == bindparam("name"),
        )
    ),
    ("row", "whose", "name"),
)
