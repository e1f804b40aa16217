"""A user's message: what becomes of it, and of one that comes twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.chat import (
    Busy,
    Conflict,
    Expired,
    Image,
    MessageAdded,
    NoSuchMessage,
    Plain,
    Posted,
    Quote,
    ReplyBegun,
    Sender,
)
from server.storage import SqlStore, StoreError

from .places import START, Place
from .saying import (
    BOT,
    HERE,
    THERE,
    begin,
    do,
    edit,
    end,
    facts,
    history,
    post,
    recall,
    reset,
    snapshot,
    texts,
)

PICTURE = Image(base64="data:image/png;base64,aGVsbG8=", url="u")


def test_ids_and_seqs_count_up_from_one_in_each_conversation(store: SqlStore) -> None:
    """Clients count on both; a conversation knows nothing of others."""
    answers = store.write([post("a"), post("b"), post("c", THERE), post("d")])

    assert [(one.id, one.seq) for one in answers] == [(1, 1), (2, 2), (1, 1), (3, 3)]
    assert texts(history(store)) == ["a", "b", "d"]


def test_a_message_comes_back_as_it_went_in(store: SqlStore) -> None:
    """What was told to members at once is what they read later."""
    posted = do(
        store, post("hi", client_msg_id="x", connection_id="c9", at=START + timedelta(microseconds=1))
    )

    assert posted.fact is not None
    assert facts(store) == (posted.fact,)
    assert history(store) == (posted.fact.message,)


def test_a_retry_is_the_same_message(store: SqlStore, place: Place) -> None:
    """Also in one batch, after an edit, a recall, a reset and a restart."""
    first, second = store.write([post("a", client_msg_id="x"), post("a", client_msg_id="x")])
    assert (first.duplicate, second) == (False, Posted(1, 1, None))

    for change in (edit(1, "b"), recall(1), reset()):
        do(store, change)
        assert do(store, post("a", client_msg_id="x")) == Posted(1, 1, None)
    place.close()
    assert do(place.open(), post("a", client_msg_id="x")) == Posted(1, 1, None)


def test_a_reply_may_begin_with_its_question(store: SqlStore) -> None:
    """As by two commands; but neither is there without the other, and nothing of the question waits."""
    posted = do(store, post([Plain("see"), PICTURE], answered_by=BOT, stream=False, client_msg_id="x"))
    assert (posted.id, posted.seq, posted.begun) == (1, 1, ReplyBegun(2, None))
    seen = snapshot(store)
    assert seen.questions == ()
    assert seen.open_reply is not None
    assert (seen.open_reply.id, seen.open_reply.question, seen.open_reply.sender) == (2, 1, BOT)
    assert (seen.open_reply.timestamp, seen.open_reply.stream) == (START, False)

    with pytest.raises(NoSuchMessage):
        do(store, begin(1))
    again = do(store, post([Plain("see"), PICTURE], answered_by=BOT, client_msg_id="x"))
    assert again == Posted(1, 1, None)
    with pytest.raises(Busy):
        do(store, post("no", answered_by=BOT, otherwise=Busy()))
    assert do(store, end(2, "a dog")).seq == 2
    assert texts(history(store)) == ["see[Image]", "a dog"]


@pytest.mark.parametrize(
    "other", [post("b", client_msg_id="x"), post("a", client_msg_id="x", reply_to=1)], ids=["text", "quote"]
)
def test_the_same_id_with_another_body_is_a_conflict(store: SqlStore, other: object) -> None:
    """A client that reuses ids must not believe its message was stored."""
    do(store, post("a", client_msg_id="x"))

    with pytest.raises(Conflict):
        do(store, other)  # type: ignore[arg-type]
    assert snapshot(store).last_seq == 1


def test_inline_data_is_part_of_what_a_retry_has_to_repeat(store: SqlStore) -> None:
    """The message keeps none of it, but two pictures under one id are two messages."""
    do(store, post([PICTURE], client_msg_id="x"))

    assert do(store, post([PICTURE], client_msg_id="x")).duplicate
    with pytest.raises(Conflict):
        do(store, post([Image(base64="other", url="u")], client_msg_id="x"))


def test_ids_of_another_scope_are_other_ids(store: SqlStore) -> None:
    """Two people who count their messages from 1 don't meet."""
    do(store, post("a", client_msg_id="1", scope="ann"))

    assert not do(store, post("b", client_msg_id="1", scope="bob")).duplicate
    assert not do(store, post("c", client_msg_id="1", scope="")).duplicate
    assert not do(store, post("d", THERE, client_msg_id="1", scope="ann")).duplicate


