"""Brings a database's tables up to date. Alembic itself is imported only if there is something to do."""

from .running import revision_of, upgrade

__all__ = ["revision_of", "upgrade"]
