"""`triologue keys`: the master keys in the key file, and the data keys that they wrap in the key store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from server import config, encryption
from server.config import Config, ConfigError
from server.encryption import KeyFileError, KeyRing, KeyStore, KeyStoreError, VaultError

from .ending import Ended, ending_tidily
from .live_files import is_live
from .view import harmless


def run(arguments: argparse.Namespace) -> int:
    """Do what *arguments* ask: 0; 1 if it can't be done, 2 if the configuration says nothing of it."""
    try:
        with ending_tidily():
            return _ACTIONS[arguments.action](arguments)
    except Ended as ended:
        return ended.status
    except _EncryptionOff:
        _complain("encryption is off: the configuration has no encryption.key_file")
        return 2
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except VaultError as error:
        _complain(str(error))
        return 1


class _EncryptionOff(Exception):
    """There are no keys to manage."""


@frozen
class _Keys:
    """What the server of a configuration works with."""

    settings: Config
    ring: KeyRing
    store: KeyStore


@contextmanager
def _configured(arguments: argparse.Namespace, *, create: bool = False) -> Iterator[_Keys]:
    settings: Config = config.load(arguments.config)
    if settings.encryption.key_file is None:
        raise _EncryptionOff
    ring = KeyRing.read(settings.encryption.key_file)
    if create and not settings.encryption.key_store:
        _make(settings.data_dir)
    store = encryption.open_key_store(settings.key_store_url, create=create)
    try:
        yield _Keys(settings, ring, store)
    finally:
        store.close()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyStoreError(f"{folder} can't be made: {error.strerror}") from None


def _new(arguments: argparse.Namespace) -> int:
    path: Path = arguments.path
    first = not path.exists()
    key = encryption.new_key(path, datetime.now(UTC))
    print(f"{path}: new master key {key.id}")
    if first:
        print(
            f"Keep a copy of it in a safe place: without it nobody can read the messages. Its setting:\n\n"
            f'    [encryption]\n    key_file = "{path.absolute()}"'
        )
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    with _configured(arguments) as keys:
        usage = encryption.usage(keys.store, keys.ring)
        if usage.missing:
            raise KeyFileError(f"{_lacks(keys.ring, usage)}: nothing was changed")
        ring = keys.ring
        if not arguments.finish:
            key = encryption.new_key(ring.path, datetime.now(UTC))
            print(f"{ring.path}: new master key {key.id}", flush=True)
            ring = KeyRing.read(ring.path)
        try:
            count = encryption.rewrap(keys.store, ring)
        except VaultError as error:
            raise VaultError(f"{error}; `triologue keys rotate --finish` does the rest") from None
        print(f"{count} data keys rewrapped by {ring.current.id}")
        for old in ring.keys[:-1]:
            print(f"no longer needed: triologue keys retire {old.id}")
    return 0


def _retire(arguments: argparse.Namespace) -> int:
    with _configured(arguments) as keys:
        encryption.retire(keys.store, keys.ring, arguments.id)
        print(f"{keys.ring.path}: master key {arguments.id} is gone")
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    with _configured(arguments) as keys:
        if is_live(arguments.path, keys.settings):
            raise KeyStoreError(f"{arguments.path} is a file of the server's own: name another")
        encryption.back_up(keys.store, arguments.path, overwrite=arguments.force)
        print(f"{arguments.path}: a copy of {keys.store.name}")
        print("To be of use it needs the key file as it is now; to be worth it, a place apart from both.")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    with _configured(arguments, create=True) as keys:
        count = encryption.restore(keys.store, keys.ring, arguments.path)
        print(f"{keys.store.name}: has the {count} keys of {arguments.path}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    with _configured(arguments) as keys:
        usage = encryption.usage(keys.store, keys.ring)
        print(f"key file   {keys.ring.path}")
        print(f"key store  {keys.store.name}")
        for key, (_, count) in zip(keys.ring.keys, usage.held, strict=True):
            current = key is keys.ring.current
            role = "current" if current else "old" if count else "may be retired"
            print(f"{key.id}   {key.created:%Y-%m-%dT%H:%M:%SZ}   {count} data keys   {role}")
        if usage.missing:
            raise KeyFileError(_lacks(keys.ring, usage))
    return 0


def _lacks(ring: KeyRing, usage: encryption.Usage) -> str:
    lost = ", ".join(f"{master} ({count} data keys)" for master, count in usage.missing)
    return f"key file {ring.path} does not hold the master key {lost}"


def _complain(text: str) -> None:
    line = " ".join(text.splitlines())
    print(f"triologue: {harmless(line)}", file=sys.stderr)


_ACTIONS = {
    "new": _new,
    "rotate": _rotate,
    "retire": _retire,
    "backup": _backup,
    "restore": _restore,
    "status": _status,
}
