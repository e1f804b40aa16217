"""Opening a store: what is there already, what was put back, and what can't be used."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.chat import ConversationKey, Plain, Post, Posted, Sender
from server.encryption import KeyRing, MasterVault, new_key
from server.storage import PlainVault, SqlStore, StoreError, StoreUnusable
from server.storage.mark import Known, Mark
from server.storage.marked import MarkedStore
from server.storage.opening import open_engine, open_store

KEY = ConversationKey("00000000-0000-4000-8000-000000000001", "person", "s")


def now() -> datetime:
    return datetime.now(UTC)


def post(text: str = "hello", epoch: str = "e0") -> Post:
    return Post(
        key=KEY, epoch=epoch, at=now(), chain=(Plain(text),), sender=Sender("u", "U"), connection_id="c"
    )


class Folder:
    """A data directory, whose store is opened, ended in one way or another, copied and put back."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.url = url or f"sqlite:///{path}/triologue.db"

    def open(self, **given: Any) -> MarkedStore:
        defaults: dict[str, Any] = {
            "mark": self.path / "mark",
            "readers": 2,
            "vault": PlainVault(),
            "now": now,
        }
        return open_store(self.url, **(defaults | given))

    def epoch(self) -> str:
        with closing(self.open()) as store:
            return store.load(KEY, epoch="none", messages=1).epoch

    def say(self, text: str = "hello") -> Posted:
        with closing(self.open()) as store:
            (posted,) = store.write([post(text)])
            assert isinstance(posted, Posted)
            return posted

    def copy(self, target: Path) -> Folder:
        """What a process that is killed now leaves: its files as they are."""
        shutil.copytree(self.path, target)
        return Folder(target)

    def put_back(self, database: bytes) -> None:
        """As people do it who read the documentation."""
        for rest in ("-wal", "-shm"):
            (self.path / f"triologue.db{rest}").unlink(missing_ok=True)
        (self.path / "triologue.db").write_bytes(database)

    @property
    def database(self) -> bytes:
        return (self.path / "triologue.db").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def test_epochs_last(folder: Folder) -> None:
    """A cursor is good for as long as its history is."""
    folder.say()
    first = folder.epoch()
    folder.say()

    assert folder.epoch() == first == "e0"


def test_a_killed_server_s_epochs_last(folder: Folder, tmp_path: Path) -> None:
    """Clients resume after `kill -9` as if nothing had been."""
    with closing(folder.open()) as store:
        store.write([post(), post()])
        killed = folder.copy(tmp_path / "killed")

    with capture_logs() as logs:
        assert killed.epoch() == "e0"
    assert logs == []


def test_a_history_that_is_gone_is_told(folder: Folder) -> None:
    """A store that was lost looks like a new one, but for its mark. Once is enough."""
    with capture_logs() as logs:
        folder.say()
    assert logs == []
    folder.put_back(b"")

    with capture_logs() as logs:
        folder.open().close()
        folder.open().close()
    (line,) = logs
    assert line["log_level"] == "warning"
    assert "the history is gone" in line["event"]


def test_an_older_copy_that_was_put_back_has_new_epochs(folder: Folder) -> None:
    """A cursor from after the copy would lead into what is written next."""
    folder.say("one")
    copy = folder.database
    folder.say("two")
    folder.put_back(copy)

    with capture_logs() as logs:
        epoch = folder.epoch()

    assert epoch != "e0"
    (line,) = logs
    assert line["event"] == "another copy of the store was put back: every conversation has a new epoch"
    assert folder.epoch() == epoch


def test_a_copy_of_the_same_run_is_noticed_by_its_count(folder: Folder, tmp_path: Path) -> None:
    """Taken while the server ran, put back after it was killed."""
    with closing(folder.open()) as store:
        store.write([post("one")])
        older = folder.copy(tmp_path / "older")
        store.write([post("two")])
        newer = folder.copy(tmp_path / "newer")
    older.path.joinpath("mark").write_bytes(newer.path.joinpath("mark").read_bytes())

    with capture_logs() as logs:
        assert older.epoch() != "e0"
    assert [line["event"] for line in logs] == [
        "an older copy of the store was put back: every conversation has a new epoch"
    ]


def test_a_file_that_comes_without_its_mark_has_new_epochs(folder: Folder, tmp_path: Path) -> None:
    """It was copied from elsewhere, where its history may have gone on."""
    folder.say()
    other = Folder(tmp_path / "other")
    other.put_back(folder.database)

    assert other.epoch() != "e0"


def test_a_deleted_database_begins_anew(folder: Folder) -> None:
    """The mark has nothing to say about what is begun now."""
    folder.say()
    (folder.path / "triologue.db").unlink()

    assert folder.say().id == 1
    assert folder.epoch() == "e0"


def test_nobody_else_may_read_what_is_there(folder: Folder) -> None:
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        with closing(folder.open()) as store:
            store.write([post()])
            modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.path.iterdir()}
    finally:
        os.umask(before)

    assert modes == {0o600}


@pytest.fixture
def master_vault(tmp_path: Path) -> Callable[[], MasterVault]:
    new_key(tmp_path / "keys", now())
    return lambda: MasterVault(KeyRing.read(tmp_path / "keys"), f"sqlite:///{tmp_path}/keys.db")


