"""What a vault promises its store, whatever the keys are kept in."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from server.encryption import (
    KeyFileError,
    KeyRing,
    KeyStoreError,
    MasterVault,
    UnknownMasterKey,
    Unsealable,
    VaultError,
    new_key,
    open_key_store,
)
from server.encryption.vault import DIGEST_KEY

from .stores import NOON, Clock, open_vault, rows_of, sqlite_url


@pytest.fixture
def vault(tmp_path: Path, url: str) -> Iterator[MasterVault]:
    with closing(open_vault(tmp_path, url)) as vault:
        yield vault


def test_keys_are_there_after_a_restart(vault: MasterVault, tmp_path: Path, url: str) -> None:
    """They are durable before anything is sealed with them, so nothing sealed is ever lost with them."""
    keys = vault.open_keys(1200)
    sealed = [key.seal(b"body", key.id) for key in keys]
    vault.close()

    with closing(open_vault(tmp_path, url)) as again:
        found = again.keys([key.id for key in keys])
    assert [found[key.id].unseal(data, key.id) for key, data in zip(keys, sealed, strict=True)] == [
        b"body"
    ] * 1200


def test_every_key_is_another(vault: MasterVault) -> None:
    """One key for two messages could not be destroyed for one of them."""
    keys = [*vault.open_keys(600), *vault.open_keys(600)]
    sealed = keys[0].seal(b"body", b"")

    assert len({key.id for key in keys}) == 1200
    assert all(len(key.id) == 16 for key in keys)
    for other in keys[1:20]:
        with pytest.raises(Unsealable):
            other.unseal(sealed, b"")


def test_a_destroyed_key_is_gone_at_once_and_for_good(vault: MasterVault, tmp_path: Path, url: str) -> None:
    """That is what a recall is."""
    kept, *doomed = vault.open_keys(800)
    vault.keys([key.id for key in doomed])
    vault.destroy([key.id for key in doomed])

    assert set(vault.keys([kept.id, *(key.id for key in doomed)])) == {kept.id}
    vault.close()
    with closing(open_vault(tmp_path, url)) as again:
        assert set(again.keys([kept.id, *(key.id for key in doomed)])) == {kept.id}


def test_what_is_unknown_is_no_error(vault: MasterVault) -> None:
    """A recall that was cut short is done once more."""
    assert vault.keys([]) == {}
    assert vault.keys([b"", b"short", bytes(16), bytes(40)]) == {}
    vault.destroy([])
    vault.destroy([b"", b"short", bytes(16)])
    assert vault.open_keys(0) == []


def test_the_digest_is_keyed_and_outlives_restart_and_rotation(
    vault: MasterVault, tmp_path: Path, url: str
) -> None:
    """Else a retry after a restart would be a conflict; and one that isn't keyed tells short messages."""
    digest = vault.digest(b"hello")
    assert len(digest) == 32
    assert digest != vault.digest(b"hello ")
    vault.close()
    new_key(tmp_path / "keys", NOON)
    with closing(open_vault(tmp_path, url)) as again:
        assert again.digest(b"hello") == digest

    (tmp_path / "other").mkdir()
    with closing(open_vault(tmp_path / "other")) as stranger:
        assert stranger.digest(b"hello") != digest


def test_the_digest_s_key_can_be_neither_had_nor_destroyed(vault: MasterVault, url: str) -> None:
    """It lies in the same table, and whoever names it by chance or design must not get at it."""
    assert vault.keys([DIGEST_KEY]) == {}
    vault.destroy([DIGEST_KEY])
    vault.sweep(lambda ids: [], older_than=-1e9)
    assert DIGEST_KEY in rows_of(url)


def test_a_sweep_destroys_what_nothing_names(tmp_path: Path, url: str) -> None:
    """Left by a crash between the keys' commit and the messages', or a recall and its destruction."""
    clock = Clock()
    asked: list[int] = []
    with closing(open_vault(tmp_path, url, clock)) as vault:
        old = [key.id for key in vault.open_keys(1300)]
        clock.forward(3601)
        young = [key.id for key in vault.open_keys(5)]
        named = set(old[::3])

        def used(ids: Collection[bytes]) -> Collection[bytes]:
            asked.append(len(ids))
            assert DIGEST_KEY not in ids
            return [key for key in ids if key in named]

        assert vault.sweep(used) == 1300 - len(named)
        assert set(vault.keys([*old, *young])) == named | set(young)
        assert vault.sweep(used) == 0
        assert max(asked) <= 500
    assert DIGEST_KEY in rows_of(url)


def test_a_sweep_that_can_t_ask_destroys_nothing(vault: MasterVault) -> None:
    """A data store that fails names no key, and yet every one may be needed."""
    keys = [key.id for key in vault.open_keys(10)]

    def fail(ids: Collection[bytes]) -> Collection[bytes]:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        vault.sweep(fail, older_than=-60)
    assert len(vault.keys(keys)) == 10


def test_a_new_master_key_is_used_from_the_next_wrapping_on(
    vault: MasterVault, tmp_path: Path, url: str
) -> None:
    """Rotation needs no restart."""
    first = vault.open_keys(1)[0]
    fresh = new_key(tmp_path / "keys", NOON)
    second = vault.open_keys(1)[0]

    rows = rows_of(url)
    assert rows[second.id].master == fresh.id
    assert rows[first.id].master != fresh.id
    assert len(vault.keys([first.id, second.id])) == 2


def test_what_another_process_wrapped_by_a_newer_key_is_read(tmp_path: Path, url: str) -> None:
    """A rotation rewraps while a server reads, which may not have wrapped anything for days."""
    with closing(open_vault(tmp_path, url)) as reader:
        new_key(tmp_path / "keys", NOON)
        with closing(open_vault(tmp_path, url)) as writer:
            ids = [key.id for key in writer.open_keys(3)]
        assert len(reader.keys(ids)) == 3


