"""What a store does with its vault: it seals what is said, and recalls by destroying keys."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from server.chat import AlreadyRecalled, Conflict, Image, MessageAdded, MessageEdited
from server.storage import DataKey, PlainVault, SqlStore, StoreError, Vault, make_engine, upgrade

from .places import START, Place
from .saying import (
    again,
    begin,
    do,
    edit,
    end,
    facts,
    history,
    post,
    recall,
    reset,
    save,
    snapshot,
    texts,
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A sealed store in a file."""
    with Place(f"sqlite:///{tmp_path}/triologue.db", tmp_path) as place:
        yield place


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def _keys_in(folder: Path) -> int:
    """How many messages' keys there are; one more is for the digests."""
    connection = sqlite3.connect(folder / "keys.db")
    (number,) = connection.execute("SELECT count(*) - 1 FROM wrapped_keys").fetchone()
    connection.close()
    return int(number)


def test_nothing_that_is_said_is_in_the_files(store: SqlStore, tmp_path: Path) -> None:
    """Of messages, edits, questions' pictures, running and final replies, and names."""
    needle = "needle-in-the-files"
    picture = Image(base64=f"{needle}-inline", url="u")
    store.write([post([picture]), post(needle, client_msg_id=needle + "-id"), edit(2, needle * 2)])
    store.write([begin(1), save(3, needle), end(3, needle, reason=needle), begin(2), save(4, needle)])

    found = _bytes_of(tmp_path).replace(f"{needle}-id".encode(), b"")  # ids are not sealed
    assert needle.encode() not in found
    assert snapshot(store).open_reply is not None


def test_a_recall_reaches_an_older_copy(store: SqlStore, place: Place, tmp_path: Path) -> None:
    """With its key every copy of a message is gone: there it looks as if it had been recalled."""
    store.write([post("a", client_msg_id="x"), post("b"), edit(1, "c")])
    place.close()
    copy = tmp_path / "copy.db"
    shutil.copy(tmp_path / "triologue.db", copy)
    do(place.open(), recall(1))
    place.close()

    place.url = f"sqlite:///{copy}"
    store = place.open()
    assert texts(history(store)) == ["b"]
    first, _, edited = facts(store)
    assert isinstance(first, MessageAdded)
    assert isinstance(edited, MessageEdited)
    assert first.message.chain == edited.message.chain == ()
    for late in (edit(1, "d"), again(1)):
        with pytest.raises(AlreadyRecalled):
            do(store, late)
    assert do(store, post("a", client_msg_id="x")).duplicate
    # Its question can't be answered any more. Whoever puts a copy back draws epochs.
    assert [one.message.id for one in snapshot(store).questions] == [2]
    store.new_epochs()
    store.write([begin(2), end(3)])
    assert store.unsettled() == ()


@pytest.mark.parametrize("way", ["recall", "reset", "age"])
def test_what_is_forgotten_takes_its_keys_with_it(
    store: SqlStore, place: Place, tmp_path: Path, way: str
) -> None:
    """Otherwise a copy of the data would still tell."""
    store.write([post("a"), begin(1), end(2)])
    before = _keys_in(tmp_path)
    match way:
        case "recall":
            do(store, recall(1))
        case "reset":
            do(store, reset())
        case "age":
            store.trim(before=START + timedelta(hours=1), keep=None)

    assert before - _keys_in(tmp_path) == (1 if way == "recall" else 2)