def test_encrypted_messages_and_no_key_file_is_no_start(
    folder: Folder, master_vault: Callable[[], MasterVault]
) -> None:
    """Every message would look recalled, and the next ones would be in clear."""
    with closing(folder.open(vault=master_vault())) as store:
        store.write([post()])

    with pytest.raises(
        StoreUnusable, match=r"^messages in .* are encrypted: encryption\.key_file has to name"
    ):
        folder.open()
    with closing(folder.open(vault=master_vault())) as store:
        assert store.messages(KEY, limit=1)[0].content == "hello"


def test_data_without_its_key_store_is_refused(
    folder: Folder, master_vault: Callable[[], MasterVault], tmp_path: Path
) -> None:
    """With a new one, every message would look recalled, and nobody would know why."""
    with closing(folder.open(vault=master_vault())) as store:
        store.write([post()])
    (tmp_path / "keys.db").rename(tmp_path / "lost.db")

    with pytest.raises(StoreUnusable, match="the key store is not the one that sealed what is in"):
        folder.open(vault=master_vault())


def test_a_key_store_without_its_data_is_refused(
    folder: Folder, master_vault: Callable[[], MasterVault]
) -> None:
    """It would be swept clean beside a new database, and no backup could be read any more."""
    with closing(folder.open(vault=master_vault())) as store:
        store.write([post()])
    for file in folder.path.glob("triologue.db*"):
        file.unlink()

    with pytest.raises(StoreUnusable, match="the key store holds keys of other data"):
        folder.open(vault=master_vault())


def test_encryption_can_be_turned_on_later(folder: Folder, master_vault: Callable[[], MasterVault]) -> None:
    """What was in clear before stays readable."""
    folder.say("in clear")

    with closing(folder.open(vault=master_vault())) as store:
        store.write([post("sealed")])

        assert [message.content for message in store.messages(KEY, limit=9)] == ["in clear", "sealed"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/at/all.db", "the database /nowhere/at/all.db can't be used: No such file"),
        ("mysql://me:hush@h/db", "storage in 'mysql' is not supported"),
        ("postgresql://me:hush@127.0.0.1:1/db", "the PostgreSQL database db at 127.0.0.1 can't be used: "),
    ],
)
def test_what_can_not_be_opened_is_told_in_one_line(folder: Folder, url: str, said: str) -> None:
    """Without the password, which is in the URL."""
    folder.url = url

    with pytest.raises(StoreUnusable) as caught:
        folder.open()

    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1
    assert "hush" not in str(caught.value)


def test_a_file_that_is_no_database_is_told_in_one_line(folder: Folder) -> None:
    """And left as it is."""
    (folder.path / "triologue.db").write_text("my diary" * 1000)

    with pytest.raises(StoreUnusable, match=r"^the database .* can't be used: file is not a database$"):
        folder.open()
    assert folder.database == b"my diary" * 1000


class Flaky(SqlStore):
    """A store of which a test decides, after a commit, how it goes on."""

    after_commit: Callable[[], None] = staticmethod(lambda: None)

    def write(self, commands: Any) -> list[Any]:
        answers = super().write(commands)
        self.after_commit()
        return answers


class Marked:
    """A flaky store with its mark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inner = Flaky(open_engine(f"sqlite:///{path}/triologue.db"), PlainVault())
        mark = Mark.open(path / "mark")
        mark.begin(self.inner, "run", trusting=False)
        self.store = MarkedStore(self.inner, mark)

    @property
    def known(self) -> int:
        """What another process would read in the mark now."""
        known = Known.parse((self.path / "mark").read_bytes())
        assert known is not None
        return known.commits

    def seen(self) -> int:
        return self.store.load(KEY, epoch="none", messages=1).last_seq


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[Marked]:
    made = Marked(tmp_path)
    yield made
    made.store.close()


def lost() -> None:
    raise StoreError("the connection was lost")


def test_the_mark_knows_before_the_asker(marked: Marked) -> None:
    """Killed just after an acknowledgement, it has to know of what was acknowledged."""
    marked.store.write([post()])
    marked.store.write([post(), post()])

    assert marked.known == marked.inner.read_commits() == 2


def test_whoever_reads_what_a_failed_write_left_is_not_ahead_of_the_mark(marked: Marked) -> None:
    """It is told to clients, though nobody knew whether it was written."""
    marked.inner.after_commit = lost
    with pytest.raises(StoreError):
        marked.store.write([post()])
    before = marked.known

    assert (before, marked.seen(), marked.known) == (0, 1, 1)


def test_whoever_reads_between_a_commit_and_its_mark_is_not_ahead_of_it(marked: Marked) -> None:
    """Reads run beside the write, in other threads."""
    seen = []
    marked.inner.after_commit = lambda: seen.append((marked.known, marked.seen(), marked.known))

    marked.store.write([post()])

    assert seen == [(0, 1, 1)]


def test_a_write_that_does_nothing_settles_no_doubt(marked: Marked) -> None:
    """Nor does an empty batch."""
    marked.inner.after_commit = lost
    with pytest.raises(StoreError):
        marked.store.write([post()])
    marked.inner.after_commit = lambda: None

    marked.store.write([])

    assert (marked.seen(), marked.known) == (1, 1)


def test_a_read_that_can_not_be_marked_fails(marked: Marked) -> None:
    """What it found must not be told."""
    marked.inner.after_commit = lost
    with pytest.raises(StoreError):
        marked.store.write([post()])
    os.close(marked.store._mark._fd)

    with pytest.raises(StoreError, match=r"^the mark .* can't be written: Bad file descriptor$"):
        marked.seen()
    marked.store._mark._fd = os.open(marked.path / "mark", os.O_RDWR)
