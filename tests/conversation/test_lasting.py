"""A conversation and its store: what lasts, what is told, and what happens while the store fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.chat import Turn
from server.config import Config, Timeouts
from server.messages import Commit, HistoryTrimmed
from server.pipeline import EchoModel, Finish
from tests.in_memory import Frame, Socket, is_end, running

from .flaky import Flaky

POISON = HistoryTrimmed(cast(Any, "no number"), 0)
"""A message of which its conversation crashes."""


def says(text: str) -> Callable[[Frame], bool]:
    """Whether a reply has come so far."""
    return lambda frame: frame.get("type") == "response" and text in frame["data"]["content"]


def seqs(frames: list[Frame]) -> list[int]:
    return [f["data"]["seq"] for f in frames if "seq" in f.get("data", {})]


class Scripted:
    """`drip` says a word a second, for ever; `wait` a word, and then nothing; the rest comes back."""

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        match turn.text:
            case "drip":
                for number in range(len(turn.so_far.split()), 1000):
                    yield f"{number} "
                    await trio.sleep(1)
            case "wait":
                yield "so far"
                await trio.sleep(50)
            case _:
                yield turn.text

    async def aclose(self) -> None: ...


def of_type(*types: str) -> Any:
    return lambda frame: frame.get("type") in types


async def next_of(client: Socket, *types: str) -> Frame:
    """The next frame of one of *types*."""
    return (await client.until(of_type(*types)))[-1]


async def test_what_was_said_outlives_its_server(autojump_clock: MockClock) -> None:
    """A new process on the same store goes on with ids and seqs, and its pipelines look back."""
    store = Flaky()
    async with running(EchoModel, store=store) as server:
        client = await server.connect(level2=True)
        client.say("one", client_msg_id="a")
        ack = await next_of(client, "ack")
        await client.final()
    async with running(EchoModel, store=store) as server:
        client = await server.connect(f"cursor={client.connected['cursor']}", level2=True)
        assert client.connected["resumed"] is True
        missed = [await client.receive(), await client.receive()]
        client.say("one", client_msg_id="a")
        again = await next_of(client, "ack")
        client.say("two")
        assert (await client.final())["id"] == 4

    assert [frame["data"]["seq"] for frame in missed] == [1, 2]
    assert again == {**ack, "duplicate": True}


async def test_a_failing_store_means_an_error_and_no_ack(autojump_clock: MockClock) -> None:
    """Whoever sends hears so at once, readers go on, and nobody has to restart anything."""
    store = Flaky()
    async with running(Scripted, store=store) as server:
        reader, writer = await server.connect(level2=True), await server.connect(level2=True)
        writer.say("drip")
        await reader.until(of_type("response"))
        store.failing = True
        writer.say("lost?", client_msg_id="x")
        error = await next_of(writer, "error")
        await reader.until(says("9 "))
        store.failing = False
        await trio.sleep(2)
        writer.say("lost?", client_msg_id="x")
        ack = await next_of(writer, "ack")

    assert (error["code"], error["retry"], error["client_msg_id"]) == ("store_failing", True, "x")
    assert ack["duplicate"] is False


async def test_a_message_whose_commit_nobody_confirmed_is_told_and_answered(
    autojump_clock: MockClock,
) -> None:
    """It was durable after all: the retry is a duplicate, and all see it once, in order."""
    store = Flaky()
    async with running(EchoModel, store=store) as server:
        client, other = await server.connect(level2=True), await server.connect(level2=True)
        store.forgetful = True
        client.say("hello", client_msg_id="x")
        await next_of(client, "error")
        store.forgetful = False
        client.say("hello", client_msg_id="x")
        ack = await next_of(client, "ack")
        frames = await other.until(is_end)

    assert (ack["id"], ack["seq"], ack["duplicate"]) == (1, 1, True)
    facts = seqs(frames)
    assert facts == [1, 2]


async def test_a_reply_that_can_not_be_ended_durably_ends_once_it_can(autojump_clock: MockClock) -> None:
    """Its end bears a seq, so it must not leave before; but it is not forgotten either."""
    store = Flaky()
    async with running(Scripted, store=store) as server:
        client = await server.connect(level2=True)
        client.say("wait")
        await next_of(client, "response")
        store.failing = True
        await trio.sleep(100)
        store.failing = False
        end = await client.final()

    assert (end["content"], end["finish_reason"], end["seq"]) == ("so far", "stop", 2)


async def test_a_crash_of_the_storage_actor_closes_no_socket(autojump_clock: MockClock) -> None:
    """It is mended within a second, and what was under way is answered or tried again."""
    async with running(EchoModel) as server:
        client = await server.connect(level2=True)
        await server.find("triologue/storage").tell(Commit(cast(Any, None)))
        await wait_all_tasks_blocked()
        for number in range(3):
            client.say(f"number {number}", client_msg_id=str(number))
        with trio.fail_after(2):
            for _ in range(3):
                frame = await next_of(client, "ack", "error")
                assert frame["type"] == "ack" or frame["retry"]


async def test_a_crashed_conversation_tells_nothing_twice_and_leaves_nothing_out(
    autojump_clock: MockClock,
) -> None:
    """Its members stay, and the reply that it lost ends as failed."""
    async with running(Scripted) as server:
        client = await server.connect("session_id=s", level2=True)
        client.say("hello")
        frames = await client.until(is_end)
        client.say("wait")
        frames += await client.until(of_type("response"))
        (address,) = [a for a in server.addresses("/person/s") if "#" in a]
        await server.find(address).tell(POISON)
        with trio.fail_after(2):
            frames += await client.until(is_end)
        client.say("again")
        frames += await client.until(is_end)

    assert seqs(frames) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert [f["data"]["finish_reason"] for f in frames if is_end(f)] == ["stop", "error", "stop"]


async def test_a_running_reply_outlives_its_socket(autojump_clock: MockClock) -> None:
    """Whoever comes back gets it as it stands, and the rest as it comes."""
    async with running(Scripted) as server:
        client = await server.connect(level2=True)
        client.say("drip")
        await client.until(says("3 "))
        client.leave()
        await trio.sleep(5.5)
        back = await server.connect("stream=delta&cursor=" + client.connected["cursor"], level2=True)
        assert (await back.receive())["type"] == "user_message"
        standing, more = await back.receive(), await back.receive()

    assert standing["data"]["offset"] == 0
    assert standing["data"]["delta"].split()[-1] == "8"
    assert more["data"]["delta"] == "9 "
    assert more["data"]["offset"] == len(standing["data"]["delta"])


@pytest.mark.parametrize("grace", [0.0, 10.0])
async def test_a_reply_for_nobody_stops_if_its_pipeline_wants_that(
    grace: float, autojump_clock: MockClock
) -> None:
    """An answer costs money, also one that nobody reads."""
    store = Flaky()
    async with running(Scripted, store=store, unheard=grace) as server:
        client = await server.connect("session_id=s", level2=True)
        client.say("drip")
        await next_of(client, "response")
        client.leave()
        await trio.sleep(grace + 1)
        back = await server.connect("session_id=s&cursor=" + client.connected["cursor"], level2=True)
        end = await back.final()

    assert end["finish_reason"] == "stopped"


async def test_who_comes_back_within_the_grace_keeps_the_reply(autojump_clock: MockClock) -> None:
    """A lost network is no lost interest."""
    async with running(Scripted, unheard=10.0) as server:
        client = await server.connect(level2=True)
        client.say("drip")
        await next_of(client, "response")
        client.leave()
        await trio.sleep(9)
        back = await server.connect(level2=True)
        await back.until(says("30 "))


async def test_questions_that_waited_are_answered_by_the_next_process(autojump_clock: MockClock) -> None:
    """They were acknowledged: a restart is no reason to forget them."""
    store = Flaky()
    async with running(Scripted, Config(timeouts=Timeouts(drain=1.0)), store=store) as server:
        client = await server.connect(level2=True)
        client.say("drip")
        client.say("later")
        await client.until(of_type("response"))
        server.draining.set()
        end = await client.final()
        assert await client.receive() == {"closed": 1012}
    async with running(Scripted, store=store) as server:
        back = await server.connect("cursor=" + client.connected["cursor"], level2=True)
        frames = await back.until(lambda f: is_end(f) and f["data"]["content"] == "later")

    assert end["finish_reason"] == "interrupted"
    assert seqs(frames) == [1, 2, 3, 4]


async def test_a_reply_can_be_gone_on_with_by_the_next_process(autojump_clock: MockClock) -> None:
    """Where the pipeline can: same id, same timestamp, and the text goes on where it was."""
    store = Flaky()
    async with running(Scripted, Config(timeouts=Timeouts(drain=1.0)), store=store, resumes=True) as server:
        client = await server.connect(level2=True)
        client.say("drip")
        first = (await client.until(of_type("response")))[-1]["data"]
        server.draining.set()
        frames = await client.until(lambda f: "closed" in f)
    async with running(Scripted, store=store, resumes=True) as server:
        back = await server.connect("cursor=" + client.connected["cursor"], level2=True)
        goes_on = (await back.until(says("9 ")))[-1]["data"]

    assert not any(f["data"]["is_final"] for f in frames if f.get("type") == "response")
    assert (goes_on["id"], goes_on["timestamp"]) == (first["id"], first["timestamp"])
    assert goes_on["content"] == "".join(f"{n} " for n in range(10))


async def test_a_process_that_dies_in_mid_reply_leaves_a_final_message(autojump_clock: MockClock) -> None:
    """Not a hanging one; what was saved of it stays, marked."""
    store = Flaky()
    with trio.CancelScope() as death:
        async with running(Scripted, store=store) as server:
            client = await server.connect(level2=True)
            client.say("drip")
            await client.until(says("5 "))
            store.failing = True  # a dead process writes nothing any more
            death.cancel()
            await trio.sleep_forever()
    store.failing = False
    async with running(Scripted, store=store) as server:
        back = await server.connect("cursor=" + client.connected["cursor"], level2=True)
        end = await back.final()

    assert end["finish_reason"] == "interrupted"
    assert end["content"].startswith("0 1 2 3 ")
