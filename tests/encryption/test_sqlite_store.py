"""The key store's file: what a commit promises, who may read it, and what is left of a destroyed key."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.encryption import KeyStoreError, open_key_store
from server.encryption.sqlite_store import SqliteKeyStore
from server.encryption.store import WrappedKey
from tests.e2e.running import ROOT

from .stores import Clock, bytes_beside, open_vault, rows_of, sqlite_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteKeyStore]:
    with closing(SqliteKeyStore(path)) as store:
        yield store


def rows(count: int) -> list[WrappedKey]:
    return [WrappedKey(os.urandom(16), "0a1b2c3d", os.urandom(60)) for _ in range(count)]


def test_a_commit_is_on_the_disk_and_a_removal_overwrites(store: SqliteKeyStore) -> None:
    """Read back from the connection that writes: a misspelt pragma is silently nothing."""
    connection = store._writer
    assert connection is not None
    found = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete")
    }

    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


@pytest.mark.parametrize("mask", [0, 0o777])
def test_the_files_are_their_owner_s_alone_whatever_the_umask(path: Path, mask: int) -> None:
    """The log beside the file holds the same rows."""
    before = os.umask(mask)
    try:
        with closing(SqliteKeyStore(path)) as store, store.write() as written:
            written.add(rows(3))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes == {"keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-shm": 0o600}


def test_a_file_put_back_by_hand_is_closed_to_others(path: Path) -> None:
    """`cp` from a backup goes by the umask."""
    SqliteKeyStore(path).close()
    path.chmod(0o644)
    SqliteKeyStore(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("seed", range(4))
def test_of_a_destroyed_key_no_byte_is_left(path: Path, seed: int) -> None:
    """Neither in the file, where pages are split, merged and freed, nor in its log."""
    chance = random.Random(seed)
    clock = Clock()
    dead: set[bytes] = set()
    with closing(open_vault(path.parent, clock=clock)) as vault:
        for _ in range(12):
            clock.forward(chance.choice([-50, 0, 1, 50]))  # ids in any order
            vault.open_keys(chance.choice([1, 30, 400]))
            alive = rows_of(sqlite_url(path))
            alive.pop(b"triologue.digest")
            part = chance.choice([0.02, 0.5, 0.98])
            doomed = chance.sample(sorted(alive), max(1, int(len(alive) * part)))
            vault.destroy(doomed)
            dead |= {alive[key_id].wrapped for key_id in doomed}

            content = bytes_beside(path)
            # Also not in halves, which a page's end may have cut.
            assert not [key for key in dead if key[:30] in content or key[30:] in content]
        left = rows_of(sqlite_url(path))
        assert all(row.wrapped in bytes_beside(path) for row in left.values()), "the test can see keys"


def test_bytes_that_a_reader_held_up_are_erased_by_the_next_write(path: Path) -> None:
    """A backup reads for seconds. The key is gone at once, its bytes as soon as they may."""
    with closing(open_vault(path.parent)) as vault:
        key = vault.open_keys(1)[0]
        wrapped = rows_of(sqlite_url(path))[key.id].wrapped
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM wrapped_keys").fetchone()
            vault.destroy([key.id])
            assert vault.keys([key.id]) == {}
            assert wrapped in bytes_beside(path)
            reader.execute("COMMIT")
        vault.open_keys(1)
        assert wrapped not in bytes_beside(path)


def test_bytes_that_a_kill_left_are_erased_at_the_next_start(path: Path) -> None:
    """The commit of a removal, and then nothing more."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from server.encryption.sqlite_store import SqliteKeyStore\n"
        "from server.encryption.store import WrappedKey\n"
        "store = SqliteKeyStore(Path(sys.argv[1]))\n"
        "with store.write() as rows: rows.add([WrappedKey(b'k' * 16, 'm', b'wrapped' * 8)])\n"
        "with store.write() as rows: rows.remove([b'k' * 16])\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
    assert b"wrappedwrapped" in bytes_beside(path)

    with closing(SqliteKeyStore(path)):
        assert b"wrappedwrapped" not in bytes_beside(path)


