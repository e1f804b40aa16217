"""Where conversations are kept: what a store promises (`port`), and the one on SQLite and PostgreSQL.

What needs SQLAlchemy is imported when it is first asked for: a command that stores nothing starts faster.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .actor import Storage
from .keeper import Keeper
from .port import Store, StoreError, StoreUnusable
from .threads import Execute, in_threads
from .vault import DataKey, PlainVault, Vault

if TYPE_CHECKING:
    from .engines import make_engine
    from .migrations import upgrade
    from .opening import open_store
    from .sql_store import SqlStore

_when_asked = {
    "SqlStore": ".sql_store",
    "make_engine": ".engines",
    "open_store": ".opening",
    "upgrade": ".migrations",
}

__all__ = [
    "DataKey",
    "Execute",
    "Keeper",
    "PlainVault",
    "SqlStore",
    "Storage",
    "Store",
    "StoreError",
    "StoreUnusable",
    "Vault",
    "in_threads",
    "make_engine",
    "open_store",
    "upgrade",
]


def __getattr__(name: str) -> Any:
    if name not in _when_asked:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_when_asked[name], __name__), name)
    globals()[name] = value
    return value
