"""What a pipeline may look back at, as laws over any sequence of facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.chat import (
    Component,
    ConversationKey,
    HistoryReset,
    Image,
    Limits,
    Message,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    Plain,
    ReadUpTo,
    ReplyEnded,
    Role,
    Sender,
    Transcript,
    Turn,
    text_of,
    weight_of,
)

from .chains import chains
from .test_components import inline_data_in

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
ANN = Sender(id="ann", name="Ann")


def message(number: int, *chain: Component, role: Role = "user", other: int | None = None) -> Message:
    return Message(number, role, chain, NOON, "c1", ANN, seq=number, alternative_of=other)


def said(transcript: Transcript, number: int, text: str = "Hi") -> Message:
    new = message(number, Plain(text))
    transcript.apply(MessageAdded(number, new))
    return new


def answered(transcript: Transcript, number: int, text: str, *, other: int | None = None) -> None:
    transcript.apply(ReplyEnded(number, message(number, Plain(text), role="assistant", other=other)))


class AnyConversation(RuleBasedStateMachine):
    """Applies facts at random, and compares with a plain dictionary of all that there is."""

    @initialize(messages=st.integers(1, 5), size=st.sampled_from([1, 300, 2**20]))
    def begin(self, messages: int, size: int) -> None:
        self.transcript = Transcript(Limits(messages, size))
        self.last_id = self.seq = 0
        self.there: dict[int, Message] = {}
        self.opened: tuple[int, int | None] | None = None

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def new_message(self, role: Role, chain: tuple[Component, ...], other: int | None = None) -> Message:
        self.last_id += 1
        moment = NOON + timedelta(seconds=self.last_id)
        return Message(
            self.last_id, role, chain, moment, "c1", ANN, seq=self.next_seq(), alternative_of=other
        )

    @rule(chain=chains)
    def say(self, chain: tuple[Component, ...]) -> None:
        new = self.new_message("user", chain)
        assert new.content == text_of(chain)
        self.transcript.apply(MessageAdded(self.seq, new))
        self.there[new.id] = new

    @precondition(lambda self: self.opened is None)
    @rule(data=st.data())
    def begin_reply(self, data: st.DataObject) -> None:
        """Its id is given out now, its seq when it ends."""
        answers = [m.id for m in self.there.values() if m.role == "assistant"]
        self.last_id += 1
        self.opened = self.last_id, data.draw(st.sampled_from([None, *answers]))

    @precondition(lambda self: self.opened is not None)
    @rule(text=st.text(max_size=5))
    def end_reply(self, text: str) -> None:
        assert self.opened is not None
        (number, other), self.opened = self.opened, None
        new = Message(
            number, "assistant", (Plain(text),), NOON, "c1", ANN, seq=self.next_seq(), alternative_of=other
        )
        self.transcript.apply(ReplyEnded(self.seq, new))
        if other is not None:
            self.there.pop(other, None)
        self.there[number] = new

    @precondition(lambda self: self.there)
    @rule(chain=chains, data=st.data())
    def edit(self, chain: tuple[Component, ...], data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.there)))
        new = evolve(self.there[number], chain=chain, seq=self.next_seq(), edited_at=NOON)
        self.transcript.apply(MessageEdited(self.seq, new))
        self.there[number] = new

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.there)))
        self.transcript.apply(MessageRecalled(self.next_seq(), number, "ann", NOON))
        del self.there[number]

    @rule()
    def read(self) -> None:
        before = self.transcript.messages()
        self.transcript.apply(ReadUpTo(self.next_seq(), "ann", self.last_id))
        assert self.transcript.messages() == before

    @rule()
    def reset(self) -> None:
        self.transcript.apply(HistoryReset(self.next_seq(), NOON))
        self.there.clear()
        assert self.transcript.messages() == ()

    @rule(share=st.floats(0, 1))
    def trim(self, share: float) -> None:
        upto = int(self.last_id * share)
        self.transcript.forget(upto)
        self.there = {number: old for number, old in self.there.items() if number > upto}

    @invariant()
    def what_is_kept_is_there_oldest_first(self) -> None:
        kept = [old.id for old in self.transcript.messages()]
        assert kept == sorted(set(kept))
        assert set(kept) <= set(self.there)

    @invariant()
    def limits_hold(self) -> None:
        kept, limits = self.transcript.messages(), self.transcript.limits
        size = sum(weight_of(old.chain) for old in kept)
        assert len(kept) <= max(limits.messages, 1)
        assert size <= limits.size or len(kept) == 1
        assert self.transcript._size == size

    @invariant()
    def inline_data_is_not_kept(self) -> None:
        assert not any(list(inline_data_in(old.chain)) for old in self.transcript.messages())

    @invariant()
    def history_is_what_was_said_before_the_question(self) -> None:
        kept = self.transcript.messages()
        for question in list(self.there.values())[-3:]:
            expected = [m for m in kept if m.id < question.id or m.role == "assistant"]
            assert list(self.transcript.before(question)) == expected


# Before `begin` has run there is nothing to check; hypothesis runs initialize rules before any invariant.
TestAnyConversation = AnyConversation.TestCase
TestAnyConversation.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_a_message_that_waited_knows_the_replies_before_it() -> None:
    """It was sent before they were finished, but it is answered after them."""
    transcript = Transcript()
    first = said(transcript, 1, "one")
    second, third = said(transcript, 3, "two"), said(transcript, 4, "three")
    answered(transcript, 2, "to one")

    assert [old.content for old in transcript.before(first)] == ["to one"]
    assert [old.content for old in transcript.before(second)] == ["one", "to one"]
    assert [old.content for old in transcript.before(third)] == ["one", "to one", "two"]


def test_a_question_let_go_of_still_has_its_history() -> None:
    """The transcript may be smaller than the queue of those who wait."""
    transcript = Transcript(Limits(messages=1))
    question = said(transcript, 1)
    said(transcript, 2)

    assert transcript.before(question) == ()


def test_of_two_answers_to_one_question_the_newer_is_looked_back_at() -> None:
    """The person asked for another one because the first was no good."""
    transcript = Transcript()
    said(transcript, 1, "why?")
    answered(transcript, 2, "because")
    answered(transcript, 3, "for a reason", other=2)

    assert [old.content for old in transcript.messages()] == ["why?", "for a reason"]


def test_a_fact_that_comes_again_changes_nothing() -> None:
    """After a crash in mid-telling it is told once more; a model must not read it twice."""
    transcript = Transcript()
    said(transcript, 1)
    said(transcript, 1)

    assert [kept.id for kept in transcript.messages()] == [1]


def test_an_edit_of_what_was_let_go_of_brings_nothing_back() -> None:
    """It would stand among newer messages as if it had just been said."""
    transcript = Transcript(Limits(messages=1))
    old = said(transcript, 1)
    said(transcript, 2)
    transcript.apply(MessageEdited(3, evolve(old, chain=(Plain("Ho"),))))

    assert [kept.id for kept in transcript.messages()] == [2]


def test_the_newest_stays_shortened_if_it_weighs_too_much() -> None:
    """A history without the last message would be a lie, and one with all of it no bound on anything."""
    transcript = Transcript(Limits(size=1000))
    said(transcript, 1, "small")
    big = said(transcript, 2, "\N{WAVING HAND SIGN}" * 10_000)

    kept = transcript.messages()[-1]
    assert (kept.id, kept.seq) == (big.id, big.seq)
    assert kept.content.endswith(" […]")
    assert big.content.startswith(kept.content.removesuffix(" […]"))
    assert weight_of(kept.chain) <= 1000


def test_a_turn_reads_as_text() -> None:
    """A text-only pipeline needs no more than that."""
    question = message(1, Plain("Hi "), Image())
    turn = Turn(question, (), ANN, "p", "person", "default")

    assert turn.text == "Hi [Image]"


def test_a_conversation_key_reads_as_a_path() -> None:
    """It is in the log, and in the name of the conversation's actor."""
    assert str(ConversationKey("p", "group", "default")) == "p/group/default"
