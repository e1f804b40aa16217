"""Exports hold everything that can be read, and imports make the same of them in any store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from server.chat import ConversationKey
from server.storage import StoreError, make_engine
from server.storage.exporting import export
from server.storage.importing import Imported, import_lines
from server.storage.records import BadRecord, parse
from tests.conformance.places import Place, careless
from tests.conformance.saying import (
    HERE,
    THERE,
    again,
    begin,
    do,
    edit,
    end,
    facts,
    post,
    read,
    recall,
    reset,
    snapshot,
    texts,
)

from .filling import ODD, PICTURE, SECRET, fill
from .test_copies import epochs, everything


def exported(place: Place) -> list[bytes]:
    engine = make_engine(place.url)
    try:
        with closing(place.vault()) as vault:
            return list(export(engine, vault, place.clock))
    finally:
        engine.dispose()


def imported(place: Place, lines: list[bytes], *, replace: bool = False) -> Imported:
    engine = make_engine(place.url)
    careless(engine)
    try:
        with closing(place.vault()) as vault:
            return import_lines(engine, vault, lines, replace=replace)
    finally:
        engine.dispose()


@contextmanager
def another(path: Path, name: str = "other") -> Iterator[Place]:
    """An empty store in a file, in clear."""
    with Place(f"sqlite:///{path}/{name}.db") as place:
        place.open(prepare=careless)
        yield place


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """What there is of a store that has seen everything."""
    with another(tmp_path, "full") as place:
        fill(place.open())
        return exported(place)


def test_what_was_exported_is_the_same_after_an_import(place: Place, lines: list[bytes]) -> None:
    """In every kind of store, with new epochs; and so it can be exported again."""
    place.open()

    done = imported(place, lines)

    assert done == Imported(2, sum(line.startswith(b'{"message"') for line in lines))
    assert exported(place) == lines
    assert len({"e1", *epochs(place.open())}) == 3


def test_what_is_exported_from_any_store_is_the_same(place: Place, lines: list[bytes]) -> None:
    """In clear, however sealed it was."""
    store = place.open()
    fill(store)

    assert exported(place) == lines
    assert any(SECRET.encode() in line for line in lines)
    assert any(PICTURE.encode() in line for line in lines)


def test_a_server_finds_what_was_there(place: Place, tmp_path: Path) -> None:
    """Messages, facts, questions, the reply that was being written."""
    with another(tmp_path) as other:
        fill(other.open())
        before = everything(other.open())
        place.open()
        imported(place, exported(other))

    assert everything(place.open()) == before


def test_an_import_does_not_disturb_what_is_there(place: Place, tmp_path: Path) -> None:
    """Neither its messages nor its epoch; and new conversations can begin."""
    store = place.open()
    do(store, post("here before", key=THERE))
    with another(tmp_path) as other:
        do(other.open(), post("elsewhere"))
        imported(place, exported(other))

    store = place.open()
    assert texts(snapshot(store, THERE).messages) == ["here before"]
    assert epochs(store)[1] == "e1"
    assert do(store, post("hello", key=ConversationKey("pipeline", "person", "third"))).id == 1
    assert do(store, post("and on")).id == 2


def test_a_conversation_that_is_there_is_not_replaced_unasked(place: Place, lines: list[bytes]) -> None:
    """All or nothing: the others are not added either."""
    store = place.open()
    do(store, post("precious", key=THERE))

    with pytest.raises(StoreError) as caught:
        imported(place, lines)
    assert str(caught.value).endswith(
        "conversation pipeline/group/there is there already; --replace has it go"
    )
    store = place.open()
    assert texts(snapshot(store, THERE).messages) == ["precious"]
    assert snapshot(store, HERE).last_seq == 0

    imported(place, lines, replace=True)
    assert sorted(exported(place)) == sorted(lines)
    assert "e1" not in epochs(place.open())


def test_a_replaced_conversation_leaves_nothing(place: Place, tmp_path: Path) -> None:
    """Not even the memory of a `client_msg_id`, whose message may be another one now."""
    store = place.open()
    fill(store)
    with another(tmp_path) as other:
        do(other.open(), post("short"))
        short = exported(other)

    imported(place, short, replace=True)

    store = place.open()
    assert texts(snapshot(store).messages) == ["short"]
    assert len(facts(store)) == 1
    assert not do(store, post(SECRET, client_msg_id="one\0", scope="ann")).duplicate


def test_a_message_whose_key_is_gone_is_exported_as_recalled(tmp_path: Path) -> None:
    """As it was, after this copy of the data was made."""
    with Place(f"sqlite:///{tmp_path}/triologue.db", tmp_path) as place:
        store = place.open()
        do(store, post("stays"))
        do(store, post("goes"))
        data = (tmp_path / "triologue.db").read_bytes(), (tmp_path / "triologue.db-wal").read_bytes()
        do(store, recall(2))
        place.close()
        (tmp_path / "triologue.db").write_bytes(data[0])
        (tmp_path / "triologue.db-wal").write_bytes(data[1])

        found = [json.loads(line) for line in exported(place)]

    said = [record["message"] for record in found if "message" in record]
    assert [(one["recalled"], one["body"] is None) for one in said] == [(False, False), (True, True)]
    assert [record["question"]["message"] for record in found if "question" in record] == [1]


def test_sealed_messages_are_not_exported_without_keys(tmp_path: Path) -> None:
    """Else all of them would look recalled."""
    with Place(f"sqlite:///{tmp_path}/triologue.db", tmp_path) as place:
        fill(place.open())

    with pytest.raises(StoreError, match=r"^messages are encrypted, and there is no key file"):
        exported(Place(place.url))


def test_an_export_that_was_cut_off_is_not_taken_for_the_whole(place: Place, lines: list[bytes]) -> None:
    """A full disk, a broken pipe: wherever it ended, nothing of it comes in."""
    place.open()
    for count in range(len(lines)):
        with pytest.raises(StoreError, match=r"^line "):
            imported(place, lines[:count])
    with pytest.raises(StoreError, match=r"^line 2: expected JSON$"):
        imported(place, [lines[0], lines[1][:-9]])

    assert exported(place)[1:] == [b'{"end":{"conversations":0,"messages":0}}\n']


def change(kind: str, /, **fields: Any) -> Callable[[list[Any]], None]:
    """Alter the first record of *kind*."""

    def do(records: list[Any]) -> None:
        next(record for record in records if kind in record)[kind].update(fields)

    return do


def drop(kind: str) -> Callable[[list[Any]], None]:
    def do(records: list[Any]) -> None:
        records.remove(next(record for record in records if kind in record))

    return do


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (change("export", format=2), "line 1: expected an export of format 1"),
        (lambda records: records.pop(0), "line 1: expected an export of format 1"),
        (lambda records: records.append(records[-1]), "expected nothing after the end"),
        (change("end", messages=1), "end: expected as many conversations and messages as there are"),
        (drop("conversation"), "line 2: expected a conversation before a message"),
        (drop("message"), "line 3: message.id: expected 2"),
        (drop("event"), "expected seq "),
        (change("conversation", last_id=99), "expected message 10 of the conversation before"),
        (change("conversation", last_seq=99), "expected seq "),
        (change("conversation", last_seq=2), "seq: expected another up to 2"),
        (change("conversation", session_type="crowd"), "expected person or group"),
        (change("conversation", gone=99), "expected last_id from gone on"),
        (change("conversation", pipeline=5), "line 2: conversation.pipeline: expected text"),
        (
            change("conversation", last_id=-1),
            "line 2: conversation.last_id: expected a whole number from 0 on",
        ),
        (change("conversation", last_id=True), "conversation.last_id: expected a whole number from 0 on"),
        (change("conversation", more=1), "line 2: conversation: expected the keys pipeline, "),
        (change("message", at="noon"), "line 3: message.at: expected a time in ISO 8601 with its zone"),
        (change("message", at="2026-05-04T12:00:00"), "line 3: message.at: expected a time in ISO 8601"),
        (
            change("message", body=None),
            "line 3: message.body: expected null if it was recalled, and only then",
        ),
        (change("message", body=[]), "line 3: message.body: expected one that an export has"),
        (
            change("message", body={"chain": [{"type": "Plain"}]}),
            "message.body: expected one that an export has",
        ),
        (
            change("message", body={"chain": [{"type": "Plain", "text": 5}]}),
            "message.body: expected one that an export has",
        ),
        (change("message", seq=None), "line 3: message.seq: expected null of one reply at most"),
        (change("message", seq="1"), "line 3: message.seq: expected a whole number from 0 on or null"),
        (change("event", kind="party"), "event.kind: expected edited, recalled, read, reset"),
        (change("event", user=None), "event: expected a message and a user"),
        (change("question", message=5), "question.message: expected a user's message that was not recalled"),
        (lambda records: records.insert(2, {"party": {}}), "line 3: expected export, conversation, "),
        (lambda records: records.insert(2, []), "line 3: expected an object with one key"),
    ],
)
def test_a_bad_line_is_told_and_nothing_comes_in(
    tmp_path: Path, lines: list[bytes], alter: Callable[[list[Any]], None], said: str
) -> None:
    """Exports are text, and get edited."""
    records = [json.loads(line) for line in lines]
    alter(records)
    with another(tmp_path) as place:
        with pytest.raises(StoreError) as caught:
            imported(place, [json.dumps(record).encode() for record in records])

        assert said in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert SECRET not in str(caught.value)
        assert exported(place)[1:] == [b'{"end":{"conversations":0,"messages":0}}\n']


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_record_or_a_bad_one(line: bytes) -> None:
    """In one line, whatever it is."""
    said = ""
    try:
        parse(line)
    except BadRecord as error:
        said = str(error)

    assert said.isprintable()


@given(
    data=st.data(),
    kind=st.sampled_from(["conversation", "message", "event", "receipt", "question"]),
    value=json_values,
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_value_in_any_place_comes_in_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject, kind: str, value: Any
) -> None:
    """What comes in can be read: a store that was poisoned would fail at every look."""
    records = [json.loads(line) for line in lines]
    record = data.draw(st.sampled_from([record for record in records if kind in record]))
    shape = record[kind]
    if isinstance(shape.get("body"), dict) and data.draw(st.booleans()):
        shape = data.draw(st.sampled_from([shape["body"], *shape["body"]["chain"]]))
    shape[data.draw(st.sampled_from(sorted(shape)))] = value
    with another(tmp_path_factory.mktemp("any")) as place:
        said = None
        try:
            imported(place, [json.dumps(record).encode() for record in records])
        except StoreError as error:
            said = str(error)

        assert said is None or len(said.splitlines()) == 1
        assert len(exported(place)) == (len(lines) if said is None else 2)
        everything(place.open(prepare=careless))


commands = st.lists(
    st.one_of(
        st.builds(post, st.sampled_from(["a", ODD, "c"]), key=st.sampled_from([HERE, THERE])),
        st.builds(begin, st.integers(1, 9)),
        st.builds(end, st.integers(1, 9)),
        st.builds(again, st.integers(1, 9)),
        st.builds(edit, st.integers(1, 9), st.just("new")),
        st.builds(recall, st.integers(1, 9)),
        st.builds(read, st.integers(1, 9)),
        st.builds(reset),
    ),
    max_size=25,
)


@given(commands=commands, keep=st.none() | st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_whatever_happened_can_be_exported_and_imported(
    tmp_path_factory: pytest.TempPathFactory, commands: list[Any], keep: int | None
) -> None:
    """The rules by which an import is checked are those by which the store works."""
    path = tmp_path_factory.mktemp("some")
    with another(path, "one") as one, another(path, "two") as two:
        store = one.open(prepare=careless)
        for command in commands:
            (answer,) = store.write([command])
            assert not isinstance(answer, StoreError)
        store.trim(before=None, keep=keep)
        found = exported(one)
        imported(two, found)

        assert exported(two) == found
        assert everything(two.open()) == everything(store)


def test_an_export_is_one_moment_of_a_store_that_is_written_to(place: Place) -> None:
    """Its conversations come one after the other, but are as they were at its beginning."""
    store = place.open()
    for key in (HERE, THERE):
        do(store, post("before", key=key))
    engine = make_engine(place.url)
    with closing(place.vault()) as vault:
        found = export(engine, vault, place.clock)
        begun = [next(found), next(found)]
        for key in (HERE, THERE):
            do(store, post("after", key=key))
        begun += found
    engine.dispose()

    assert not any(b"after" in line for line in begun)
    assert json.loads(begun[-1]) == {"end": {"conversations": 2, "messages": 2}}


def test_many_messages_come_in_without_being_in_memory_at_once(tmp_path: Path) -> None:
    """More than one page of them, and one of another kind between."""
    with another(tmp_path, "one") as one, another(tmp_path, "two") as two:
        store = one.open(prepare=careless)
        store.write([post(str(number)) for number in range(2500)])
        store.write([post(str(number), key=THERE) for number in range(1000)])
        found = exported(one)

        assert imported(two, found) == Imported(2, 3500)
        assert exported(two) == found


def test_the_sequence_of_statements_names_no_text(tmp_path: Path, lines: list[bytes]) -> None:
    """An error of the database may show its statement; what people said must not be in there."""
    with another(tmp_path) as place:
        engine = make_engine(place.url)
        said: list[str] = []

        def listen(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            said.append(statement)

        event.listen(engine, "before_cursor_execute", listen)
        import_lines(engine, place.vault(), lines)
        engine.dispose()

        assert len(said) > 10
        assert not any(SECRET in statement for statement in said)