@pytest.mark.parametrize(("hours", "known"), [(24, True), (24.001, False)])
def test_an_id_is_known_for_a_day(store: SqlStore, place: Place, hours: float, known: bool) -> None:
    """No longer either, whether or not it has been tidied away."""
    later = START + timedelta(hours=hours)
    do(store, post("a", client_msg_id="x"))

    assert do(store, post("a", client_msg_id="x", at=later)).duplicate is known
    place.clock.now = START + timedelta(hours=48.01)
    store.maintain()
    assert do(store, post("b", client_msg_id="x", at=place.clock.now)).duplicate is False


def test_tidying_keeps_the_ids_of_the_last_day(store: SqlStore, place: Place) -> None:
    """A retry may come right after it."""
    do(store, post("a", client_msg_id="x"))
    place.clock.now = START + timedelta(hours=23)
    store.maintain()

    assert do(store, post("a", client_msg_id="x")).duplicate


def test_what_speaks_against_a_message_is_heard_in_order(store: SqlStore) -> None:
    """A retry is answered even when the conversation is busy, or its time is over: it was stored in time."""
    past, later = START - timedelta(seconds=1), START + timedelta(seconds=1)
    first = post("a", client_msg_id="x", expires_at=START)
    do(store, first)

    retried = post("a", client_msg_id="x", expires_at=past, otherwise=Busy(), reply_to=None)
    assert do(store, retried).duplicate
    with pytest.raises(Conflict):
        do(store, post("b", client_msg_id="x", otherwise=Busy()))
    with pytest.raises(Busy):
        do(store, post("b", otherwise=Busy(), expires_at=past, reply_to=9))
    with pytest.raises(Expired):
        do(store, post("b", expires_at=past, reply_to=9))
    with pytest.raises(NoSuchMessage):
        do(store, post("b", expires_at=later, reply_to=9))
    assert snapshot(store).last_seq == 1


def test_nothing_of_a_declined_message_is_kept(store: SqlStore) -> None:
    """Not its id, which may come again with another body; and no conversation begins with one."""
    with pytest.raises(Busy):
        do(store, post("a", client_msg_id="x", otherwise=Busy()))

    assert snapshot(store).epoch == "offered"
    assert do(store, post("b", client_msg_id="x")).id == 1


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, 2**80])
def test_one_can_only_quote_what_is_there(store: SqlStore, number: int) -> None:
    """Whatever number a client makes up."""
    do(store, post("a"))

    with pytest.raises(NoSuchMessage):
        do(store, post("b", reply_to=number))
    assert do(store, post("b", reply_to=1)).id == 2


def test_inline_data_is_kept_until_the_reply_begins(store: SqlStore, place: Place) -> None:
    """Who answers needs it, also after a restart; nobody afterwards."""
    nested = Quote(id=1, origin=(PICTURE, Plain("x")))
    posted = do(store, post([PICTURE, nested]))
    blank = Image(base64="", url="u")

    assert posted.fact is not None
    assert posted.fact.message.chain == (blank, Quote(id=1, origin=(blank, Plain("x"))))
    place.close()
    store = place.open()
    (question,) = snapshot(store).questions
    assert question.message.chain == (PICTURE, nested)
    assert history(store) == (posted.fact.message,)

    do(store, begin(1))
    do(store, end(2))
    assert snapshot(store).questions == ()
    assert isinstance(facts(store)[0], MessageAdded)


def test_one_command_that_cannot_be_stored_fails_alone(store: SqlStore) -> None:
    """A batch is many people's messages."""
    unfit = post("b", sender=Sender("\ud800", "no text"), client_msg_id="y")
    commands = [post("a", client_msg_id="x"), unfit, begin(1), end(2, usage={"n": object()}), end(2, "so")]

    first, refused, begun, ended, done = store.write(commands)

    assert isinstance(refused, StoreError)
    assert isinstance(ended, StoreError)
    assert (first.id, begun.id, done.message.content) == (1, 2, "so")
    assert [fact.seq for fact in facts(store)] == [1, 2]
    assert do(store, post("c", key=HERE, client_msg_id="y")).id == 3
