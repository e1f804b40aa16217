"""What one socket is told, whatever comes in whatever way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from server.connection.framing import texts
from server.connection.outbox import Hole, Outbox
from server.connection.wire import WHOLES
from server.messages import Dialect, Event, Gap, Happened, ReplyGrew

from .happenings import (
    EPOCH,
    FACT_KINDS,
    GREETING,
    Client,
    added,
    ended,
    grew,
    happened,
    some_fact,
    welcomed,
)

DIALECTS: tuple[Dialect, ...] = ("document", "cumulative", "delta")


def outbox(dialect: Dialect = "delta", last: int = 0) -> Outbox:
    box = Outbox(dialect, GREETING)
    assert box.frames(welcomed(last)) is not None
    return box


def frames(box: Outbox, *events: Event) -> list[Any]:
    made = [box.frames(event) for event in events]
    return [json.loads(text)["data"] for each in made if each is not None for text in texts(each)]


def pieces(box: Outbox, *events: Event) -> list[tuple[int, str]]:
    return [(data["offset"], data["delta"]) for data in frames(box, *events)]


def test_a_reply_comes_in_pieces() -> None:
    """A long one, sent whole again and again, costs the square of its length."""
    events = [grew("On"), grew("Once", 2), grew("Once upon", 4)]

    assert frames(outbox(), *events)[1:] == [
        {"id": 2, "offset": 2, "delta": "ce"},
        {"id": 2, "offset": 4, "delta": " upon"},
    ]


def test_the_last_piece_comes_with_the_whole() -> None:
    """Whoever joined late, or lost count, is right in the end."""
    (_, last) = frames(outbox(), grew("On"), ended(1, "Once", 2))

    assert (last["offset"], last["delta"], last["content"], last["is_final"]) == (2, "ce", "Once", True)


def test_pieces_that_were_left_out_come_with_the_next() -> None:
    """A slow reader gets the newest state of a reply alone."""
    assert pieces(outbox(), grew("On"), grew("Once upon", 4), ended(1, "Once upon a", 9)) == [
        (0, "On"),
        (2, "ce upon"),
        (9, " a"),
    ]


def test_who_joins_late_gets_the_reply_as_it_stands() -> None:
    """Then it goes on as for all others."""
    assert pieces(outbox(), grew("Once", 4), grew("Once upon", 4)) == [(0, "Once"), (4, " upon")]
    assert pieces(outbox(), ended(1, "Once", 4)) == [(0, "Once")]


def test_what_was_told_is_counted_for_each_reply() -> None:
    """The next one begins at its beginning."""
    assert pieces(outbox(), grew("Once"), ended(1, "Once", 4), grew("Twice", 0, 4)) == [
        (0, "Once"),
        (4, ""),
        (0, "Twice"),
    ]


def test_a_reply_that_goes_back_is_told_again_from_there() -> None:
    """A conversation that crashed goes on from what was made durable, and that may differ from here on."""
    assert pieces(outbox(), grew("Once upon"), grew("Once more", 5), ended(1, "Onward", 2)) == [
        (0, "Once upon"),
        (5, "more"),
        (2, "ward"),
    ]
    assert pieces(outbox(), grew("Once upon"), ended(1, "Once", 9)) == [(0, "Once upon"), (4, "")]


def test_nothing_new_is_not_told() -> None:
    """Of the same state there may be two ways here."""
    box = outbox()

    assert pieces(box, grew("Once"), grew("Once", 4)) == [(0, "Once")]


def test_offsets_count_code_points() -> None:
    """Not bytes and not UTF-16 units, of which a piece could be half a character."""
    assert pieces(outbox(), grew("🙂"), grew("🙂é🙂", 1)) == [(0, "🙂"), (1, "é🙂")]


def test_each_piece_may_have_a_frame_of_its_own() -> None:
    """They leave together, when there are very many to tell; a client sees each of them."""
    event = grew("Once🙂 upon", 2, pieces=("ce", "🙂", " upon"))

    assert pieces(outbox(), grew("On"), event) == [(0, "On"), (2, "ce"), (4, "🙂"), (5, " upon")]
    assert [said["content"] for said in frames(outbox("document"), event)] == [
        "Once",
        "Once🙂",
        "Once🙂 upon",
    ]


def test_the_last_pieces_too_before_the_end() -> None:
    """They come with it when there is much to do: the end says nothing new then."""
    event = ended(1, "Once🙂 upon", 2, pieces=("ce", "🙂", " upon"))

    assert pieces(outbox(), grew("On"), event) == [(0, "On"), (2, "ce"), (4, "🙂"), (5, " upon"), (10, "")]
    (last,) = frames(outbox("document"), event)
    assert (last["content"], last["is_final"]) == ("Once🙂 upon", True)


def test_pieces_weigh_what_their_frames_take() -> None:
    """A mailbox is bounded in bytes, and a frame of one letter has a hundred of them."""
    assert ended(1, "abc", pieces=("a", "b", "c")).weight > 2 * ended(1, "abc").weight


def test_who_knows_less_gets_what_was_left_out_in_one_frame() -> None:
    """It is behind as it is."""
    assert pieces(outbox(), grew("Once", 2, pieces=("c", "e"))) == [(0, "Once")]
    assert pieces(outbox(), ended(1, "Once", 2, pieces=("c", "e"))) == [(0, "Once")]


def test_a_long_text_is_not_told_again_for_each_piece() -> None:
    """Thirty times a megabyte would leave in one write, and only the last of it would be looked at."""
    text = "x" * WHOLES
    box = outbox("document")

    assert [len(said["content"]) for said in frames(box, grew(text, WHOLES - 2, pieces=("x", "x")))] == [
        WHOLES
    ]


def test_those_who_know_the_same_share_one_encoding() -> None:
    """A thousand readers of one reply cost one encoding for each dialect."""
    first, second = outbox(), outbox()
    events = [grew("On"), grew("Once", 2), ended(1, "Once...", 4, pieces=("..", "."))]

    for event in events:
        assert first.frames(event) is second.frames(event)
        assert outbox("document").frames(event) is outbox("cumulative").frames(event)
        assert set(event.encodings) == {"whole", "delta"}


def test_one_that_knows_less_does_not_spoil_it_for_the_others() -> None:
    """Its frame is its own."""
    slow, fast = outbox(), outbox()
    fast.frames(grew("On"))
    event = grew("Once", 2)

    assert [pieces(slow, event), pieces(fast, event)] == [[(0, "Once")], [(2, "ce")]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_chunk_comes_after_the_end(dialect: Dialect) -> None:
    """A reply is final once; the page would show it as running for ever."""
    box = outbox(dialect)

    assert box.frames(ended(1, "Once")) is not None
    assert box.frames(grew("On")) is None
    assert box.frames(grew("Two", 0, 3)) is not None
    assert box.frames(grew("On")) is None


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", FACT_KINDS)
def test_a_fact_comes_once(dialect: Dialect, kind: str) -> None:
    """Read from the store, and told live besides."""
    box = outbox(dialect, last=4)

    first = box.frames(happened(some_fact(kind, 5)))
    assert (first is None) == (dialect == "document" and kind != "added")
    assert [box.frames(happened(some_fact(kind, seq))) for seq in (5, 4, 1)] == [None] * 3


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", FACT_KINDS)
def test_a_hole_is_not_passed_over(dialect: Dialect, kind: str) -> None:
    """A client that is not told can't know; and what levels 0 and 1 are not told counts like the rest."""
    box = outbox(dialect, last=4)
    box.frames(happened(some_fact(kind, 5)))

    with pytest.raises(Hole) as hole:
        box.frames(added(7))
    assert (hole.value.last, hole.value.seq) == (5, 7)


