"""A store whose disk, lock or server fails: an error for all, nothing half done, and then on as before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from server.storage import SqlStore, StoreError, StoreUnusable, make_engine, upgrade

from .places import Place, Server
from .saying import do, edit, facts, history, post, texts


def _always(setting: Callable[[], str]) -> Callable[[Engine], None]:
    """Have every transaction begin with *setting*, as it is then."""

    def prepare(engine: Engine) -> None:
        def set_up(connection: Any, *rest: Any) -> None:
            connection.execute(f"PRAGMA {setting()}")

        event.listen(engine, "checkout", set_up)

    return prepare


def _told_first(whom: Callable[[str], None]) -> Callable[[Engine], None]:
    """Have every statement go by *whom* on its way to the driver."""

    def listen(kind: Any) -> Any:
        def execute(cursor: Any, text: str, *rest: Any) -> Any:
            whom(text)
            return kind.execute(cursor, text, *rest)

        def executemany(cursor: Any, text: str, *rest: Any) -> Any:
            whom(text)
            return kind.executemany(cursor, text, *rest)

        return type("Listening", (kind,), {"execute": execute, "executemany": executemany})

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(listen(sqlite3.Cursor))

    def prepare(engine: Engine) -> None:
        def connect(dialect: Any, record: Any, args: Any, settings: dict[str, Any]) -> None:
            if engine.dialect.name == "sqlite":
                settings["factory"] = Connection
            else:
                import psycopg

                settings["cursor_factory"] = listen(psycopg.Cursor)

        event.listen(engine, "do_connect", connect)

    return prepare


def _secrets_in(error: BaseException | None) -> str:
    """All that a log with a traceback would say."""
    said = ""
    while error is not None:
        said += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    return said


def test_a_full_disk_loses_only_what_was_not_acknowledged(file_place: Place) -> None:
    """And once there is room again the store writes, without a restart."""
    room = 60
    store = file_place.open(prepare=_always(lambda: f"max_page_count = {room}"))
    acknowledged: list[int] = []

    def fill_it_up() -> None:
        for number in range(100):
            acknowledged.append(do(store, post(f"secret {number} " + "x" * 5000)).id)

    with pytest.raises(StoreError) as failed:
        fill_it_up()
    failed_at = acknowledged[-1]

    assert "secret" not in _secrets_in(failed.value)
    assert [message.id for message in history(store)] == acknowledged
    with pytest.raises(StoreError):
        store.write([post("y" * 5000), post("z" * 50_000)])
    assert [message.id for message in history(store)] == acknowledged

    room = 100_000
    posted = do(store, post("after " + "x" * 5000))
    assert (posted.id, posted.seq) == (failed_at + 1, failed_at + 1)
    assert [fact.seq for fact in facts(store)] == [*acknowledged, posted.seq]


def test_a_locked_database_is_read_and_refuses_to_be_written(file_place: Place, tmp_path: Path) -> None:
    """Readers go on; a writer waits a while, and not for ever."""
    store = file_place.open(prepare=_always(lambda: "busy_timeout = 20"))
    do(store, post("a"))
    other = sqlite3.connect(tmp_path / "triologue.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="OperationalError"):
        store.write([post("b")])
    assert texts(history(store)) == ["a"]

    other.execute("ROLLBACK")
    other.close()
    assert do(store, post("c")).id == 2


def test_a_damaged_file_is_an_error_and_no_crash(file_place: Place, tmp_path: Path) -> None:
    """Whatever is in it."""
    store = file_place.open()
    store.write([post("x" * 3000) for _ in range(50)])
    file_place.close()
    file = tmp_path / "triologue.db"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\x55" * (len(content) - 4096))

    with pytest.raises(StoreError):
        history(SqlStore(make_engine(file_place.url), file_place.vault()))


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL server that may be stopped."""
    server = Server()
    yield server
    server.close()


def test_a_server_that_went_away_is_found_again(own_server: Server) -> None:
    """While it is away senders and readers get errors; then the store goes on by itself."""
    with Place(own_server.new_database()) as place:
        store = place.open()
        do(store, post("a", client_msg_id="1"))
        own_server.stop()

        for _ in range(2):
            with pytest.raises(StoreError):
                store.write([post("b", client_msg_id="2")])
            with pytest.raises(StoreError):
                history(store)
        with pytest.raises(StoreUnusable, match="can't be used"):
            upgrade(make_engine(place.url))

        own_server.start()
        assert do(store, post("b", client_msg_id="2")).seq == 2
        assert texts(history(store)) == ["a", "b"]

        # Nobody noticed, since nobody asked: the pool's connections are dead all the same.
        own_server.stop()
        own_server.start()
        assert do(store, post("c")).seq == 3
        assert [fact.seq for fact in facts(store)] == [1, 2, 3]


def test_a_failed_batch_is_not_done_at_all(place: Place) -> None:
    """Its transaction is rolled back, whatever the statement at which it failed."""
    failing = ""

    def fail(text: str) -> None:
        if failing and text.startswith(failing):
            raise OSError("the disk is gone")

    store = place.open(prepare=_told_first(fail))
    do(store, post("a"))
    batch = [post("b", client_msg_id="x"), edit(1, "c"), post("d")]
    statements = (
        "INSERT INTO messages",
        "INSERT INTO questions",
        "INSERT INTO client_messages",
        "UPDATE messages",
        "INSERT INTO events",
        "UPDATE conversations",
        "UPDATE meta",
    )
    for statement in statements:
        failing = statement
        with pytest.raises(StoreError, match="OSError"):
            store.write(batch)
        assert texts(history(store)) == ["a"]
    failing = ""
    assert [answer.seq for answer in store.write(batch)] == [2, 3, 4]
    assert texts(history(store)) == ["c", "b", "d"]
