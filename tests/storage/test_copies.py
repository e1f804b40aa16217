"""Backups: consistent while a server writes, as sealed as the store, and a way back to either database."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from server.storage import PlainVault, SqlStore, StoreError, make_engine
from server.storage.copies import Restored, back_up, restore
from server.storage.opening import open_store
from tests.conformance.places import Place
from tests.conformance.saying import HERE, THERE, do, facts, post, recall, snapshot, texts

from .filling import SECRET, fill


def backed_up(place: Place, path: Path, *, overwrite: bool = False) -> Path:
    engine = make_engine(place.url)
    try:
        back_up(engine, path, overwrite=overwrite)
    finally:
        engine.dispose()
    return path


def restored(place: Place, path: Path, *, overwrite: bool = False) -> Restored:
    engine = make_engine(place.url)
    try:
        with closing(place.vault()) as vault:
            return restore(engine, path, vault, overwrite=overwrite)
    finally:
        engine.dispose()


def everything(store: SqlStore) -> list[object]:
    """All that a server can read of both conversations, but for their epochs."""
    read = []
    for key in (HERE, THERE):
        there = snapshot(store, key)
        read += [there.last_seq, there.floor, there.messages, there.questions, there.open_reply]
        read += [facts(store, key), store.messages(key, limit=99, alternatives=True)]
    return [*read, store.unsettled()]


def epochs(store: SqlStore) -> list[str]:
    return [snapshot(store, key).epoch for key in (HERE, THERE)]


def test_what_was_backed_up_comes_back_whole(place: Place, tmp_path: Path) -> None:
    """With new epochs: what clients were told since is not in it."""
    store = place.open()
    fill(store)
    before, old = everything(store), epochs(store)
    copy = backed_up(place, tmp_path / "copy")
    do(store, post("said since"))

    done = restored(place, copy, overwrite=True)

    store = place.open()
    assert everything(store) == before
    assert not set(epochs(store)) & set(old)
    assert (done.conversations, done.lost) == (2, 0)
    assert len(epochs(store)) == len(set(epochs(store)))


def test_a_restored_store_goes_on(place: Place, tmp_path: Path) -> None:
    """Ids, seqs and new conversations: nothing collides with what came in."""
    store = place.open()
    fill(store)
    last = snapshot(store).last_seq
    restored(place, backed_up(place, tmp_path / "copy"), overwrite=True)
    store = place.open()
    new = HERE.__class__("pipeline", "person", "new")

    assert do(store, post("next")).seq == last + 1
    assert [do(store, post("first", key=new)).id, do(store, post("second", key=new)).id] == [1, 2]
    assert texts(store.messages(new, limit=9)) == ["first", "second"]


def test_a_retry_is_known_after_a_restore(place: Place, tmp_path: Path) -> None:
    """The 24 hours of a `client_msg_id` are not over because a server was mended."""
    store = place.open()
    first = do(store, post("once", client_msg_id="c", scope="ann"))
    copy = backed_up(place, tmp_path / "copy")
    restored(place, copy, overwrite=True)

    assert do(place.open(), post("once", client_msg_id="c", scope="ann")).id == first.id


@pytest.mark.parametrize("there", ["sqlite", "postgresql"])
def test_a_backup_fits_the_other_database(
    place: Place, there: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The way from a file to a server, and back."""
    store = place.open()
    fill(store)
    url = f"sqlite:///{tmp_path}/other.db"
    if there == "postgresql":
        url = request.getfixturevalue("server").new_database()

    with Place(url, place.keys) as other:
        other.open()
        restored(other, backed_up(place, tmp_path / "copy"))

        assert everything(other.open()) == everything(store)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_backup_is_its_owner_s_alone(place: Place, tmp_path: Path, umask: int) -> None:
    """What is in it was said in confidence. And it is one file."""
    fill(place.open())
    (tmp_path / "there").mkdir()
    before = os.umask(umask)
    try:
        copy = backed_up(place, tmp_path / "there" / "copy")
    finally:
        os.umask(before)

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert list(copy.parent.iterdir()) == [copy]


