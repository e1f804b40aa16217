"""A running reply's frames, made of what was encoded before."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import example, given
from hypothesis import strategies as st

from server.chat import Message, Plain, Sender, SessionType
from server.protocol import DeltaData, GrowingReply, ResponseFrame, encode, message_data

from .messages import ANN, message

texts = st.text(st.characters(exclude_categories=["Cs"]))
session_types: st.SearchStrategy[SessionType] = st.sampled_from(["person", "group"])
senders = st.builds(Sender, texts, texts)


def state(text: str, sender: Sender = ANN, connection_id: str = "c1") -> Message:
    return message(
        (Plain(text),),
        id=2,
        role="assistant",
        connection_id=connection_id,
        sender=sender,
        is_final=False,
        seq=None,
        reply_to=1,
        alternative_of=0,
    )


def plainly(session_type: SessionType, state: Message) -> bytes:
    return encode(ResponseFrame(session_type, message_data(state)))


@given(session_types, senders, texts, st.lists(texts))
@example("person", Sender('""', '%b"content":""'), '""', ['"', '""', "\\", "u", "0000", "\x00", "%d"])
@example("group", Sender("a", "b"), "c", ["ascii", "", "é", "🙂", "\u2028\u0301\x7f\ufeff\uffff"])
def test_frames_are_those_of_the_plain_encoder(
    session_type: SessionType, sender: Sender, connection_id: str, pieces: list[str]
) -> None:
    """Nobody can tell how a frame was made, whatever is said in whichever pieces, and by whom."""
    growing = GrowingReply(session_type, state("anything", sender, connection_id))

    for text in accumulate(pieces):
        assert growing.whole(text) == plainly(session_type, state(text, sender, connection_id))
    assert growing.deltas(pieces, 7) == [
        encode(ResponseFrame(session_type, DeltaData(2, piece, told)))
        for piece, told in zip(pieces, accumulate(map(len, pieces), initial=7), strict=False)
    ]


@given(st.lists(texts | st.sampled_from(["a", "ab", "abc", "b", "é", "aé", "a🙂"])))
def test_states_may_come_in_any_order(states: list[str]) -> None:
    """A slow socket may take an older state than the one that a quick one was told before."""
    growing = GrowingReply("person", state(""))

    for text in states:
        assert growing.whole(text) == plainly("person", state(text))


@given(texts, st.data())
def test_a_delta_begins_wherever_its_client_is(text: str, data: st.DataObject) -> None:
    """One that left chunks out, or resumes, knows less than the others."""
    offset = data.draw(st.integers(0, len(text)))
    delta = DeltaData(2, text[offset:], offset)

    assert GrowingReply("group", state("")).deltas([text[offset:]], offset) == [
        encode(ResponseFrame("group", delta))
    ]