class Unreliable:
    """A vault that can fail; what it can't do it tells nobody how."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.failing: set[str] = set()

    def open_keys(self, count: int) -> Sequence[DataKey]:
        self._try("open_keys")
        return self.vault.open_keys(count)

    def keys(self, ids: Collection[bytes]) -> object:
        self._try("keys")
        return self.vault.keys(ids)

    def destroy(self, ids: Collection[bytes]) -> None:
        self._try("destroy")
        self.vault.destroy(ids)

    def digest(self, data: bytes) -> bytes:
        self._try("digest")
        return self.vault.digest(data)

    def sweep(self, *arguments: object) -> int:
        self._try("sweep")
        return self.vault.sweep(*arguments)  # type: ignore[arg-type]

    def close(self) -> None:
        self.vault.close()

    def _try(self, what: str) -> None:
        if what in self.failing:
            raise OSError("secret: the key store is gone")


@pytest.fixture
def vault(place: Place) -> Unreliable:
    return Unreliable(place.vault())


@pytest.fixture
def shaky(place: Place, vault: Unreliable) -> Iterator[SqlStore]:
    place.open()
    store = SqlStore(make_engine(place.url), vault, now=place.clock)  # type: ignore[arg-type]
    yield store
    store.close()


@pytest.mark.parametrize("what", ["open_keys", "digest"])
def test_without_the_key_store_nothing_is_acknowledged(shaky: SqlStore, vault: Unreliable, what: str) -> None:
    """A batch is given up as a whole, and soon; afterwards the store goes on."""
    vault.failing = {what}
    with pytest.raises(StoreError) as failed:
        shaky.write([post("a", client_msg_id=str(number)) for number in range(20)])
    assert "secret" not in str(failed.value)
    assert snapshot(shaky).last_seq == 0

    vault.failing.clear()
    assert do(shaky, post("a", client_msg_id="1")).id == 1


def test_without_the_key_store_nothing_sealed_is_read(shaky: SqlStore, vault: Unreliable) -> None:
    """Rather than look as if all had been recalled."""
    do(shaky, post("a"))
    vault.failing = {"keys"}
    for look in (history, facts, snapshot):
        with pytest.raises(StoreError):
            look(shaky)
    vault.failing.clear()
    assert texts(history(shaky)) == ["a"]


def test_keys_that_were_not_destroyed_in_time_are_swept(
    shaky: SqlStore, vault: Unreliable, place: Place, tmp_path: Path
) -> None:
    """A crash between the commit and the destruction leaves them; so does a write that came to nothing."""
    shaky.write([post("a"), post("b")])
    vault.failing = {"destroy"}
    do(shaky, recall(1))
    assert texts(history(shaky)) == ["b"]
    assert _keys_in(tmp_path) == 2

    vault.failing.clear()
    shaky.maintain()
    assert _keys_in(tmp_path) == 2, "a young key may belong to a message that is being written"
    place.clock.now += timedelta(hours=2)
    shaky.maintain()
    assert _keys_in(tmp_path) == 1
    assert texts(history(shaky)) == ["b"]


def test_a_damaged_body_spoils_no_other_write(store: SqlStore, tmp_path: Path) -> None:
    """Whoever edits it gets an error; a body that was moved to another message is as bad as a damaged one."""
    store.write([post("a"), post("b")])
    with sqlite3.connect(tmp_path / "triologue.db") as connection:
        connection.execute(
            "UPDATE messages SET (key_id, body) ="
            " (SELECT key_id, body FROM messages WHERE id = 2) WHERE id = 1"
        )
    connection.close()

    damaged, done = store.write([edit(1, "c"), edit(2, "d")])

    assert isinstance(damaged, StoreError)
    assert done.message.content == "d"
    with pytest.raises(StoreError):
        history(store)


def test_a_store_can_be_sealed_from_some_day_on(place: Place) -> None:
    """What was written before stays as it is, and is read beside the rest."""
    keys, place.keys = place.keys, None
    store = place.open()
    store.write([post("a"), begin(1), save(2, "so")])
    place.close()
    place.keys = keys
    store = place.open()
    store.write([end(2, "so far"), edit(1, "b"), post("c")])

    assert texts(history(store)) == ["b", "so far", "c"]


def test_sealed_messages_are_not_read_without_a_vault(store: SqlStore, place: Place) -> None:
    """An operator who lost the configuration must not take the history for erased."""
    do(store, post("a"))
    plain = SqlStore(make_engine(place.url), PlainVault())
    with pytest.raises(StoreError):
        history(plain)
    with suppress(StoreError):
        do(plain, post("b"))
    plain.close()
    assert texts(history(store))[0] == "a"


@pytest.fixture
def clear(place: Place) -> Iterator[SqlStore]:
    """The same store, before encryption is turned on: the place seals what is opened there later."""
    engine = make_engine(place.url)
    upgrade(engine)
    store = SqlStore(engine, PlainVault())
    yield store
    store.close()


def test_a_retry_is_known_though_encryption_was_turned_on_meanwhile(clear: SqlStore, place: Place) -> None:
    """The digests that tell the same message from another one are of two kinds then."""
    first = do(clear, post("a", client_msg_id="x"))
    store = place.open()

    retried = do(store, post("a", client_msg_id="x"))
    assert (retried.id, retried.duplicate) == (first.id, True)
    with pytest.raises(Conflict):
        do(store, post("b", client_msg_id="x"))


def test_what_is_written_with_a_vault_is_sealed_though_it_was_begun_in_clear(
    clear: SqlStore, place: Place, tmp_path: Path
) -> None:
    """Edits, also of a question that waits with its picture, and replies that were open."""
    needle = "needle-in-the-files"
    clear.write([post("a"), begin(1), save(2, "so"), post("b")])
    clear.close()
    store = place.open()
    picture = Image(base64=f"{needle}-inline", url="u")
    store.write([save(2, needle), edit(1, needle), edit(3, [picture])])

    assert needle.encode() not in _bytes_of(tmp_path)
    assert [one.message.chain for one in snapshot(store).questions] == [(picture,)]
    store.write([end(2, needle * 2), edit(1, needle * 2)])
    assert needle.encode() not in _bytes_of(tmp_path)
    assert texts(history(store))[:2] == [needle * 2] * 2
    assert _keys_in(tmp_path) == 3
    do(store, recall(1))
    assert _keys_in(tmp_path) == 2
