"""Whether a database's tables are current, and making them so."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from server.loading import loading
from server.storage.engines import for_writing, place_of
from server.storage.port import StoreUnusable
from server.storage.schema import REVISIONS

# Any number, the same in all our processes: one of them migrates, the others wait.
_MIGRATING = 7_218_046_531


def upgrade(engine: Engine) -> bool:
    """Make the tables in *engine* current, in one transaction; say whether there was anything to do.

    Raises:
        StoreUnusable: The database can't be reached or written, or a newer release made its tables.
    """
    try:
        with engine.connect() as connection:
            if _is_current(connection, engine):
                return False
        with for_writing(engine).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            if _is_current(connection, engine):
                return False
            _run(connection)
    except SQLAlchemyError as error:
        raise StoreUnusable(f"{place_of(engine)} can't be used: {_reason(error)}") from error
    return True


def revision_of(connection: Connection) -> str | None:
    """Which revision the tables have; None if there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _is_current(connection: Connection, engine: Engine) -> bool:
    revision = revision_of(connection)
    if revision is not None and revision not in REVISIONS:
        raise StoreUnusable(f"{place_of(engine)} was made by a newer Triologue; use that one, or a backup")
    return revision == REVISIONS[-1]


def _run(connection: Connection) -> None:
    # It takes as long as SQLAlchemy itself, for once in the life of a database.
    with loading():
        from alembic import command
        from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "server.storage:migrations")
    command.upgrade(config, "head")


def _reason(error: SQLAlchemyError) -> str:
    """The first line of what the driver says, which names neither password nor data."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
