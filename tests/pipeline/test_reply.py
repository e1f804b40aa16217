"""One reply being written: what a model may do to the server, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from itertools import chain, pairwise, repeat
from typing import Any
from unittest.mock import Mock

import pytest
import trio
from trio.testing import MockClock

from actors import Actor, ActorSystem
from server.chat import Turn
from server.messages import ConversationMessage, ReplyChunk, ReplyFinished, WriteReply
from server.pipeline import Finish, Model, PipelineSpec, reply
from server.pipeline.actor import Pipeline
from server.pipeline.reply import TOGETHER, TURN_PIECES, TURN_SECONDS
from tests.in_memory import Frame, Server, running

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


async def heard(model: Model, chunk_interval: float, takes: float = 0) -> tuple[list[ReplyChunk], str]:
    """The chunks of a reply, and what its end adds, where handling a message *takes* so many seconds."""
    hearing = Hearing(model, chunk_interval, takes)
    await ActorSystem().run(lambda: hearing, name="hearing")
    *chunks, end = hearing.heard
    assert isinstance(end, ReplyFinished)
    return [chunk for chunk in chunks if isinstance(chunk, ReplyChunk)], end.text


async def test_without_an_interval_each_piece_is_told_apart() -> None:
    """Many may be told in one go while there is much to do, but what a model says stays apart."""
    chunks, end = await heard(Saying(*PIECES), 0)

    assert [piece for chunk in chunks for piece in chunk.pieces or (chunk.text,)] == PIECES
    assert end == ""
    assert all("".join(chunk.pieces) == chunk.text for chunk in chunks if chunk.pieces)
    assert max(len(chunk.pieces) for chunk in chunks) <= TOGETHER


async def test_what_a_conversation_has_no_room_for_is_joined(autojump_clock: MockClock) -> None:
    """It may be very much by the time there is room: a frame for each piece would be too many."""
    model = Saying(*PIECES, compute=lambda: autojump_clock.jump(0.001))
    chunks, end = await heard(model, 0, takes=0.2)

    assert "".join(chunk.text for chunk in chunks) + end == "".join(PIECES)
    assert max(len(chunk.pieces) for chunk in chunks) <= TOGETHER


async def test_with_an_interval_pieces_are_told_together() -> None:
    """A fast model does not make a frame of every word for every member."""
    chunks, end = await heard(Saying(*PIECES), 0.02)

    assert "".join(chunk.text for chunk in chunks) + end == "".join(PIECES)
    assert not any(chunk.pieces for chunk in chunks)
