"""Copies of the wrapped data keys, and the way back from one."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path

from .errors import KeyStoreError
from .ring import KeyRing
from .sqlite_store import SqliteKeyStore
from .store import KeyStore
from .vault import DIGEST_KEY


def back_up(store: KeyStore, path: Path, *, overwrite: bool = False) -> None:
    """Write *store*'s keys, as they are at one moment, to a SQLite file *path* (0600), whole or not at all.

    Raises:
        KeyStoreError: That can't be done, or there is a file and *overwrite* is not said.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # With `link` instead of `rename` whoever made the file meanwhile keeps it.
        place = os.replace if overwrite else os.link
        if not overwrite and os.path.lexists(path):
            raise FileExistsError
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        os.chmod(beside, 0o600)
        store.backup(beside)
        _sync(beside)
        place(beside, path)
        _sync(path.parent)
    except FileExistsError:
        raise KeyStoreError(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise KeyStoreError(f"{path} can't be written: {error.strerror}") from None
    finally:
        for left in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                os.unlink(f"{beside}{left}")


def restore(store: KeyStore, ring: KeyRing, path: Path) -> int:
    """Add to *store* what the copy at *path* has and it lacks; how many keys the copy has.

    Those that belong to nothing any more will be swept again by the server. A *store* without data keys takes
    the copy's digest key for its own, by which the data knows its key store.

    Raises:
        UnknownMasterKey: *ring* lacks one that the copy needs; nothing was added.
        KeyStoreError: That can't be done, *path* is no key store, or one of other data than *store*'s.
    """
    if not path.is_file():
        raise KeyStoreError(f"{path} is no file")
    count = 0
    after = b""
    with closing(SqliteKeyStore(path)) as copy:
        with copy.look() as rows:
            for master in rows.counts():
                ring.find(master)
        # First: once there are data keys, whose they are is settled.
        _take_digest_key(store, ring, copy)
        while True:
            with copy.look() as rows:
                page = rows.page(after=after)
            if not page:
                return count
            with store.write(alone=True) as rows:
                rows.add_missing(page)
            count += len(page)
            after = page[-1].id


def _take_digest_key(store: KeyStore, ring: KeyRing, copy: SqliteKeyStore) -> None:
    with copy.look() as rows:
        theirs = rows.read([DIGEST_KEY])
    with store.write(alone=True) as rows:
        ours = rows.read([DIGEST_KEY])
        if not theirs or not ours:
            return  # it is added, or stays, as any other
        if all(row.id == DIGEST_KEY for row in rows.page(after=b"", limit=2)):
            rows.replace(theirs)
            return
        # Not as they are wrapped: a rotation since the copy wrapped the same one anew.
        kept, came = (ring.find(row.master).unwrap(row.wrapped, DIGEST_KEY) for (row,) in (ours, theirs))
        if kept != came:
            raise KeyStoreError(
                f"{copy.name} is a copy of another key store than {store.name}, which has keys:"
                " move that away"
            )


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
