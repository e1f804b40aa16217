"""What Alembic runs around the scripts: they get the connection, and the transaction, of whoever asks."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