def test_nothing_happens_before_the_welcome() -> None:
    """It says where the client begins."""
    with pytest.raises(Hole):
        Outbox("cumulative", GREETING).frames(added(1))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_gap_is_gone_on_from(dialect: Dialect) -> None:
    """Also back: in another epoch, seqs begin anew."""
    box = outbox(dialect, last=40)
    box.frames(Gap("e2.6", "unknown_epoch"))

    assert box.frames(added(6)) is None
    assert box.frames(added(7)) is not None
    with pytest.raises(Hole):
        box.frames(added(41))


def test_a_second_welcome_is_not_told() -> None:
    """The conversation crashed after its first, and was asked again."""
    box = outbox(last=4)
    box.frames(added(5))

    assert box.frames(welcomed(4)) is None
    assert box.frames(welcomed(5)) is None
    assert box.frames(added(6)) is not None
    with pytest.raises(Hole):
        box.frames(welcomed(8))


class Telling(RuleBasedStateMachine):
    """A conversation, a mailbox as slow as can be, an outbox, and a client that objects to what is wrong.

    Events are told live and, once more, as from the store; chunks conflate as they do in a mailbox.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seq = 0
        self.ids = 0
        self.running: tuple[int, str] | None = None
        self.told = 0
        self.facts: list[Happened] = []
        self.texts: dict[int, str] = {}
        self.queue: list[Event] = []
        self.lossy = False

    @initialize(dialect=st.sampled_from(DIALECTS), behind=st.integers(0, 3))
    def join(self, dialect: Dialect, behind: int) -> None:
        for _ in range(behind):
            self._happen("added")
        self.dialect = dialect
        self.box = Outbox(dialect, GREETING)
        self.client = Client(dialect)
        self.queue = [welcomed(0, resumed=True), *self.facts]

    def _tell(self, event: Event) -> None:
        if isinstance(event, ReplyGrew):
            for place, waiting in enumerate(self.queue):
                if isinstance(waiting, ReplyGrew) and waiting.message.id == event.message.id:
                    self.queue[place] = event
                    return
        self.queue.append(event)

    def _happen(self, kind: str) -> None:
        self.seq += 1
        self._publish(happened(some_fact(kind, self.seq)))

    def _publish(self, event: Happened) -> None:
        self.facts.append(event)
        self._tell(event)

    @rule(kind=st.sampled_from(FACT_KINDS))
    def something_happens(self, kind: str) -> None:
        self._happen(kind)

    @precondition(lambda self: self.running is None)
    @rule()
    def a_reply_begins(self) -> None:
        self.ids += 2
        self.running, self.told = (self.ids, ""), 0

    @precondition(lambda self: self.running is not None)
    @rule(pieces=st.lists(st.text("ab🙂", max_size=3)), apart=st.booleans(), streams=st.booleans())
    def it_grows(self, pieces: list[str], apart: bool, streams: bool) -> None:
        assert self.running is not None
        id_, text = self.running
        more = "".join(pieces)
        self.running = (id_, text + more)
        if streams:
            apart = apart and self.told == len(text)
            self._tell(grew(text + more, self.told, id_, tuple(pieces) if apart else ()))
            self.told = len(text + more)

    @precondition(lambda self: self.running is not None)
    @rule(back=st.integers(0, 3))
    def the_conversation_crashes_and_goes_on_from_what_is_durable(self, back: int) -> None:
        assert self.running is not None
        id_, text = self.running
        durable = text[: max(0, len(text) - back)]
        self.running, self.told = (id_, durable), len(durable)

    @precondition(lambda self: self.running is not None)
    @rule(pieces=st.lists(st.text("ab🙂", max_size=3)), apart=st.booleans())
    def it_ends(self, pieces: list[str], apart: bool) -> None:
        assert self.running is not None
        id_, text = self.running
        apart = apart and self.told == len(text)
        text += "".join(pieces)
        self.running = None
        self.seq += 1
        self.texts[id_] = text
        self._publish(ended(self.seq, text, self.told, id_, pieces=tuple(pieces) if apart else ()))

    @precondition(lambda self: self.facts)
    @rule(data=st.data())
    def a_fact_comes_again(self, data: st.DataObject) -> None:
        self._tell(data.draw(st.sampled_from(self.facts)))

    @precondition(lambda self: self.running is not None)
    @rule()
    def the_reply_is_shown_as_it_stands(self) -> None:
        assert self.running is not None
        id_, text = self.running
        self._tell(grew(text, self.told, id_))

    @rule()
    def a_chunk_comes_late(self) -> None:
        """After its reply's end."""
        for id_, text in self.client.finals.items():
            self._tell(grew(text[:1], 0, id_))

    @rule(epoch=st.sampled_from([EPOCH, "e2"]))
    def what_waits_is_given_up_for_a_gap(self, epoch: str) -> None:
        self.queue = [event for event in self.queue if not isinstance(event, Happened)]
        self._tell(Gap(f"{epoch}.{self.seq}", "trimmed"))

    @precondition(lambda self: not self.lossy)
    @rule()
    def a_fact_is_lost(self) -> None:
        waiting = [event.fact for event in self.queue if isinstance(event, Happened)]
        if waiting:
            self.lossy = True
            self.facts = [event for event in self.facts if event.fact != waiting[0]]
            self.queue = [e for e in self.queue if not isinstance(e, Happened) or e.fact != waiting[0]]

    @precondition(lambda self: self.queue)
    @rule(count=st.integers(1, 10))
    def the_socket_takes(self, count: int) -> None:
        for event in self.queue[:count]:
            try:
                frames = self.box.frames(event)
            except Hole:
                assert self.lossy, "there is no hole"
                self._comes_again()
                return
            for text in texts(frames or b""):
                self.client.hear(text)
        del self.queue[:count]

    def _comes_again(self) -> None:
        """The socket was closed; on the next, what is missing comes from the store."""
        self.queue.clear()
        self.lossy = False
        self.client = Client(self.dialect)
        self.box = Outbox(self.dialect, GREETING)
        self._tell(welcomed(self.seq))

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.the_socket_takes(len(self.queue))
            assert all(text == self.texts[id_] for id_, text in self.client.finals.items())


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
