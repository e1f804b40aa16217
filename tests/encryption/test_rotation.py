"""Rotation, retirement and backup beside a vault that lives, in this process and in another."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.encryption import (
    KeyFileError,
    KeyRing,
    KeyStore,
    KeyStoreError,
    MasterVault,
    UnknownMasterKey,
    back_up,
    new_key,
    open_key_store,
    restore,
    retire,
    rewrap,
    usage,
)
from server.encryption.vault import DIGEST_KEY
from tests.e2e.running import ROOT

from .stores import NOON, bytes_beside, open_vault, ring_at, rows_of, sqlite_url


@pytest.fixture
def store(url: str) -> Iterator[KeyStore]:
    with closing(open_key_store(url)) as store:
        yield store


@pytest.fixture
def vault(tmp_path: Path, url: str) -> Iterator[MasterVault]:
    with closing(open_vault(tmp_path, url)) as vault:
        yield vault


def test_after_a_rotation_the_old_key_is_needed_for_nothing(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """Not for the digests either."""
    path = tmp_path / "keys"
    ids = [key.id for key in vault.open_keys(1250)]
    old = KeyRing.read(path).current
    new_key(path, NOON)
    ring = KeyRing.read(path)
    with pytest.raises(KeyFileError, match=r"still wraps 1251 .*rotate"):
        retire(store, ring, old.id)
    assert rewrap(store, ring) == 1251
    assert rewrap(store, ring) == 0
    retire(store, ring, old.id)

    assert [key.id for key in KeyRing.read(path).keys] == [ring.current.id]
    assert len(vault.keys(ids)) == 1250
    digest = vault.digest(b"hello")
    with closing(open_vault(tmp_path, url)) as again:
        assert len(again.keys(ids)) == 1250
        assert again.digest(b"hello") == digest


def test_a_rotation_takes_no_time_off(tmp_path: Path, vault: MasterVault, store: KeyStore) -> None:
    """Keys are opened, read and destroyed all the while; in the end the old master key wraps none."""
    path = tmp_path / "keys"
    named = {key.id: key.seal(b"body", b"") for key in vault.open_keys(300)}
    failures: list[BaseException] = []
    rotated = threading.Event()

    def live() -> None:
        try:
            while not rotated.is_set():
                opened = vault.open_keys(20)
                vault.destroy([key.id for key in opened[:5]])
                named.update({key.id: key.seal(b"body", b"") for key in opened[5:]})
                found = vault.keys(list(named)[-100:])
                assert len(found) == 100
                assert all(key.unseal(named[key.id], b"") == b"body" for key in found.values())
        except BaseException as error:
            failures.append(error)

    living = threading.Thread(target=live)
    living.start()
    try:
        for _ in range(4):
            new_key(path, NOON)
            ring = KeyRing.read(path)
            rewrap(store, ring)
            for old in ring.keys[:-1]:
                retire(store, ring, old.id)
    finally:
        rotated.set()
        living.join()

    assert failures == []
    assert len(KeyRing.read(path).keys) == 1
    assert len(vault.keys(named)) == len(named)


def test_a_rotation_does_not_bring_back_the_destroyed(
    tmp_path: Path, vault: MasterVault, store: KeyStore
) -> None:
    """It reads and writes rows; one that is removed in between must stay removed."""
    ids = [key.id for key in vault.open_keys(40)]
    new_key(tmp_path / "keys", NOON)
    vault.destroy(ids[::2])
    rewrap(store, KeyRing.read(tmp_path / "keys"))

    assert set(vault.keys(ids)) == set(ids[1::2])


def test_a_missing_master_key_stops_a_rotation_before_it_does_harm(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """What can't be unwrapped is left as it is, for the day when the key is found again."""
    path = tmp_path / "keys"
    vault.open_keys(3)
    kept = path.read_bytes()
    before = rows_of(url)
    path.unlink()
    new_key(path, NOON)

    with pytest.raises(UnknownMasterKey):
        rewrap(store, KeyRing.read(path))
    assert rows_of(url) == before
    assert [count for _, count in usage(store, KeyRing.read(path)).missing] == [4]
    path.write_bytes(kept)
    assert usage(store, KeyRing.read(path)).missing == ()


