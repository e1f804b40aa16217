"""The master keys as one reading of the key file found them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from attrs import field, frozen

from . import key_file
from .errors import KeyFileError, UnknownMasterKey
from .key_file import Stamp
from .keys import DataKey, MasterKey


@frozen(eq=False)
class KeyRing:
    """Master keys, oldest first. The last is `current` and wraps; all unwrap."""

    path: Path
    keys: tuple[MasterKey, ...]
    _stamp: Stamp = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """The keys in the file at *path*.

        Raises:
            KeyFileError: It can't be used; others may read it, for one.
        """
        stamp, keys = key_file.read(path)
        return cls(path, keys, stamp)

    @property
    def current(self) -> MasterKey:
        return self.keys[-1]

    def is_stale(self) -> bool:
        """Whether there is another file now. One that was taken away leaves the ring as it is."""
        stamp = key_file.stamp_of(self.path)
        return stamp is not None and stamp != self._stamp

    def find(self, master: str) -> MasterKey:
        """The key *master*.

        Raises:
            UnknownMasterKey: The file did not hold it.
        """
        for key in self.keys:
            if key.id == master:
                return key
        raise UnknownMasterKey(f"key file {self.path} does not hold the master key {master}", master)

    def unwrap(self, key_id: bytes, master: str, wrapped: bytes) -> DataKey:
        """The data key *key_id*, of which *wrapped* is the form in the key store.

        Raises:
            UnknownMasterKey: The ring does not hold *master*.
            Unsealable: The master key is another one under the same name, or *wrapped* was altered.
        """
        return DataKey.of(key_id, self.find(master).unwrap(wrapped, key_id))


def new_key(path: Path, now: datetime) -> MasterKey:
    """Make a key the current one of the key file at *path*, and the file if there is none.

    Raises:
        KeyFileError: That can't be done.
    """
    fresh = MasterKey.fresh(now)
    if key_file.stamp_of(path) is None:
        key_file.create(path, fresh)
    else:
        key_file.change(path, lambda keys: (*keys, fresh))
    return fresh


def drop_key(path: Path, master: str) -> None:
    """Take the key *master* out of the key file at *path*.

    Raises:
        KeyFileError: It is not in there, it is the current one, or the file can't be changed.
    """

    def without(keys: tuple[MasterKey, ...]) -> tuple[MasterKey, ...]:
        if all(key.id != master for key in keys):
            raise KeyFileError(f"key file {path} does not hold the master key {master}")
        if keys[-1].id == master:
            raise KeyFileError(f"master key {master} is the current one: rotate first")
        return tuple(key for key in keys if key.id != master)

    key_file.change(path, without)
