"""Replies, edits, recalls, receipts and resets: each seen in the facts, the history and the snapshot."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.chat import (
    AlreadyRecalled,
    Busy,
    HistoryReset,
    Image,
    MessageAdded,
    MessageEdited,
    NoSuchMessage,
    NotAllowed,
    OpenReply,
    ReadUpTo,
    ReplyEnded,
)
from server.storage import SqlStore

from .places import START, Place
from .saying import (
    BOT,
    HERE,
    THERE,
    again,
    begin,
    do,
    edit,
    end,
    facts,
    history,
    post,
    read,
    recall,
    reset,
    save,
    snapshot,
    texts,
)


def test_a_reply_is_there_from_its_begin_to_its_end(store: SqlStore, place: Place) -> None:
    """Its id, its time and what it said survive the process; it becomes a fact once, at its end."""
    began = START + timedelta(seconds=5)
    store.write([post("a"), begin(1, at=began), save(2, "so f"), save(2, "so far")])
    place.close()
    store = place.open()

    now = snapshot(store)
    assert now.open_reply == OpenReply(2, 1, began, "c1", BOT, "so far")
    assert (now.questions, now.last_seq, texts(now.messages)) == ((), 1, ["a"])
    assert store.unsettled() == (HERE,)

    fact = do(store, end(2, "so far so good", reason="length", usage={"tokens": 3}))
    assert (fact.seq, fact.message.id, fact.message.timestamp) == (2, 2, began)
    assert (fact.message.finish_reason, fact.message.usage) == ("length", {"tokens": 3})
    assert facts(store)[1] == fact
    assert history(store)[1] == fact.message
    assert (snapshot(store).open_reply, store.unsettled()) == (None, ())


def test_a_reply_ends_once(store: SqlStore) -> None:
    """Whoever is late changes nothing."""
    store.write([post("a"), begin(1), end(2, "one")])

    with pytest.raises(NoSuchMessage):
        do(store, end(2, "two"))
    do(store, save(2, "three"))
    for number in (0, 1, 3, 2**70):
        with pytest.raises(NoSuchMessage):
            do(store, end(number))
        do(store, save(number, "nothing"))
    assert texts(history(store)) == ["a", "one"]

    store.write([post("b"), begin(3)])
    ended, late, saved = store.write([end(4, "four"), end(4, "five"), save(4, "six")])
    assert (ended.seq, type(late), saved) == (4, NoSuchMessage, None)
    assert texts(history(store)) == ["a", "one", "b", "four"]


@pytest.mark.parametrize("question", [0, 1, 2, 3, 2**70])
def test_only_a_waiting_question_is_answered(store: SqlStore, question: int) -> None:
    """And each once."""
    store.write([post("a"), begin(1), end(2)])

    with pytest.raises(NoSuchMessage):
        do(store, begin(question))
    with pytest.raises(NoSuchMessage):
        do(store, begin(1, THERE))


def test_the_newest_answer_hides_the_others_once_it_is_final(store: SqlStore) -> None:
    """Until then history shows the last one; who asks for alternatives gets all."""
    store.write([post("a"), begin(1), end(2, "first")])
    for number, text in ((3, "second"), (4, "third")):
        question = do(store, again(1))
        assert question.again
        assert snapshot(store).questions == (question,)
        begun = do(store, begin(1))
        assert (begun.id, begun.alternative_of) == (number, number - 1)
        assert texts(history(store))[-1] != text
        assert do(store, end(number, text)).message.alternative_of == number - 1

    assert texts(history(store)) == ["a", "third"]
    everything = store.messages(HERE, limit=10, alternatives=True)
    assert texts(everything) == ["a", "first", "second", "third"]
    assert [type(fact) for fact in facts(store)] == [MessageAdded, ReplyEnded, ReplyEnded, ReplyEnded]


def test_asking_again_waits_for_nothing_else(store: SqlStore) -> None:
    """One reply at a time, and no message is overtaken."""
    store.write([post("a"), begin(1)])
    with pytest.raises(Busy):
        do(store, again(1))
    store.write([end(2), post("b")])
    with pytest.raises(Busy):
        do(store, again(1))
    with pytest.raises(NoSuchMessage):
        do(store, again(2))
    with pytest.raises(NoSuchMessage):
        do(store, again(9))


def test_in_a_group_only_the_author_asks_again(store: SqlStore) -> None:
    """Unless anybody may; in a person's own conversation everybody in it is that person."""
    for key in (HERE, THERE):
        store.write([post("a", key), begin(1, key), end(2, key=key)])

    assert do(store, again(1, HERE, by="bob")).again
    with pytest.raises(NotAllowed):
        do(store, again(1, THERE, by="bob"))
    assert do(store, again(1, THERE, by="bob", anybody=True)).again