def test_a_lost_master_key_is_an_error_and_not_a_recall(tmp_path: Path, url: str) -> None:
    """Had they counted as destroyed, all messages would look recalled, and stay so."""
    with closing(open_vault(tmp_path, url)) as vault:
        ids = [key.id for key in vault.open_keys(3)]
        lost = KeyRing.read(tmp_path / "keys").current.id
        (tmp_path / "keys").unlink()
        new_key(tmp_path / "keys", NOON)
        vault.open_keys(1)
        with pytest.raises(UnknownMasterKey, match=lost) as told:
            vault.keys(ids)
        assert "\n" not in str(told.value)

    with pytest.raises(UnknownMasterKey, match=lost):
        open_vault(tmp_path, url)


def test_another_key_under_the_same_name_is_noticed_at_the_start(tmp_path: Path, url: str) -> None:
    """A key file with a mistyped key must not be found out by the first reader."""
    open_vault(tmp_path, url).close()
    path = tmp_path / "keys"
    text = path.read_text()
    key = text.split()[-2]
    path.write_text(text.replace(key, ("A" if key[0] != "A" else "B") + key[1:]))

    with pytest.raises(Unsealable) as told:
        open_vault(tmp_path, url)
    assert key not in str(told.value)


@pytest.mark.parametrize("harm", ["garbled", "open to all", "taken away"])
def test_a_running_vault_outlives_its_key_file(tmp_path: Path, url: str, harm: str) -> None:
    """It has the keys, and refusing messages would mend nothing; the log says so, once."""
    path = tmp_path / "keys"
    with closing(open_vault(tmp_path, url)) as vault:
        first = vault.open_keys(1)
        kept = path.read_bytes()
        if harm == "garbled":
            path.write_bytes(kept[:-20])
        elif harm == "open to all":
            path.write_bytes(kept + b"\n")
            path.chmod(0o644)
        else:
            path.unlink()
        with capture_logs() as said:
            keys = [key.id for key in (*first, *vault.open_keys(2), *vault.open_keys(2))]
            assert len(vault.keys(keys)) == 5
        assert len(said) == (harm != "taken away")

        path.unlink(missing_ok=True)
        path.write_bytes(kept)
        path.chmod(0o600)
        fresh = new_key(path, NOON)
        last = vault.open_keys(1)[0]
    assert rows_of(url)[last.id].master == fresh.id


def test_many_threads_may_ask_at_once(vault: MasterVault) -> None:
    """The store has one thread that writes and several that read."""
    stable = [key.id for key in vault.open_keys(50)]
    failures: list[BaseException] = []
    done = threading.Event()

    def reading() -> None:
        try:
            while not done.is_set():
                assert len(vault.keys(stable)) == 50
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=reading) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            opened = [key.id for key in vault.open_keys(20)]
            vault.destroy(opened[:10])
            assert set(vault.keys(opened)) == set(opened[10:])
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_no_key_shows(vault: MasterVault, tmp_path: Path, url: str) -> None:
    """A `repr` ends in a log or a traceback some day."""
    ring = KeyRing.read(tmp_path / "keys")
    key = vault.open_keys(1)[0]
    row = rows_of(url)[key.id]
    secret = ring.current.unwrap(row.wrapped, key.id)
    shown = f"{vault!r} {ring!r} {ring.current!r} {key!r} {vars(vault)!r}"

    for hidden in (secret, ring.current.reveal(), vault._digest):
        assert hidden.hex() not in shown.replace(repr(vault._digest), "")
        assert repr(hidden) not in f"{vault!r} {ring!r} {ring.current!r} {key!r}"
    assert (tmp_path / "keys").read_text().split()[-2] not in shown


@pytest.mark.parametrize(
    "url",
    ["", "keys.db", "sqlite://", "sqlite:///", "mysql://user:hunter2@host/name", "postgres:hunter2"],
)
def test_what_is_no_key_store_is_refused(tmp_path: Path, url: str) -> None:
    """The configuration checks it as well; other callers may not."""
    with pytest.raises(KeyStoreError) as told:
        open_vault(tmp_path, url or "nothing")
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@127.0.0.1:9/name",
        "postgresql://user:hunter2@127.0.0.1:9/name?password=hunter2&no_such=hunter2",
        "postgresql://user:hunter2%zz@127.0.0.1/name",
    ],
)
def test_a_server_that_is_not_there_is_told_without_password(tmp_path: Path, url: str) -> None:
    """In one line, as every error of the start."""
    with pytest.raises(KeyStoreError, match="can't be") as told:
        open_vault(tmp_path, url)
    assert "hunter2" not in repr(told.value)
    assert "\n" not in str(told.value)
    assert told.value.__cause__ is None


def test_the_path_in_a_url_may_hold_anything(tmp_path: Path) -> None:
    """A folder's name is its owner's business."""
    folder = tmp_path / "50% off? #1 ü"
    folder.mkdir()
    open_vault(tmp_path, sqlite_url(Path(quote(str(folder / "keys.db"))))).close()

    assert [path.name for path in folder.iterdir()] == ["keys.db"]


def test_errors_are_of_one_family() -> None:
    """Whoever calls a vault knows one class."""
    assert all(issubclass(kind, VaultError) for kind in (KeyFileError, KeyStoreError, UnknownMasterKey))


def test_a_store_that_only_commands_use_is_not_made(tmp_path: Path) -> None:
    """Made by an operator's root, the server could not open it."""
    with pytest.raises(KeyStoreError, match="not there"):
        open_key_store(sqlite_url(tmp_path / "keys.db"), create=False)
    assert not list(tmp_path.iterdir())
