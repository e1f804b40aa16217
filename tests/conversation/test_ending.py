"""How a reply ends that its writer has finished."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from server.chat import Turn
from server.conversation.replies import Replies
from server.pipeline import Finish
from tests.in_memory import is_end, let_tellers_rest, running

from .flaky import Flaky
from .test_lasting import of_type
from .test_mending import GUEST, Talking, after_half_a_second


class Hurried:
    """Says two words, and after a while two more and ends, too quickly for the last of them to be told."""

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        for wait in (0.0, 0.001, 5.0, 0.001):
            await trio.sleep(wait)
            yield "word "

    async def aclose(self) -> None: ...


async def test_its_end_is_on_its_way_to_the_store_before_its_writer_is_gone(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversation that waits takes it in the writer's task: that is a turn less until it is durable."""
    tasks: list[str] = []
    take_end = Replies.take_end

    def noted(self: Replies, message: Any) -> None:
        tasks.append(trio.lowlevel.current_task().name)
        take_end(self, message)

    monkeypatch.setattr(Replies, "take_end", noted)
    async with running(Talking) as server:
        client = await server.connect(GUEST, level2=True)
        client.say("hello")
        final = await client.final()

    assert (final["content"], final["finish_reason"]) == ("you said hello", "stop")
    assert [name.rpartition("/")[2] for name in tasks] == ["reply-1: write"]


@pytest.mark.parametrize("how", ["full", "failing"])
@pytest.mark.parametrize("chunk_interval", [0.02, 0])
@pytest.mark.parametrize("fails_after", [0.5, 5.0005])
async def test_while_the_store_fails_the_last_words_come_without_their_end(
    fails_after: float,
    chunk_interval: float,
    how: str,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may fail for long, or have failed for long already, and what was said can be read meanwhile."""
    let_tellers_rest(monkeypatch, 0.02)
    store = Flaky()
    async with running(Hurried, store=store, chunk_interval=chunk_interval) as server:
        client = await server.connect(f"{GUEST}&stream=delta", level2=True)
        client.say("hello")
        await trio.sleep(fails_after)
        setattr(store, how, True)
        await trio.sleep(10)
        late = await server.connect(f"{GUEST}&stream=delta", level2=True)
        shown = await late.receive()
        client.send({"type": "ping"})
        before = await client.until(of_type("pong"))
        setattr(store, how, False)
        after = await client.until(is_end)
        assert (await late.until(is_end))[-1] == after[-1]

    said = [frame["data"] for frame in before if frame["type"] == "response"]
    assert not any(data.get("is_final") for data in said)
    assert "".join(data["delta"] for data in said) == shown["data"]["delta"] == "word word word word "
    assert [frame["data"]["delta"] for frame in after if frame["type"] == "response"] == [""]


async def test_who_joins_while_it_ends_is_told_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the end tells is told by it."""
    let_tellers_rest(monkeypatch, 0.02)
    async with running(Hurried, chunk_interval=0, execute_write=after_half_a_second) as server:
        client = await server.connect(f"{GUEST}&stream=delta", level2=True)
        client.say("hello")
        await trio.sleep(5.75)
        late = await server.connect(f"{GUEST}&stream=delta", level2=True)
        await client.until(is_end)
        said = [f["data"] for f in await late.until(is_end) if f["type"] == "response"]

    assert "".join(data["delta"] for data in said) == "word word word word "


async def test_the_last_words_of_one_reply_are_not_those_of_the_next(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next may be stopped, and then its end brings none."""
    let_tellers_rest(monkeypatch, 0.02)
    async with running(Hurried, chunk_interval=0) as server:
        client = await server.connect(f"{GUEST}&stream=delta", level2=True)
        client.say("hello")
        await client.until(is_end)
        client.say("again")
        await client.until(of_type("response"))
        await trio.sleep(1.0)
        client.send({"type": "stop"})
        said = [f["data"] for f in await client.until(is_end) if f["type"] == "response"]

    assert [(data["offset"], data["delta"]) for data in said] == [(5, "word "), (10, "")]