def test_a_rotation_by_command_reaches_a_server_in_another_process(tmp_path: Path) -> None:
    """The vault lives here, the command there; between them there are only the files."""
    path = tmp_path / "keys"
    config = tmp_path / "triologue.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n[encryption]\nkey_file = "{path}"\n')

    def keys(*words: str) -> str:
        command = [sys.executable, "-m", "server", "keys", *words, "--config", str(config)]
        return subprocess.run(
            command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    with closing(open_vault(tmp_path)) as vault:
        ids = [key.id for key in vault.open_keys(700)]
        failures: list[BaseException] = []
        rotated = threading.Event()

        def live() -> None:
            try:
                while not rotated.is_set():
                    ids.extend(key.id for key in vault.open_keys(10))
                    assert len(vault.keys(ids[:200])) == 200
            except BaseException as error:
                failures.append(error)

        living = threading.Thread(target=live)
        living.start()
        try:
            old = KeyRing.read(path).current.id
            said = keys("rotate")
            assert f"triologue keys retire {old}" in said
            keys("retire", old)
            status = keys("status")
        finally:
            rotated.set()
            living.join()
        assert failures == []
        assert len(vault.keys(ids)) == len(ids)

    assert old not in status
    assert {row.master for row in rows_of(sqlite_url(tmp_path / "keys.db")).values()} == {
        KeyRing.read(path).current.id
    }


def test_a_backup_is_of_one_moment_and_works_beside_a_writer(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """Whole, its owner's alone, one file without a log beside it, and overwrites nothing by itself."""
    ids = [key.id for key in vault.open_keys(900)]
    folder = tmp_path / "backups"
    folder.mkdir()
    copy = folder / "keys.backup"
    failures: list[BaseException] = []
    done = threading.Event()
    before = os.umask(0)

    def live() -> None:
        try:
            while not done.is_set():
                vault.destroy([vault.open_keys(2)[0].id])
        except BaseException as error:
            failures.append(error)

    living = threading.Thread(target=live)
    living.start()
    try:
        back_up(store, copy)
        modes = [stat.S_IMODE(copy.stat().st_mode)]
        with pytest.raises(KeyStoreError, match="already"):
            back_up(store, copy)
        os.umask(0o777)
        back_up(store, copy, overwrite=True)
        modes.append(stat.S_IMODE(copy.stat().st_mode))
    finally:
        done.set()
        living.join()
        os.umask(before)

    assert failures == []
    assert [file.name for file in folder.iterdir()] == ["keys.backup"]
    assert modes == [0o600, 0o600]
    found = rows_of(sqlite_url(copy))
    assert set(found) >= {*ids, DIGEST_KEY}
    everything = rows_of(url)
    assert all(found[key_id] == everything[key_id] for key_id in ids)


def test_a_backup_holds_no_master_key(tmp_path: Path, vault: MasterVault, store: KeyStore) -> None:
    """It may lie where others can read it."""
    vault.open_keys(3)
    back_up(store, tmp_path / "copy")
    content = bytes_beside(tmp_path / "copy")

    ring = ring_at(tmp_path / "keys")
    assert ring.current.reveal() not in content
    assert (tmp_path / "keys").read_bytes().split()[-2] not in content


def test_a_restore_adds_what_is_missing_and_nothing_else(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """Also beside a running server: whatever it opened since the copy stays."""
    ring = KeyRing.read(tmp_path / "keys")
    old = [key.id for key in vault.open_keys(700)]
    back_up(store, tmp_path / "copy")
    vault.destroy(old[:600])
    young = [key.id for key in vault.open_keys(5)]
    digest = vault.digest(b"hello")

    assert restore(store, ring, tmp_path / "copy") == 701
    assert set(vault.keys([*old, *young])) == {*old, *young}
    with closing(open_vault(tmp_path, url)) as again:
        assert again.digest(b"hello") == digest


def test_a_restore_that_lacks_a_master_key_changes_nothing(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """Rows that nobody can unwrap would make errors of messages."""
    path = tmp_path / "keys"
    vault.open_keys(3)
    back_up(store, tmp_path / "copy")
    new_key(path, NOON)
    ring = KeyRing.read(path)
    rewrap(store, ring)
    retire(store, ring, ring.keys[0].id)
    vault.destroy([row for row in rows_of(url) if row != DIGEST_KEY])
    before = rows_of(url)

    with pytest.raises(UnknownMasterKey):
        restore(store, KeyRing.read(path), tmp_path / "copy")
    assert rows_of(url) == before


@pytest.mark.parametrize("what", ["nothing", "garbage", "folder"])
def test_what_is_no_copy_is_not_restored(
    tmp_path: Path, vault: MasterVault, store: KeyStore, what: str
) -> None:
    """And nothing is made in its place."""
    copy = tmp_path / "copy"
    if what == "garbage":
        copy.write_bytes(b"garbage" * 1000)
    elif what == "folder":
        copy.mkdir()

    with pytest.raises(KeyStoreError):
        restore(store, KeyRing.read(tmp_path / "keys"), copy)
    assert copy.exists() == (what != "nothing")


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path, store: KeyStore) -> None:
    """Half a copy of keys in a place nobody thinks of."""
    with pytest.raises(KeyStoreError, match="can't be written"):
        back_up(store, tmp_path / "none" / "copy")
    with pytest.raises(KeyStoreError):
        back_up(store, Path("/proc/copy"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(KeyStoreError):
        back_up(store, tmp_path / "folder", overwrite=True)
    assert [left.name for left in tmp_path.iterdir() if left.name.startswith(".")] == []


def test_a_store_without_keys_becomes_the_one_that_was_copied(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """A server that was started once made it a digest key, by which the data would not know it."""
    ids = [key.id for key in vault.open_keys(3)]
    back_up(store, tmp_path / "copy")
    new = sqlite_url(tmp_path / "new.db")
    with closing(open_vault(tmp_path, new)) as started:
        assert started.digest(b"name") != vault.digest(b"name")

    with closing(open_key_store(new)) as fresh:
        restore(fresh, ring_at(tmp_path / "keys"), tmp_path / "copy")

    with closing(open_vault(tmp_path, new)) as restored:
        assert restored.digest(b"name") == vault.digest(b"name")
        assert set(restored.keys(ids)) == set(ids)


def test_the_keys_of_two_stores_are_not_mixed(
    tmp_path: Path, url: str, vault: MasterVault, store: KeyStore
) -> None:
    """Only one of the two data could be served; a rotation since the copy makes no other store of it."""
    vault.open_keys(3)
    back_up(store, tmp_path / "copy")
    other = sqlite_url(tmp_path / "other.db")
    with closing(open_vault(tmp_path, other)) as living:
        living.open_keys(1)
    before = rows_of(other)

    with (
        closing(open_key_store(other)) as fresh,
        pytest.raises(KeyStoreError, match=r"is a copy of another key store than .*other\.db"),
    ):
        restore(fresh, ring_at(tmp_path / "keys"), tmp_path / "copy")
    assert rows_of(other) == before

    new_key(tmp_path / "keys", NOON)
    rewrap(store, KeyRing.read(tmp_path / "keys"))
    assert restore(store, KeyRing.read(tmp_path / "keys"), tmp_path / "copy") == 4