def test_a_backup_is_as_sealed_as_the_store(place: Place, tmp_path: Path) -> None:
    """It may lie about where keys must not."""
    fill(place.open())

    content = backed_up(place, tmp_path / "copy").read_bytes()

    assert (SECRET.encode() in content) == (place.keys is None)


def test_what_is_recalled_after_a_backup_does_not_come_back(tmp_path: Path) -> None:
    """Its key is gone, and with it every copy. Nor is its question asked."""
    with Place(f"sqlite:///{tmp_path}/triologue.db", tmp_path) as place:
        store = place.open()
        do(store, post("stays"))
        do(store, post("goes"))
        copy = backed_up(place, tmp_path / "copy")
        do(store, recall(2))

        done = restored(place, copy, overwrite=True)

        there = snapshot(place.open())
        assert done == Restored(conversations=1, messages=2, lost=1)
        assert texts(there.messages) == ["stays"]
        assert [question.message.id for question in there.questions] == [1]


def test_a_backup_is_one_moment(place: Place, tmp_path: Path) -> None:
    """While a server writes: no message without its count, no count without its message."""
    store = place.open()
    do(store, post("0"))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            store.write([post(str(number)), post(str(number), key=THERE)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backed_up(place, tmp_path / f"copy{number}") for number in range(5)]
    finally:
        stop.set()
        writer.join()

    for copy in copies:
        with closing(sqlite3.connect(copy)) as file:
            (sound,) = file.execute("PRAGMA integrity_check").fetchone()
            said = "SELECT count(*) FROM messages WHERE conversation = c.id"
            counts = file.execute(
                f"SELECT last_id, last_seq, ({said}) FROM conversations AS c ORDER BY id"
            ).fetchall()
        assert sound == "ok"
        assert all(ids == seqs == messages for ids, seqs, messages in counts)
        # Both conversations were written to in one transaction.
        assert len(counts) == 1 or counts[0][0] == counts[1][0] + 1
    assert len({copy.read_bytes() for copy in copies}) > 1


def test_a_file_that_is_there_is_not_overwritten_unasked(file_place: Place, tmp_path: Path) -> None:
    """It may be the only good backup."""
    place = file_place
    place.open()
    (tmp_path / "copy").write_text("precious")

    with pytest.raises(StoreError, match=r"copy is there already; --force overwrites it$"):
        backed_up(place, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "precious"

    backed_up(place, tmp_path / "copy", overwrite=True)
    assert (tmp_path / "copy").read_bytes().startswith(b"SQLite format 3")


def test_conversations_do_not_go_unasked(place: Place, tmp_path: Path) -> None:
    """A restore into the wrong store is soon done."""
    do(place.open(), post("precious"))
    copy = backed_up(place, tmp_path / "copy")

    with pytest.raises(StoreError, match=r" holds conversations; --force has them go$"):
        restored(place, copy)


def empty(path: Path) -> None:
    path.touch()


def garbage(path: Path) -> None:
    path.write_text("my diary" * 1000)


def half(path: Path) -> None:
    with Place(f"sqlite:///{path}.whole") as place:
        fill(place.open())
        whole = backed_up(place, path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE diary (entry TEXT)")


def newer(path: Path) -> None:
    with Place(f"sqlite:///{path}.whole") as place:
        place.open()
        backed_up(place, path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "is no file"),
        (Path.mkdir, "is no file"),
        (empty, "holds no conversations of Triologue's"),
        (foreign, "holds no conversations of Triologue's"),
        (garbage, "can't be read: file is not a database"),
        (half, "can't be read: database disk image is malformed"),
        (newer, "was made by a newer Triologue; use that one"),
    ],
)
def test_what_is_no_backup_changes_nothing(
    file_place: Place, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    """And is told in one line."""
    place, store = file_place, file_place.open()
    do(store, post("precious"))
    make(tmp_path / "copy")

    with pytest.raises(StoreError) as caught:
        restored(place, tmp_path / "copy", overwrite=True)

    assert str(caught.value) == f"{tmp_path}/copy {said}"
    assert texts(snapshot(place.open()).messages) == ["precious"]


def test_a_sealed_backup_needs_its_keys(tmp_path: Path) -> None:
    """Without them every message would look recalled."""
    with Place(f"sqlite:///{tmp_path}/sealed.db", tmp_path) as sealed:
        fill(sealed.open())
        copy = backed_up(sealed, tmp_path / "copy")
    with Place(f"sqlite:///{tmp_path}/plain.db") as plain:
        plain.open()

        with pytest.raises(
            StoreError, match="can't be restored: messages are encrypted, and there is no key"
        ):
            restored(plain, copy)
        assert snapshot(plain.open()).last_seq == 0


def test_what_can_not_be_written_leaves_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No half of a backup, which might be taken for one."""
    place.open()
    folder = tmp_path / "folder"
    with pytest.raises(StoreError, match=r"copy can't be written: No such file or directory$"):
        backed_up(place, folder / "copy")

    def fail(*paths: Path) -> None:
        raise OSError(28, "No space left on device")

    folder.mkdir()
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StoreError, match=r"copy can't be written: No space left on device$"):
        backed_up(place, folder / "copy")
    assert list(folder.iterdir()) == []


def test_a_database_that_is_none_of_ours_is_not_backed_up(tmp_path: Path) -> None:
    """Nor made into one."""
    foreign(tmp_path / "triologue.db")

    with pytest.raises(StoreError, match="holds no conversations of Triologue's"):
        backed_up(Place(f"sqlite:///{tmp_path}/triologue.db"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_vault_of_a_plain_store_has_its_secret_again(tmp_path: Path) -> None:
    """It keys the digests by which a retry is known, and came with the backup."""
    with Place(f"sqlite:///{tmp_path}/a.db") as place, Place(f"sqlite:///{tmp_path}/b.db") as other:
        store = place.open()
        do(store, post("once", client_msg_id="c", scope="ann"))
        other.open()
        restored(other, backed_up(place, tmp_path / "copy"))

        assert isinstance(other.vault(), PlainVault)
        assert do(other.open(), post("once", client_msg_id="c", scope="ann")).duplicate


def now() -> datetime:
    return datetime.now(UTC)


def test_a_copy_in_clear_comes_back_beside_a_key_store(tmp_path: Path) -> None:
    """It is from before encryption was turned on; the next start must find the two belong together."""
    with Place(f"sqlite:///{tmp_path}/plain.db") as plain:
        do(plain.open(), post("in clear"))
        copy = backed_up(plain, tmp_path / "copy")
    with Place(f"sqlite:///{tmp_path}/sealed.db", tmp_path) as sealed:
        do(sealed.open(), post("sealed"))
        restored(sealed, copy, overwrite=True)

        with closing(sealed.vault()) as vault:
            opened = partial(open_store, sealed.url, mark=tmp_path / "mark", readers=1, now=now)
            with closing(opened(vault=vault)) as store:
                assert texts(store.messages(HERE, limit=9)) == ["in clear"]


def test_a_copy_that_another_key_store_sealed_changes_nothing(tmp_path: Path) -> None:
    """No server would start beside it."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Place(f"sqlite:///{tmp_path}/one.db", tmp_path / "one") as one:
        do(one.open(), post("theirs"))
        first = backed_up(one, tmp_path / "first")
        restored(one, first, overwrite=True)
        copy = backed_up(one, tmp_path / "copy")
    with Place(f"sqlite:///{tmp_path}/two.db", tmp_path / "two") as two:
        do(two.open(), post("ours"))

        with pytest.raises(
            StoreError, match=r"^the key store is not the one that sealed what is in .*copy: "
        ):
            restored(two, copy, overwrite=True)
        assert texts(snapshot(two.open()).messages) == ["ours"]
