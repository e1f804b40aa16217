"""The vault of a server that encrypts: a data key for each message, wrapped by a master key, in a key store.

Unwrapped keys are not kept here: they are read anew each time, so that a destroyed one is gone at once. That
costs little (`docs/encryption.md`, "What it costs").
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from .errors import KeyFileError, UnknownMasterKey
from .keys import ID_SIZE, KEY_SIZE, DataKey
from .opening import open_key_store
from .ring import KeyRing
from .store import WrappedKey, in_pages

_log: FilteringBoundLogger = structlog.get_logger(__name__)

DIGEST_KEY: Final = b"triologue.digest"
"""The id of the one key that seals nothing: it keys the digests.

As a time it is some four thousand years from now: no data key has it, and no sweep comes so far.
"""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_SIZE: Final = 6


def _now() -> datetime:
    return datetime.now(UTC)


class MasterVault:
    """Data keys in the key store at *key_store_url*, wrapped by the current key of *ring*.

    It follows the key file: a newer current key is used from the next wrapping on. Its methods block, and may
    be called from several threads.

    Raises:
        VaultError: By the constructor and every method: the key store can't be used now, or something in it
            was wrapped by a master key that the key file doesn't hold.
    """

    def __init__(self, ring: KeyRing, key_store_url: str, *, now: Callable[[], datetime] = _now) -> None:
        self._ring = ring
        self._rereading = Lock()
        self._complained = False
        self._now = now
        self._store = open_key_store(key_store_url)
        try:
            self._digest = self._digest_secret()
        except BaseException:
            self._store.close()
            raise

    def open_keys(self, count: int) -> list[DataKey]:
        """*count* fresh keys, all durable in one commit before this returns."""
        if count == 0:
            return []
        moment = self._now()
        secrets = {_new_id(moment): os.urandom(KEY_SIZE) for _ in range(count)}
        with self._store.write() as rows:
            # Inside of the transaction: none that begins after a rotation's first wraps by the old key.
            master = self._fresh_ring().current
            rows.add(
                [
                    WrappedKey(key_id, master.id, master.wrap(secret, key_id))
                    for key_id, secret in secrets.items()
                ]
            )
        return [DataKey.of(key_id, secret) for key_id, secret in secrets.items()]

    def keys(self, ids: Collection[bytes]) -> Mapping[bytes, DataKey]:
        """Those of the *ids* whose keys still exist."""
        found: list[WrappedKey] = []
        wanted = {key_id for key_id in ids if len(key_id) == ID_SIZE and key_id != DIGEST_KEY}
        if wanted:
            with self._store.look() as rows:
                for page in in_pages(wanted):
                    found += rows.read(page)
        return {row.id: self._unwrap(row) for row in found}

    def is_empty(self) -> bool:
        """Whether there is no data key at all."""
        with self._store.look() as rows:
            return all(row.id == DIGEST_KEY for row in rows.page(after=b"", limit=2))

    def destroy(self, ids: Collection[bytes]) -> None:
        """Remove keys for good, and overwrite what they were. Unknown ones are no error."""
        doomed = [key_id for key_id in ids if key_id != DIGEST_KEY]
        if not doomed:
            return
        with self._store.write() as rows:
            for page in in_pages(doomed):
                rows.remove(page)
        self._store.erase()

    def sweep(
        self, used: Callable[[Collection[bytes]], Collection[bytes]], older_than: float = 3600.0
    ) -> int:
        """Destroy keys older than *older_than* seconds that *used*, asked in pages, leaves out; how many."""
        before = _prefix(self._now() - timedelta(seconds=older_than))
        after = b""
        destroyed = 0
        while True:
            with self._store.look() as rows:
                page = [row.id for row in rows.page(after=after, before=before)]
            if not page:
                return destroyed
            after = page[-1]
            orphans = set(page) - set(used(page))
            self.destroy(orphans)
            destroyed += len(orphans)

    def digest(self, data: bytes) -> bytes:
        """HMAC-SHA256 of *data*: the same over restarts and rotations."""
        return hmac.digest(self._digest, data, "sha256")

    def close(self) -> None:
        """Let go of the key store. Nothing else may be called afterwards, nor be under way."""
        self._store.close()

    def __repr__(self) -> str:
        return f"<MasterVault of {self._ring.path}>"

    def _digest_secret(self) -> bytes:
        with self._store.write(alone=True) as rows:
            found = rows.read([DIGEST_KEY])
            if not found:
                secret = os.urandom(KEY_SIZE)
                master = self._ring.current
                rows.add([WrappedKey(DIGEST_KEY, master.id, master.wrap(secret, DIGEST_KEY))])
                return secret
        row = found[0]
        return self._ring.find(row.master).unwrap(row.wrapped, row.id)

    def _unwrap(self, row: WrappedKey) -> DataKey:
        try:
            return self._ring.unwrap(row.id, row.master, row.wrapped)
        except UnknownMasterKey:
            # A rotation may have begun since the file was read.
            return self._fresh_ring().unwrap(row.id, row.master, row.wrapped)

    def _fresh_ring(self) -> KeyRing:
        """The ring as the key file has it now; as it was, if that can't be read any more."""
        with self._rereading:
            if self._ring.is_stale():
                try:
                    self._ring = KeyRing.read(self._ring.path)
                    self._complained = False
                except KeyFileError as error:
                    # The keys at hand are good, and without them no message could be said or read.
                    if not self._complained:
                        _log.error(
                            "the key file can't be used, the server goes on with what was in it",
                            why=str(error),
                        )
                    self._complained = True
            return self._ring


def _new_id(moment: datetime) -> bytes:
    """An id that nobody else draws. It begins with the time, so that keys made together lie together."""
    return _prefix(moment) + os.urandom(ID_SIZE - _TIME_SIZE)


def _prefix(moment: datetime) -> bytes:
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return max(0, milliseconds).to_bytes(_TIME_SIZE, "big")
