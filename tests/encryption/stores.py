"""Key files and key stores for the tests, and what stands in their files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import field, mutable

from server.encryption import KeyRing, MasterVault, new_key, open_key_store
from server.encryption.store import WrappedKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@mutable
class Clock:
    """The time of day as a test has it."""

    at: datetime = field(default=NOON)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def ring_at(path: Path) -> KeyRing:
    """The ring of the key file at *path*, which is made if it isn't there."""
    if not path.exists():
        new_key(path, NOON)
    return KeyRing.read(path)


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def open_vault(folder: Path, url: str | None = None, clock: Clock | None = None) -> MasterVault:
    """A vault whose key file, and unless *url* says otherwise key store, are in *folder*."""
    return MasterVault(ring_at(folder / "keys"), url or sqlite_url(folder / "keys.db"), now=clock or Clock())


def rows_of(url: str) -> dict[bytes, WrappedKey]:
    """All that the key store at *url* holds."""
    store = open_key_store(url)
    try:
        with store.look() as rows:
            return {row.id: row for row in rows.page(after=b"", limit=10_000)}
    finally:
        store.close()


def bytes_beside(path: Path) -> bytes:
    """Every byte of the database at *path*, its log and its index of the log."""
    return b"".join(part.read_bytes() for part in sorted(path.parent.glob(f"{path.name}*")))