def test_what_was_committed_survives_a_kill(path: Path) -> None:
    """Keys are promised before anything is sealed with them."""
    script = (
        "import os, sys; from pathlib import Path; from tests.encryption.stores import open_vault\n"
        "vault = open_vault(Path(sys.argv[1]))\n"
        "print(*(key.id.hex() for key in vault.open_keys(700)), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script, str(path.parent)]
    killed = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    ids = [bytes.fromhex(word) for word in killed.stdout.split()]

    assert len(ids) == 700
    with closing(open_vault(path.parent)) as vault:
        assert len(vault.keys(ids)) == 700


def test_a_full_disk_is_an_error_and_then_over(store: SqliteKeyStore) -> None:
    """Nothing of the transaction is there, what was is, and it needs no restart."""
    before = rows(1)
    with store.write() as written:
        written.add(before)
    assert store._writer is not None
    store._writer.execute("PRAGMA max_page_count = 12")
    lost = rows(2000)
    with pytest.raises(KeyStoreError, match="full") as told, store.write() as written:
        written.add(lost)
    assert "\n" not in str(told.value)

    with store.look() as found:
        assert found.read([before[0].id, *(row.id for row in lost[:400])]) == before
    with store.write() as written:
        written.add(lost)  # on a new connection, whose disk is as large as ever


def test_a_locked_file_is_an_error_and_then_over(
    path: Path, store: SqliteKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody looks into it with `sqlite3`; readers go on meanwhile."""
    monkeypatch.setattr("server.encryption.sqlite_store._BUSY", 50)
    assert store._writer is not None
    store._writer.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(KeyStoreError, match="locked"), store.write() as written:
            written.add(rows(1))
        with store.look() as found:
            assert found.counts() == {}
        stranger.execute("ROLLBACK")
    with store.write() as written:
        written.add(rows(1))
    with store.look() as found:
        assert found.counts() == {"0a1b2c3d": 1}


def test_a_transaction_is_whole_or_not_at_all(store: SqliteKeyStore) -> None:
    """An exception inside of it is the caller's, and passes as it is."""
    added = rows(2)
    with pytest.raises(ZeroDivisionError):
        _fail_after(store, added)
    with pytest.raises(KeyStoreError, match="UNIQUE"), store.write() as written:
        written.add([added[0], added[1], added[0]])

    with store.look() as found:
        assert found.counts() == {}


def _fail_after(store: SqliteKeyStore, added: list[WrappedKey]) -> None:
    with store.write() as written:
        written.add(added)
        raise ZeroDivisionError


def test_another_database_is_no_key_store(path: Path) -> None:
    """Keys in the file of the data would be in all its backups, and no recall would reach them."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE messages (body)")

    with pytest.raises(KeyStoreError, match="something else"):
        SqliteKeyStore(path)


@pytest.mark.parametrize("content", [b"no database " * 100, os.urandom(8192)])
def test_garbage_is_no_key_store(path: Path, content: bytes) -> None:
    """One line, and the file as it was."""
    path.write_bytes(content)

    with pytest.raises(KeyStoreError) as told:
        SqliteKeyStore(path)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == content


def test_a_store_of_a_later_version_is_refused(path: Path) -> None:
    """Going back to an older server must not spoil what the newer one wrote."""
    SqliteKeyStore(path).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 2")

    with pytest.raises(KeyStoreError, match="newer version"):
        SqliteKeyStore(path)


@pytest.mark.parametrize("what", ["no folder", "a folder", "no permission"])
def test_a_file_that_can_t_be_had_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    """The start ends with it."""
    path = tmp_path / "keys.db"
    if what == "no folder":
        path = tmp_path / "none" / "keys.db"
    elif what == "a folder":
        path.mkdir()
    else:
        path = Path("/proc/keys.db")  # where not even root may make one

    with pytest.raises(KeyStoreError, match="can't be opened") as told:
        open_key_store(sqlite_url(path))
    assert "\n" not in str(told.value)
