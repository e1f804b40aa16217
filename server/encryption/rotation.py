"""A new master key for all data keys, while the server runs, and the end of an old one."""

from __future__ import annotations

from attrs import frozen

from .errors import KeyFileError
from .ring import KeyRing, drop_key
from .store import PAGE, KeyStore, WrappedKey


def rewrap(store: KeyStore, ring: KeyRing) -> int:
    """Have the current key of *ring* wrap every data key; how many another one wrapped.

    Page by page, each in a transaction of its own, so that nobody waits long. What was done stays done if
    it is cut short. A vault that reads the same file adds no more by older keys once it was changed.

    Raises:
        VaultError: Something can't be unwrapped, read or written.
    """
    current = ring.current
    rewrapped = 0
    after = b""
    while True:
        with store.write(alone=True) as rows:
            page = rows.page(after=after)
            old = [row for row in page if row.master != current.id]
            rows.replace([_rewrapped(row, ring) for row in old])
        rewrapped += len(old)
        if len(page) < PAGE:
            break
        after = page[-1].id
    store.erase()
    return rewrapped


def retire(store: KeyStore, ring: KeyRing, master: str) -> None:
    """Take the key *master* out of the key file, unless something is wrapped by it.

    Raises:
        KeyFileError: It is current, still needed, or not in there.
        VaultError: The key store can't be used.
    """
    # While no vault adds a key by it.
    with store.write(alone=True) as rows:
        wrapped = rows.counts().get(master, 0)
        if wrapped:
            raise KeyFileError(f"master key {master} still wraps {wrapped} data keys: rotate first")
        drop_key(ring.path, master)


@frozen
class Usage:
    """How many data keys each master key wraps: those of the file, oldest first, and those it lacks."""

    held: tuple[tuple[str, int], ...]
    missing: tuple[tuple[str, int], ...]


def usage(store: KeyStore, ring: KeyRing) -> Usage:
    """What *ring*'s keys are needed for.

    Raises:
        KeyStoreError: The store can't be read.
    """
    with store.look() as rows:
        counts = rows.counts()
    held = tuple((key.id, counts.pop(key.id, 0)) for key in ring.keys)
    return Usage(held, tuple(sorted(counts.items())))


def _rewrapped(row: WrappedKey, ring: KeyRing) -> WrappedKey:
    secret = ring.find(row.master).unwrap(row.wrapped, row.id)
    return WrappedKey(row.id, ring.current.id, ring.current.wrap(secret, row.id))
