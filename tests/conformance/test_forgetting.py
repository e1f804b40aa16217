"""Retention: by age and by count, and never what is still due."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.chat import ConversationKey, MessageEdited, Post
from server.messages import Trimmed
from server.storage import SqlStore, sql_retention

from .places import START
from .saying import HERE, THERE, begin, do, edit, end, facts, history, post, reset, snapshot, texts

HOUR = timedelta(hours=1)


def _settled(store: SqlStore, *posts: Post) -> None:
    """Have each of them answered."""
    for one in posts:
        number = do(store, one).id
        do(store, begin(number, one.key, one.at))
        do(store, end(number + 1, f"re {number}", one.key))


def test_what_is_too_old_is_forgotten(store: SqlStore) -> None:
    """With its facts; ids and seqs go on."""
    _settled(store, post("old"), post("new", at=START + 2 * HOUR), post("there", THERE))

    assert store.trim(before=START + HOUR, keep=None) == (Trimmed(HERE, 2, 2), Trimmed(THERE, 2, 2))

    assert texts(history(store)) == ["new", "re 3"]
    assert [fact.seq for fact in facts(store)] == [3, 4]
    assert (snapshot(store).floor, snapshot(store).lost, snapshot(store, after=2).lost) == (2, True, False)
    assert store.trim(before=START + HOUR, keep=None) == ()
    assert do(store, post("next", THERE)).id == 3


def test_of_a_long_conversation_the_newest_stay(store: SqlStore) -> None:
    """Counted in ids, each of which was a message."""
    _settled(store, post("a"), post("b"), post("c"))

    assert store.trim(before=None, keep=3) == (Trimmed(HERE, 3, 3),)
    assert texts(history(store)) == ["re 3", "c", "re 5"]
    assert store.trim(before=None, keep=0) == (Trimmed(HERE, 6, 6),)
    assert history(store) == ()


def test_what_is_due_is_kept_with_all_that_came_after(store: SqlStore) -> None:
    """A waiting question, and a reply that is being written with what it answers."""
    _settled(store, post("a"))
    store.write([post("asked"), begin(3), post("waits")])
    late = START + 10 * HOUR

    assert store.trim(before=late, keep=0) == (Trimmed(HERE, 2, 2),)
    now = snapshot(store)
    assert now.open_reply is not None
    assert (texts(now.messages), [one.message.id for one in now.questions]) == (["asked", "waits"], [5])

    do(store, end(4))
    assert store.trim(before=late, keep=0) == (Trimmed(HERE, 5, 4),)
    assert texts(history(store)) == ["waits"]
    assert store.unsettled() == (HERE,)


def test_the_floor_is_above_every_seq_of_what_went(store: SqlStore) -> None:
    """A reply's seq is higher than that of a question that came while it was being written."""
    store.write([post("a"), begin(1), post("b"), end(2), begin(3), end(4)])

    assert store.trim(before=None, keep=2) == (Trimmed(HERE, 3, 2),)
    assert texts(history(store)) == ["b", "hi"]
    assert [fact.seq for fact in facts(store)] == [4]


def test_the_floor_never_sinks(store: SqlStore) -> None:
    """A reply may have taken it above the seqs of questions that are forgotten only later."""
    store.write([post("a"), begin(1), post("b"), post("c"), end(2)])
    assert store.trim(before=None, keep=2) == (Trimmed(HERE, 4, 2),)
    store.write([begin(3), end(5), begin(4), end(6)])
    assert store.trim(before=None, keep=3) == (Trimmed(HERE, 4, 3),)
    assert [fact.seq for fact in facts(store)] == [5, 6]


@pytest.mark.parametrize("emptied_by", ["reset", "count"])
def test_a_conversation_that_was_emptied_grows_old_again(store: SqlStore, emptied_by: str) -> None:
    """Retention by age looks only where the oldest message is old, and must not lose sight of it."""
    _settled(store, post("a"))
    if emptied_by == "reset":
        do(store, reset())
    else:
        store.trim(before=None, keep=0)
    _settled(store, post("b", at=START + HOUR))

    assert store.trim(before=START + HOUR, keep=None) == ()
    assert [one.message_id for one in store.trim(before=START + 2 * HOUR, keep=None)] == [4]
    assert history(store) == ()


def test_an_edit_of_what_went_is_still_a_fact(store: SqlStore) -> None:
    """Facts have no holes, so it is one of a message without a text."""
    _settled(store, post("a"), post("b"))
    do(store, edit(1, "c"))
    store.trim(before=None, keep=2)

    (*_, last) = facts(store)
    assert isinstance(last, MessageEdited)
    assert (last.seq, last.message.id, last.message.chain) == (5, 1, ())
    assert [fact.seq for fact in facts(store)] == [3, 4, 5]


def test_a_trim_of_many_conversations_comes_to_its_end(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes some at a time, since nobody can write meanwhile; those that can't be trimmed hold up none."""
    monkeypatch.setattr(sql_retention, "AT_ONCE", 10)
    keys = [ConversationKey("p", "person", f"s{number}") for number in range(25)]
    store.write([post("waits", key) for key in keys[:17]])
    store.write([one for key in keys[17:] for one in (post("a", key), begin(1, key), end(2, key=key))])

    trimmed: list[Trimmed] = []
    while some := store.trim(before=None, keep=0):
        trimmed += some

    assert {one.key for one in trimmed} == set(keys[17:])
    assert len(trimmed) == 8
