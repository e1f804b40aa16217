"""One reply being written: what a model may do to the server, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from itertools import chain, pairwise, repeat
from typing import Any
from unittest.mock import Mock, patch

import pytest
import trio
from trio.testing import MockClock

from actors import Actor, ActorSystem
from server.chat import Turn
from server.messages import ConversationMessage, ReplyChunk, ReplyFinished, WriteReply
from server.pipeline import Finish, Model, PipelineSpec, reply
from server.pipeline.actor import Pipeline
from server.pipeline.reply import TOGETHER, TURN_PIECES, TURN_SECONDS
from server.pipeline.teller import Teller
from tests.in_memory import Frame, Server, is_end, let_tellers_rest, running

from .turns import turn

PIECES = [f"{number} " for number in range(5 * TOGETHER)]


class Saying:
    """Yields what it is given, computing for each, without ever waiting; notes how far it has come."""

    def __init__(self, *pieces: Any, compute: Callable[[], None] = lambda: None) -> None:
        self.pieces = pieces
        self.compute = compute
        self.came = 0
        self.closed = False

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        try:
            for piece in self.pieces:
                self.compute()
                self.came += 1
                yield piece
        finally:
            self.closed = True

    async def aclose(self) -> None: ...


async def answer(server: Server) -> Frame:
    client = await server.connect()
    client.say("hello")
    final: Frame = await client.final()
    return final


async def most_between_turns(model: Saying) -> int:
    """How many pieces *model* yields at most, in a whole reply, between two turns of another task."""
    seen = [0]

    async def look() -> None:
        while not model.closed:
            await trio.lowlevel.checkpoint()
            seen.append(model.came)

    async with running(lambda: model) as server, trio.open_nursery() as nursery:
        nursery.start_soon(look)
        assert (await answer(server))["content"] == "".join(model.pieces)
    return max(after - before for before, after in pairwise(seen))


async def test_a_model_that_never_waits_stops_nobody_else() -> None:
    """A Python function may be a loop; after a few pieces others run."""
    model = Saying(*["a"] * 20 * TURN_PIECES)

    # Between two turns of another may be one of the model's, before or after.
    assert await most_between_turns(model) <= 2 * TURN_PIECES


async def test_a_model_that_computes_for_long_lets_others_run_after_each_piece(
    autojump_clock: MockClock,
) -> None:
    """It holds up the loop while it computes, but not for longer than that."""
    model = Saying(*["a"] * 20, compute=lambda: autojump_clock.jump(2 * TURN_SECONDS))

    assert await most_between_turns(model) <= 2


async def test_what_was_said_before_the_time_was_up_stays(autojump_clock: MockClock) -> None:
    """All that was yielded: somebody may have counted on it."""
    # Of the 600 s that it has; then slowly, for it takes some turns of the loop until it is stopped.
    takes = chain([299.5, 299.5], repeat(0.1))
    model = Saying(*PIECES, compute=lambda: autojump_clock.jump(next(takes)))
    async with running(lambda: model) as server:
        final = await answer(server)
    assert model.came < len(PIECES)
    assert (final["content"], final["finish_reason"]) == ("".join(PIECES[: model.came]), "error")


async def test_something_other_than_text_fails_the_reply(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before it stays, and the log names the function and what it yielded."""
    model, log = Saying("a", 5), Mock()
    monkeypatch.setattr(reply, "log", log)
    async with running(lambda: model) as server:
        assert (await answer(server))["content"] == "a"
    assert model.closed
    (line,) = log.warning.call_args_list
    assert str(line.kwargs["error"]) == "Saying.reply yielded int, not str"


async def test_nothing_follows_how_it_ended(autojump_clock: MockClock) -> None:
    """Said by the model, it is the end, whatever the function would do after it."""
    model = Saying("a", Finish("length", {"total_tokens": 1}), "b")
    async with running(lambda: model) as server:
        final = await answer(server)
    assert (final["content"], final["finish_reason"], final["usage"]) == ("a", "length", {"total_tokens": 1})
    assert model.closed


class Hearing(Actor[ConversationMessage]):
    """Stands for a conversation: has one reply written, and hears it."""

    capacity = 4

    def __init__(self, model: Model, chunk_interval: float, takes: float) -> None:
        self.heard: list[ConversationMessage] = []
        self._takes = takes
        self._spec = PipelineSpec(
            "p1", "model", lambda: model, idle_timeout=60, total_timeout=600, chunk_interval=chunk_interval
        )

    async def started(self) -> None:
        pipeline = self.spawn(lambda: Pipeline(self._spec), name="pipeline")
        await pipeline.ask(WriteReply(turn("hello"), 1, self.ref), timeout=5)

    async def handle(self, message: ConversationMessage) -> None:
        await trio.sleep(self._takes)
        self.heard.append(message)
        if isinstance(message, ReplyFinished):
            self.stop()


async def heard(
    model: Model, chunk_interval: float, takes: float = 0
) -> tuple[list[ReplyChunk], ReplyFinished]:
    """The chunks of a reply, and its end, where handling a message *takes* so many seconds."""
    hearing = Hearing(model, chunk_interval, takes)
    await ActorSystem().run(lambda: hearing, name="hearing")
    *chunks, end = hearing.heard
    assert isinstance(end, ReplyFinished)
    return [chunk for chunk in chunks if isinstance(chunk, ReplyChunk)], end


def all_of(chunks: list[ReplyChunk], end: ReplyFinished) -> list[ReplyChunk | ReplyFinished]:
    return [*chunks, end]


def told(chunks: list[ReplyChunk], end: ReplyFinished) -> list[str]:
    """What has a frame of its own, in order."""
    return [piece for each in all_of(chunks, end) for piece in each.pieces or (each.text,) if piece]


