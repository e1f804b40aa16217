"""What stands between an acknowledgement and a power cut, and between the data and other users."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from server.storage import PlainVault, SqlStore, StoreError, StoreUnusable, make_engine, upgrade
from server.storage.engines import for_reading, for_writing, place_of

from .places import START, Place, Server
from .saying import begin, do, edit, end, history, post, recall, reset, texts


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_files_are_their_owners_alone(file_place: Place, tmp_path: Path) -> None:
    """Whatever the umask, the log and its index too, and also where the file was made by somebody else."""
    file = tmp_path / "triologue.db"
    file.touch(mode=0o666)
    store = file_place.open()
    do(store, post("a"))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["triologue.db", "triologue.db-wal", "triologue.db-shm"], 0o600)


@pytest.mark.parametrize("open_transaction", [for_reading, for_writing])
def test_sqlite_waits_for_the_disk_at_every_commit(file_place: Place, open_transaction: object) -> None:
    """On each connection, since most settings are a connection's own."""
    engine = make_engine(file_place.url)
    expected = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "busy_timeout": 2000}
    with (
        (for_writing if open_transaction is for_writing else for_reading)(engine).begin() as one,
        for_reading(engine).begin() as two,
    ):
        for connection in (one, two):
            found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in expected}
            assert found == expected
    engine.dispose()


def test_postgresql_does_not_acknowledge_early(server: Server) -> None:
    """Even where that is switched off for a database; and it does not wait for ever."""
    url = server.new_database()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off"))
    engine.dispose()
    with engine.begin() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "2s"
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "30s"
    with for_reading(engine).begin() as connection:
        assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
        assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
    engine.dispose()


def test_what_was_recalled_is_not_in_the_files(file_place: Place, tmp_path: Path) -> None:
    """Not even in what the database keeps free, once the log has been emptied."""
    store = file_place.open()
    do(store, post("a needle in it"))
    assert any(b"a needle in it" in path.read_bytes() for path in tmp_path.iterdir())
    do(store, recall(1))
    store.maintain()

    assert not any(b"a needle in it" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("way", ["recall", "edit", "reset", "trim"])
def test_what_was_erased_is_in_no_file_by_its_answer(file_place: Place, tmp_path: Path, way: str) -> None:
    """The log keeps what was written: to empty it is not left to the next time the store is looked after."""
    store = file_place.open()
    store.write([post("a needle in it"), begin(1), end(2, "another needle in it")])
    match way:
        case "recall":
            store.write([recall(1), reset()])
        case "edit":
            store.write([edit(1, "other words"), begin(1), reset()])
        case "reset":
            do(store, reset())
        case "trim":
            store.trim(before=START + timedelta(hours=1), keep=None)

    assert not any(b"needle in it" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_reader_in_the_way_of_erasing_fails_no_batch(file_place: Place, tmp_path: Path) -> None:
    """A backup may read for long; what was erased meanwhile is gone after the first batch that comes then."""
    store = file_place.open()
    do(store, post("a needle in it"))
    engine = make_engine(file_place.url)
    with for_reading(engine).begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM messages")).scalar_one() == 1
        do(store, recall(1))
        do(store, post("b"))
        assert any(b"a needle in it" in path.read_bytes() for path in tmp_path.iterdir())
    engine.dispose()
    do(store, post("c"))

    assert not any(b"a needle in it" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("another", [False, True])
def test_nothing_is_acknowledged_that_goes_to_a_file_without_a_name(
    file_place: Place, tmp_path: Path, another: bool
) -> None:
    """SQLite writes on into a deleted file. Moved back to its place it is as good as ever."""
    store = file_place.open()
    do(store, post("a"))
    file = tmp_path / "triologue.db"
    away = file.rename(tmp_path / "away")
    if another:
        file.touch()
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(StoreError) as failed:
                store.write([post("b")])
            assert "the database file" in str(failed.value)
    assert [line["log_level"] for line in logs] == ["error"]
    assert file.exists() == another

    away.rename(file)
    do(store, post("c"))
    assert texts(history(store)) == ["a", "c"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "can't be read"),
        ("nonsense", "can't be read"),
        ("postgresql://ann:sesame@host:many/db", "can't be read"),
        ("mysql://ann:sesame@host/db", "'mysql' is not supported"),
        ("sqlite+aiosqlite:////tmp/sesame", "must begin with sqlite:///"),
        ("sqlite:////no/such/sesame-folder/x.db", "No such file or directory"),
        ("sqlite:////", "Is a directory"),
    ],
)
def test_a_url_that_names_no_store_is_refused_in_one_line(url: str, said: str) -> None:
    """The operator sees why; nobody sees the password."""
    with pytest.raises(StoreUnusable) as refused:
        make_engine(url)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "ann" not in str(refused.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    """The same, at the first use."""
    engine = make_engine("postgresql://ann:sesame@127.0.0.1:1/chat?application_name=sesame")
    with pytest.raises(StoreUnusable) as refused:
        upgrade(engine)
    said = str(refused.value)
    assert place_of(engine) in said
    assert "127.0.0.1" in said
    assert "sesame" not in said
    assert "\n" not in said


def test_a_store_in_memory_is_a_store(tmp_path: Path) -> None:
    """The simulation runs on it."""
    engine = make_engine("sqlite://")
    upgrade(engine)
    store = SqlStore(engine, PlainVault())

    assert do(store, post("a")).id == 1
    store.maintain()
    assert do(store, post("b")).id == 2
    store.close()
