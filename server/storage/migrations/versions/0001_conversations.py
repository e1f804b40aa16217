"""Conversations, their messages and what else happens in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "conversations",
        sa.Column("id", _number, primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("session_type", sa.String(16), nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.Column("gone", sa.BigInteger, nullable=False),
        sa.Column("oldest", sa.BigInteger),
        sa.UniqueConstraint("pipeline", "session_type", "session_id", name="conversations_key"),
    )
    op.create_table(
        "messages",
        sa.Column("conversation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger),
        sa.Column("question", sa.BigInteger),
        sa.Column("alternative_of", sa.BigInteger),
        sa.Column("superseded", sa.Boolean, nullable=False),
        sa.Column("recalled", sa.Boolean, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("edited_at", sa.BigInteger),
        sa.Column("key_id", sa.LargeBinary(16)),
        sa.Column("body", sa.LargeBinary),
        sqlite_with_rowid=False,
    )
    op.create_index("messages_seq", "messages", ["conversation", "seq"])
    _partial_index("messages_open", "conversation", "seq IS NULL")
    _partial_index("messages_key", "key_id", "key_id IS NOT NULL")
    op.create_table(
        "events",
        sa.Column("conversation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("message", sa.BigInteger),
        sa.Column("user", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipts",
        sa.Column("conversation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("up_to", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "questions",
        sa.Column("conversation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        sa.Column("answer", sa.BigInteger),
        sa.Column("body", sa.LargeBinary),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "client_messages",
        sa.Column("conversation", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope", sa.LargeBinary, primary_key=True),
        sa.Column("client_msg_id", sa.LargeBinary, primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("message", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("client_messages_at", "client_messages", ["at"])


def _partial_index(name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "messages", [column], sqlite_where=where, postgresql_where=where)