async def test_without_an_interval_each_piece_is_told_apart() -> None:
    """Many may be told in one go while there is much to do, but what a model says stays apart."""
    chunks, end = await heard(Saying(*PIECES, "the end"), 0)

    assert told(chunks, end) == [*PIECES, "the end"]
    assert all("".join(each.pieces) == each.text for each in all_of(chunks, end) if each.pieces)
    assert max(len(each.pieces) for each in all_of(chunks, end)) <= TOGETHER


async def test_while_telling_has_to_rest_the_last_pieces_come_with_the_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be told a moment before it: that is one write less when there is much to do."""
    let_tellers_rest(monkeypatch, 1.0)
    chunks, end = await heard(Saying("a", "b", "c"), 0)

    assert [chunk.text for chunk in chunks] == ["a"]
    assert (end.text, end.pieces) == ("bc", ("b", "c"))


async def test_so_they_do_if_the_model_fails(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said before stays, and as it came."""
    let_tellers_rest(monkeypatch, 1.0)
    async with running(lambda: Saying("a", "b", "c", 5), chunk_interval=0) as server:
        client = await server.connect("stream=delta", level2=True)
        client.say("hello")
        heard = await client.until(is_end)

    said = [frame["data"] for frame in heard if frame["type"] == "response"]
    assert [data["delta"] for data in said] == ["a", "b", "c", ""]
    assert said[-1]["finish_reason"] == "error"


async def test_a_reply_that_has_too_much_tells_early_and_is_held_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held twice, it would be told twice as often."""
    let_tellers_rest(monkeypatch, 1.0)
    with patch.object(Teller, "hold", autospec=True, side_effect=Teller.hold) as hold:
        chunks, end = await heard(Saying(*PIECES), 0)

    assert told(chunks, end) == PIECES
    assert hold.call_count == 1


@pytest.mark.parametrize(
    ("stream", "frames"), [(True, [(0, "a"), (1, "b"), (2, "c"), (3, "")]), (False, [(0, "abc")])]
)
async def test_in_frames_of_their_own_for_who_wants_it_as_it_comes(
    stream: bool,
    frames: list[tuple[int, str]],
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was asked for in one piece comes in one."""
    let_tellers_rest(monkeypatch, 1.0)
    async with running(lambda: Saying("a", "b", "c"), chunk_interval=0) as server:
        client = await server.connect("stream=delta", level2=True)
        client.say("hello", stream=stream)
        heard = await client.until(is_end)

    said = [frame["data"] for frame in heard if frame["type"] == "response"]
    assert [(data["offset"], data["delta"]) for data in said] == frames
    assert said[-1]["content"] == "abc"


async def test_otherwise_they_come_before_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end waits for the disk: no word waits for that if it need not."""
    let_tellers_rest(monkeypatch, 1.0)
    waits = iter([0.0, 0.0, 1.0])
    model = Saying("a", "b", "c", compute=lambda: autojump_clock.jump(next(waits)))
    chunks, end = await heard(model, 0)

    assert ([chunk.text for chunk in chunks], end.text) == (["a", "bc"], "")


@pytest.mark.parametrize("chunk_interval", [0, 0.02])
async def test_half_a_letter_waits_for_its_other_half(
    autojump_clock: MockClock, chunk_interval: float
) -> None:
    """JSON may cut a letter in two, and neither half could be sent."""
    model = Saying("a", "\ud83d", "\ude42", "\ude42b", "\ud83d", compute=lambda: autojump_clock.jump(0.1))
    chunks, end = await heard(model, chunk_interval)

    assert "".join(told(chunks, end)) == "a\U0001f642\ufffdb\ufffd"
    "".join(told(chunks, end)).encode()


@pytest.mark.parametrize("chunk_interval", [0, 0.02])
@pytest.mark.parametrize(
    ("pieces", "text", "reason"),
    [
        (["abc", "de"], "abcde", "stop"),
        (["abc", "de", ""], "abcde", "stop"),
        (["abc", "def", "g"], "abcde", "length"),
        (["abcde", "f"], "abcde", "length"),
    ],
)
async def test_a_reply_is_cut_where_it_gets_too_long(
    chunk_interval: float, pieces: list[str], text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the letter; and one that just fits is whole."""
    monkeypatch.setattr(reply, "LONGEST", 5)
    let_tellers_rest(monkeypatch, 1.0)
    chunks, end = await heard(Saying(*pieces), chunk_interval)

    assert "".join(told(chunks, end)) == text
    assert end.reason == reason
    assert all(all(each.pieces) for each in all_of(chunks, end))


async def test_nothing_is_told_of_an_empty_piece() -> None:
    """A frame of nothing is for nobody."""
    chunks, end = await heard(Saying("", "a", "", "b", ""), 0)

    assert told(chunks, end) == ["a", "b"]
    assert all(all(each.pieces) for each in all_of(chunks, end))
    assert all(chunk.text for chunk in chunks)


async def test_what_a_conversation_has_no_room_for_is_joined(autojump_clock: MockClock) -> None:
    """It may be very much by the time there is room: a frame for each piece would be too many."""
    model = Saying(*PIECES, compute=lambda: autojump_clock.jump(0.001))
    chunks, end = await heard(model, 0, takes=0.2)

    assert "".join(told(chunks, end)) == "".join(PIECES)
    assert max(len(chunk.pieces) for chunk in chunks) <= TOGETHER


async def test_with_an_interval_pieces_are_told_together() -> None:
    """A fast model does not make a frame of every word for every member."""
    chunks, end = await heard(Saying(*PIECES), 0.02)

    assert "".join(told(chunks, end)) == "".join(PIECES)
    assert not any(each.pieces for each in all_of(chunks, end))
