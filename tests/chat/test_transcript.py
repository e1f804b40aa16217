"""The order of a conversation, as laws over any sequence of what can happen to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.chat import Component, Image, Limits, Message, Plain, Sender, Transcript, Turn, text_of
from server.chat.components import weight_of
from server.chat.model import ConversationKey

from .chains import chains
from .test_components import inline_data_in

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
ANN = Sender(id="ann", name="Ann")


def say(transcript: Transcript, text: str = "Hi", *more: Component) -> Message:
    return transcript.add((Plain(text), *more), sender=ANN, connection_id="c1", now=NOON)


def reply(transcript: Transcript, text: str = "Hello") -> Message:
    transcript.begin_reply(connection_id="c1", now=NOON).text = text
    return transcript.end_reply(reason="stop")


class AnyConversation(RuleBasedStateMachine):
    """Says, answers and resets at random, and compares with a plain list of all that was said."""

    @initialize(messages=st.integers(1, 5), size=st.sampled_from([1, 300, 2**20]))
    def begin(self, messages: int, size: int) -> None:
        self.transcript = Transcript("epoch", Limits(messages, size))
        self.given_ids: list[int] = []
        self.seqs: list[int] = []
        self.since_reset: list[Message] = []
        self.questions: list[Message] = []
        self.now = NOON

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def took(self, seq: int | None) -> None:
        assert seq is not None
        self.seqs.append(seq)

    @rule(chain=chains)
    def say(self, chain: tuple[Component, ...]) -> None:
        now = self.tick()
        message = self.transcript.add(chain, sender=ANN, connection_id="c1", now=now)
        assert message.chain is chain
        assert (message.role, message.sender, message.timestamp, message.is_final) == ("user", ANN, now, True)
        assert message.content == text_of(chain)
        self.given_ids.append(message.id)
        self.took(message.seq)
        self.since_reset.append(message)
        self.questions.append(message)

    @precondition(lambda self: self.transcript.open_reply is None)
    @rule()
    def begin_reply(self) -> None:
        opened = self.transcript.begin_reply(connection_id="c2", now=self.tick())
        self.given_ids.append(opened.id)
        self.began = self.now

    @precondition(lambda self: self.transcript.open_reply is not None)
    @rule(text=st.text(max_size=5))
    def grow(self, text: str) -> None:
        opened = self.transcript.open_reply
        assert opened is not None
        opened.text += text
        shown = opened.so_far()
        assert (shown.id, shown.timestamp) == (opened.id, self.began)
        assert (shown.content, shown.is_final, shown.seq) == (opened.text, False, None)

    @precondition(lambda self: self.transcript.open_reply is not None)
    @rule(otherwise=st.text(max_size=5))
    def end_reply(self, otherwise: str) -> None:
        opened = self.transcript.open_reply
        assert opened is not None
        message = self.transcript.end_reply(reason="stop", otherwise=otherwise, usage={"tokens": 1})
        assert (message.id, message.timestamp, message.role) == (opened.id, self.began, "assistant")
        assert (message.connection_id, message.is_final) == ("c2", True)
        assert message.content == (opened.text or otherwise)
        assert (message.finish_reason, message.usage) == ("stop", {"tokens": 1})
        self.took(message.seq)
        self.since_reset.append(message)

    @precondition(lambda self: self.transcript.open_reply is None)
    @rule()
    def reset(self) -> None:
        self.took(self.transcript.reset())
        self.since_reset.clear()
        self.questions.clear()
        assert self.transcript.messages() == ()

    @precondition(lambda self: self.transcript.open_reply is not None)
    @rule()
    def reset_too_early(self) -> None:
        with pytest.raises(ValueError, match="is still open"):
            self.transcript.reset()

    @precondition(lambda self: self.transcript.open_reply is not None)
    @rule()
    def begin_another(self) -> None:
        with pytest.raises(ValueError, match="is still open"):
            self.transcript.begin_reply(connection_id="c2", now=self.now)

    @precondition(lambda self: self.transcript.open_reply is None)
    @rule()
    def end_nothing(self) -> None:
        with pytest.raises(ValueError, match="no reply is open"):
            self.transcript.end_reply(reason="stop")

    @invariant()
    def ids_count_up_and_never_come_again(self) -> None:
        assert self.given_ids == list(range(1, len(self.given_ids) + 1))
        assert self.transcript.last_id == len(self.given_ids)

    @invariant()
    def seqs_have_no_holes(self) -> None:
        assert self.seqs == list(range(1, len(self.seqs) + 1))
        assert self.transcript.cursor == f"epoch.{len(self.seqs)}"

    @invariant()
    def what_is_kept_is_the_newest_oldest_first(self) -> None:
        kept = [message.id for message in self.transcript.messages()]
        assert kept == sorted(kept)
        assert set(kept) <= {message.id for message in self.since_reset}
        if self.since_reset:
            assert kept[-1] == max(message.id for message in self.since_reset)

    @invariant()
    def limits_hold(self) -> None:
        kept, limits = self.transcript.messages(), self.transcript.limits
        size = sum(weight_of(message.chain) for message in kept)
        assert len(kept) <= max(limits.messages, 1)
        assert size <= limits.size or len(kept) == 1
        assert self.transcript._size == size

    @invariant()
    def nothing_is_let_go_without_need(self) -> None:
        kept, limits = self.transcript.messages(), self.transcript.limits
        if limits.size == 2**20 and len(self.since_reset) <= limits.messages:
            assert len(kept) == len(self.since_reset)

    @invariant()
    def inline_data_is_not_kept(self) -> None:
        assert not any(list(inline_data_in(message.chain)) for message in self.transcript.messages())

    @invariant()
    def history_is_what_was_said_before_the_question(self) -> None:
        kept = self.transcript.messages()
        for question in self.questions[-3:]:
            history = self.transcript.before(question)
            assert question.id not in {message.id for message in history}
            assert list(history) == [m for m in kept if m.id < question.id or m.role == "assistant"]


# Before `begin` has run there is nothing to check; hypothesis runs initialize rules before any invariant.
TestAnyConversation = AnyConversation.TestCase
TestAnyConversation.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_a_message_that_waited_knows_the_replies_before_it() -> None:
    """It was sent before they were finished, but it is answered after them."""
    transcript = Transcript("epoch")
    first = say(transcript, "one")
    transcript.begin_reply(connection_id="c1", now=NOON).text = "to one"
    second = say(transcript, "two")
    third = say(transcript, "three")
    transcript.end_reply(reason="stop")

    assert [message.content for message in transcript.before(first)] == ["to one"]
    assert [message.content for message in transcript.before(second)] == ["one", "to one"]
    assert [message.content for message in transcript.before(third)] == ["one", "to one", "two"]


def test_a_question_let_go_of_still_has_its_history() -> None:
    """The transcript may be smaller than the queue of those who wait."""
    transcript = Transcript("epoch", Limits(messages=1))
    question = say(transcript)
    say(transcript)

    assert transcript.before(question) == ()


def test_a_reply_without_text_says_something_else() -> None:
    """Silence would look like a fault of the client."""
    transcript = Transcript("epoch")
    transcript.begin_reply(connection_id="c1", now=NOON)

    assert transcript.end_reply(reason="error", otherwise="Sorry.").content == "Sorry."


def test_a_reply_keeps_its_place_by_id() -> None:
    """Clients show messages by id, and history must not differ from what they saw."""
    transcript = Transcript("epoch")
    say(transcript)
    transcript.begin_reply(connection_id="c1", now=NOON)
    late = say(transcript, "Hurry")
    answer = transcript.end_reply(reason="stop")

    assert [message.id for message in transcript.messages()] == [1, answer.id, late.id]
    assert (answer.seq, late.seq) == (3, 2)


def test_the_newest_stays_shortened_if_it_weighs_too_much() -> None:
    """A history without the last message would be a lie, and one with all of it no bound on anything."""
    transcript = Transcript("epoch", Limits(size=1000))
    say(transcript, "small")
    big = say(transcript, "\N{WAVING HAND SIGN}" * 10_000)

    kept = transcript.messages()[-1]
    assert (kept.id, kept.seq) == (big.id, big.seq)
    assert kept.content.endswith(" […]")
    assert big.content.startswith(kept.content.removesuffix(" […]"))
    assert weight_of(kept.chain) <= 1000


def test_inline_data_is_told_once_and_not_kept() -> None:
    """The pipeline sees the picture; history does not carry it again."""
    transcript = Transcript("epoch")
    message = say(transcript, "look", Image(url="u", base64="AAAA"))
    (kept,) = transcript.messages()

    assert message.chain[1] == Image(url="u", base64="AAAA")
    assert kept == evolve(message, chain=(Plain("look"), Image(url="u", base64="")))


def test_the_assistant_speaks_in_its_own_name() -> None:
    """A pipeline has a name, and its replies bear it."""
    transcript = Transcript("epoch", assistant=Sender("bot", "Bot"))

    assert reply(transcript).sender == Sender("bot", "Bot")


def test_a_turn_reads_as_text() -> None:
    """A text-only pipeline needs no more than that."""
    question = say(Transcript("epoch"), "Hi ", Image())
    turn = Turn(question, (), ANN, "p", "person", "default")

    assert turn.text == "Hi [Image]"


def test_a_conversation_key_reads_as_a_path() -> None:
    """It is in the log, and in the name of the conversation's actor."""
    assert str(ConversationKey("p", "group", "default")) == "p/group/default"
