"""When the reply to a question begins: with it if nothing is before it, else in its turn."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from server.chat import BeginReply, Post
from server.config import Config, Timeouts
from tests.in_memory import running

from .flaky import Flaky
from .test_lasting import POISON, next_of, of_type
from .test_mending import GUEST, PICTURE, Talking, after_half_a_second, allowance_taken, asked, conversation


async def test_a_reply_begins_in_the_commit_of_its_question(autojump_clock: MockClock) -> None:
    """So its first word waits for one commit instead of two."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        await asked(client, "one", "a")
        await client.final()
        await asked(client, "two", "b")
        second = await client.final()

    kinds = [type(command).__name__ for command in store.written]
    assert kinds == ["Post", "EndReply"] * 2
    assert (second["reply_to"], second["id"]) == (3, 4)


async def test_one_with_a_picture_waits_until_its_reply_begins(autojump_clock: MockClock) -> None:
    """Whatever happens in between, who answers is to see the picture, which is kept that long alone."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        client.send({"type": "message", "message": [PICTURE]})
        await client.final()

    assert [type(command) for command in store.written[:2]] == [Post, BeginReply]


async def test_each_is_answered_in_its_turn(autojump_clock: MockClock) -> None:
    """Those that are said while another is on its way to the store wait behind it."""
    async with running(Talking, store=Flaky(), execute_write=after_half_a_second) as server:
        client = await server.connect(GUEST, level2=True)
        for text in ("one", "two", "three"):
            client.say(text)
            await trio.sleep(0.1)
        answers = [await client.final() for _ in range(3)]

    assert [answer["content"] for answer in answers] == ["you said one", "you said two", "you said three"]


async def test_a_crash_before_the_answer_of_the_store_loses_no_reply(autojump_clock: MockClock) -> None:
    """It has begun, though nobody heard so: no pipeline was asked, so it is asked now, and once."""
    store = Flaky()
    async with running(Talking, store=store, execute_write=after_half_a_second) as server:
        client = await server.connect(GUEST, level2=True)
        client.say("hello")
        await trio.sleep(0.1)
        await conversation(server).tell(POISON)
        answer = await client.final()
        await trio.sleep(5)
        assert allowance_taken(server) == 0

    assert (answer["content"], answer["finish_reason"]) == ("you said hello", "stop")
    assert [type(command).__name__ for command in store.written] == ["Post", "EndReply"]


async def test_a_post_that_nobody_confirmed_is_answered(autojump_clock: MockClock) -> None:
    """Its sender is told to try again; then it was there already, and its reply too."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        store.forgetful = True
        client.say("hello", client_msg_id="a")
        await client.until(of_type("error"))
        store.forgetful = False
        answer = await client.final()
        client.say("hello", client_msg_id="a")
        assert (await next_of(client, "ack"))["duplicate"]

    assert answer["content"] == "you said hello"
    assert [type(command).__name__ for command in store.written].count("Post") == 2


async def test_what_is_not_taken_lets_the_next_begin(autojump_clock: MockClock) -> None:
    """A retry of what is there already is no question."""
    async with running(Talking, store=Flaky()) as server:
        client = await server.connect(GUEST, level2=True)
        await asked(client, "one", "a")
        await client.final()
        client.say("one", client_msg_id="a")
        client.say("two")
        answer = await client.final()

    assert answer["content"] == "you said two"


@pytest.mark.parametrize("resumes", [False, True])
async def test_a_reply_that_begins_in_a_drain_has_its_time(autojump_clock: MockClock, resumes: bool) -> None:
    """Its question was on its way to the store when the word came."""
    config = Config(timeouts=Timeouts(drain=20.0))
    async with running(Talking, config, execute_write=after_half_a_second, resumes=resumes) as server:
        client = await server.connect(GUEST, level2=True)
        client.say("hello")
        await trio.sleep(0.1)
        server.draining.set()
        end = await client.final()

    assert (end["content"], end["finish_reason"]) == ("you said hello", "stop")


async def test_a_large_question_is_answered_whole(autojump_clock: MockClock) -> None:
    """Though memory keeps only its beginning, and though nobody heard that it was stored."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        store.forgetful = True
        client.say("x" * 600_000)
        await client.until(of_type("error"))
        store.forgetful = False
        answer = await client.final()

    assert len(answer["content"]) == len("you said ") + 600_000