def test_an_edit_is_seen_everywhere_and_has_a_seq(store: SqlStore) -> None:
    """In its own fact, the first one, the history, and the question that waits."""
    store.write([post("a"), post([Image(base64="x")])])

    fact = do(store, edit(1, "b"))

    assert (fact.seq, fact.message.seq, fact.message.content) == (3, 3, "b")
    assert fact.message.edited_at == START
    first, _, edited = facts(store)
    assert isinstance(first, MessageAdded)
    assert (first.message.content, first.message.seq, edited) == ("b", 1, fact)
    assert texts(history(store)) == ["b", "[Image]"]
    assert snapshot(store).questions[0].message.content == "b"

    do(store, edit(2, [Image(base64="y")]))
    assert snapshot(store).questions[1].message.chain == (Image(base64="y"),)
    do(store, edit(2, "no picture"))
    assert snapshot(store).questions[1].message.content == "no picture"


def test_a_recalled_message_leaves_its_place_and_nothing_else(store: SqlStore) -> None:
    """Its facts are still read, without its text; its question waits no more."""
    store.write([post("secret", client_msg_id="x"), edit(1, "secret too"), post("b")])

    fact = do(store, recall(1))

    assert (fact.seq, fact.message_id, fact.by) == (4, 1, "ann")
    first, edited, _, recalled = facts(store)
    assert isinstance(first, MessageAdded)
    assert isinstance(edited, MessageEdited)
    assert first.message.chain == edited.message.chain == ()
    assert recalled == fact
    assert texts(history(store)) == ["b"]
    assert [question.message.id for question in snapshot(store).questions] == [3 - 1]
    for late in (recall(1), edit(1, "c"), again(1)):
        with pytest.raises(AlreadyRecalled):
            do(store, late)


def test_nobody_changes_what_is_not_theirs(store: SqlStore) -> None:
    """Nor what an assistant said, nor what isn't there; and no stranger hears that one was recalled."""
    store.write([post("a"), begin(1), end(2), recall(1)])

    for change in (edit(1, "b", by="bob"), recall(1, by="bob"), edit(2, "b"), recall(2, by="bot")):
        with pytest.raises(NotAllowed):
            do(store, change)
    for change in (edit(0, "b"), recall(3), edit(2**70, "b"), recall(1, THERE)):
        with pytest.raises(NoSuchMessage):
            do(store, change)
    assert snapshot(store).last_seq == 3


def test_a_receipt_only_goes_forward(store: SqlStore) -> None:
    """What was known already is no news and takes no seq."""
    store.write([post("a"), post("b")])

    assert do(store, read(1)) == ReadUpTo(3, "ann", 1)
    assert do(store, read(2)) == ReadUpTo(4, "ann", 2)
    assert do(store, read(1)) is None
    assert do(store, read(2)) is None
    assert do(store, read(1, by="bob")) == ReadUpTo(5, "bob", 1)
    for never in (0, 3, 2**70):
        with pytest.raises(NoSuchMessage):
            do(store, read(never))
    with pytest.raises(NoSuchMessage):
        do(store, read(1, THERE))


def test_after_a_reset_nothing_is_there_and_counting_goes_on(store: SqlStore) -> None:
    """Whoever was away gets the reset alone, and is told that something is missing."""
    store.write([post("a"), begin(1), end(2), post("b"), edit(1, "c"), read(1)])

    assert do(store, reset()) == HistoryReset(6, START)

    now = snapshot(store)
    assert (now.messages, now.questions, now.floor, now.last_seq, now.lost) == ((), (), 5, 6, True)
    assert facts(store) == now.facts == (HistoryReset(6, START),)
    assert not snapshot(store, after=5).lost
    assert (store.unsettled(), history(store)) == ((), ())
    for gone in (edit(3, "d"), post("d", reply_to=3)):
        with pytest.raises(NoSuchMessage):
            do(store, gone)
    posted = do(store, post("d"))
    assert (posted.id, posted.seq) == (4, 7)


def test_a_reply_has_to_end_before_a_reset(store: SqlStore) -> None:
    """Else it would end in a history that never had it."""
    store.write([post("a"), begin(1)])
    with pytest.raises(Busy):
        do(store, reset())
    do(store, end(2))
    assert do(store, reset()).seq == 3


def test_what_was_never_there_can_be_reset(store: SqlStore) -> None:
    """The document's route answers for any conversation."""
    assert do(store, reset()) == HistoryReset(1, START)
    assert do(store, post("a")).seq == 2
