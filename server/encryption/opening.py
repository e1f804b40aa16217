"""Which database a key store's URL means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from .errors import KeyStoreError
from .sqlite_store import SqliteKeyStore
from .store import KeyStore

_SQLITE = "sqlite:///"


def open_key_store(url: str, *, create: bool = True) -> KeyStore:
    """The key store at *url*: `sqlite:///path`, percent-encoded, or `postgresql://…`.

    With *create* it is made if it isn't there.

    Raises:
        KeyStoreError: It can't be had. The text holds no password.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return SqliteKeyStore(Path(unquote(url.removeprefix(_SQLITE))), create=create)
    if url.startswith(("postgresql://", "postgresql+psycopg://")):
        try:
            from .postgres_store import PostgresKeyStore
        except ImportError:
            raise KeyStoreError("a key store in PostgreSQL needs the extra `postgres`") from None
        return PostgresKeyStore(url, create=create)
    raise KeyStoreError("a key store is sqlite:///path or postgresql://user:password@host/name")
