"""The tables, the same for SQLite and PostgreSQL.

A conversation is named by a number of its own here. Times are microseconds since 1970 in UTC; `body` and
`question` hold what `bodies` made of a message, sealed by the vault. What isn't sealed: who, when, how much.

The facts of a conversation lie in two tables, each seq in one of them: a message's and a final reply's in
`messages`, all others in `events`. The messages kept are those with ids above `gone`, without exception: a
recalled one's row stays, emptied, so that its fact can still be read.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

REVISIONS = ("0001",)
"""The revisions of these tables, oldest first; each has its script in `migrations/versions`."""

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
_number = BigInteger().with_variant(Integer, "sqlite")

tables = MetaData()

meta = Table(
    "meta",
    tables,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

conversations = Table(
    "conversations",
    tables,
    Column("id", _number, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("session_type", String(16), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    # Facts up to this seq can't be read any more.
    Column("floor", BigInteger, nullable=False),
    # Messages up to this id are gone, and when the first one that is left was said.
    Column("gone", BigInteger, nullable=False),
    Column("oldest", BigInteger),
    UniqueConstraint("pipeline", "session_type", "session_id", name="conversations_key"),
)

messages = Table(
    "messages",
    tables,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # NULL while a reply is open.
    Column("seq", BigInteger),
    # The message that a reply answers; NULL for a user's.
    Column("question", BigInteger),
    Column("alternative_of", BigInteger),
    # A newer answer to the same question is final: history shows that one.
    Column("superseded", Boolean(create_constraint=False), nullable=False),
    Column("recalled", Boolean(create_constraint=False), nullable=False),
    Column("sender", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("edited_at", BigInteger),
    # NULL if it isn't sealed.
    Column("key_id", LargeBinary(16)),
    # NULL once recalled.
    Column("body", LargeBinary),
    Index("messages_seq", "conversation", "seq"),
    sqlite_with_rowid=False,
)
# What a start looks for. In the databases they are partial, of the few rows where `seq` is NULL and those
# where `key_id` isn't: to say so here would have SQLAlchemy load PostgreSQL's dialect, whatever the database.
Index("messages_open", messages.c.conversation)
Index("messages_key", messages.c.key_id)

EDITED, RECALLED, READ, RESET = 1, 2, 3, 4
"""The kinds of events."""

events = Table(
    "events",
    tables,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    # Of an edit, a recall, and a receipt: which message, and who.
    Column("message", BigInteger),
    Column("user", Text),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    tables,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    Column("user", Text, primary_key=True),
    Column("up_to", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

questions = Table(
    "questions",
    tables,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", Boolean(create_constraint=False), nullable=False),
    Column("again", Boolean(create_constraint=False), nullable=False),
    # The newest final answer there was, for `alternative_of` of the one to come.
    Column("answer", BigInteger),
    # The chain, if it has inline data, which the message itself has not; sealed by the message's key.
    Column("body", LargeBinary),
    sqlite_with_rowid=False,
)

client_messages = Table(
    "client_messages",
    tables,
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    # As bytes, since a client may put a NUL into them, which PostgreSQL's texts can't hold.
    Column("scope", LargeBinary, primary_key=True),
    Column("client_msg_id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("message", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("client_messages_at", client_messages.c.at)
