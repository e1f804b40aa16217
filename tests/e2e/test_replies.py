"""How replies queue, fail and end, whatever the pipeline does, against a real process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from .client import Client, Frame, connect, is_final
from .running import DOWN, ECHO, SCRIPT, SLOW, Triologue


def finals(frames: list[Frame]) -> list[dict[str, Any]]:
    return [frame["data"] for frame in frames if is_final(frame)]


async def collect(client: Client, replies: int) -> list[Frame]:
    """Every frame up to and with the end of so many replies."""
    frames: list[Frame] = []
    while len(finals(frames)) < replies:
        frames.append(await client.receive())
    return frames


async def test_replies_come_one_at_a_time_in_the_order_of_their_questions(
    triologue: Triologue, session: str
) -> None:
    """Every message is answered once, and no two replies run into each other."""
    async with connect(triologue.socket_url(SLOW, session)) as client:
        for number in range(10):
            await client.say(f"number {number} of ten")
        frames = await collect(client, 10)

    assert [reply["content"] for reply in finals(frames)] == [f"number {n} of ten" for n in range(10)]
    order = [frame["data"]["id"] for frame in frames if frame["type"] == "response"]
    assert order == sorted(order)


async def test_ids_never_collide_while_a_reply_streams(triologue: Triologue, session: str) -> None:
    """Messages that arrive during a reply take ids of their own, for all who watch."""
    url = triologue.socket_url(SLOW, f"session_type=group&{session}")
    async with connect(url) as alice, connect(url) as bob:
        for number in range(8):
            await alice.say(f"alice says number {number}")
            await bob.say(f"bob says number {number}")
        seen = [await collect(client, 16) for client in (alice, bob)]

    for frames in seen:
        users = [f["data"]["id"] for f in frames if f["type"] == "user_message"]
        replies = [reply["id"] for reply in finals(frames)]
        assert len({*users, *replies}) == 32
        assert max(*users, *replies) == 32
        chunks = {f["data"]["id"] for f in frames if f["type"] == "response"}
        assert chunks == set(replies)


async def test_two_conversations_are_answered_at_once(triologue: Triologue, tmp_path: Path) -> None:
    """A long reply in one holds up nobody in another."""
    gate = tmp_path / "gate"
    async with (
        connect(triologue.socket_url(SCRIPT, f"session_id=first-{triologue.way}")) as first,
        connect(triologue.socket_url(SCRIPT, f"session_id=second-{triologue.way}")) as second,
    ):
        await first.say(f"gate {gate}")
        await first.until(lambda frame: frame["type"] == "response")
        await second.say("say hello")
        assert (await second.until_final())[-1]["data"]["content"] == "hello "
        gate.touch()
        assert (await first.until_final())[-1]["data"]["content"] == "waiting done"


async def test_sixteen_messages_wait_and_the_next_hears_busy(
    triologue: Triologue, session: str, tmp_path: Path
) -> None:
    """Nobody fills the server with questions; what was accepted is answered."""
    gate = tmp_path / "gate"
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say(f"gate {gate}")
        for number in range(17):
            await client.say(f"say {number}")
        frames = await client.until(lambda frame: frame["type"] == "error")
        gate.touch()
        replies = finals(await collect(client, 17))

    error = frames[-1]
    assert (error["code"], error["retry"]) == ("busy", True)
    assert [r["content"] for r in replies] == ["waiting done", *(f"{n} " for n in range(16))]


async def test_a_crashing_pipeline_ends_its_reply_with_what_came(triologue: Triologue, session: str) -> None:
    """The client sees an end without the reason's text, and the conversation goes on."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("crash")
        frames = await client.until_final()
        await client.say("say again")
        assert (await client.until_final())[-1]["data"]["content"] == "again "

    final = frames[-1]["data"]
    assert (final["content"], final["finish_reason"]) == ("so far", "error")
    assert "swordfish" not in str(frames)
    assert not any(frame["type"] == "error" for frame in frames)


async def test_a_hanging_pipeline_frees_its_conversation(triologue: Triologue, session: str) -> None:
    """Its idle time-out ends the reply; the next message is answered."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("hang")
        await client.say("say next")
        hung, answered = finals(await collect(client, 2))

    assert (hung["content"], hung["finish_reason"]) == ("so far", "error")
    assert (answered["content"], answered["finish_reason"]) == ("next ", "stop")


async def test_an_upstream_that_is_down_is_told_in_one_sentence(triologue: Triologue, session: str) -> None:
    """No key, no address, no error frame: levels 0 and 1 take any error for a lost connection."""
    async with connect(triologue.socket_url(DOWN, session)) as client:
        await client.say("anybody there?")
        frames = await client.until_final()

    final = frames[-1]["data"]
    assert final["finish_reason"] == "error"
    assert final["content"].startswith("Sorry, ")
    assert "hunter2" not in str(frames) + triologue.output
    assert [frame["type"] for frame in frames] == ["user_message", "response"]


async def test_a_silent_pipeline_still_ends_its_reply(triologue: Triologue, session: str) -> None:
    """An empty answer is an answer."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("silent")
        assert (await client.until_final())[-1]["data"]["content"] == ""


async def test_what_is_no_unicode_is_replaced(triologue: Triologue, session: str) -> None:
    """A pipeline's lone surrogate must not cost anybody the socket."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("surrogate")
        assert (await client.until_final())[-1]["data"]["content"] == "a\ufffdb"
        await client.say("halves")
        assert (await client.until_final())[-1]["data"]["content"] == "😀\ufffd"


async def test_a_pipeline_sees_the_history_before_its_question(triologue: Triologue, session: str) -> None:
    """Both roles, oldest first, without the question itself."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("say one")
        await client.until_final()
        await client.say("history")
        content = (await client.until_final())[-1]["data"]["content"]

    assert content == "1:user:say one | 2:assistant:one "


async def test_that_the_asker_leaves_does_not_stop_the_reply(
    triologue: Triologue, session: str, tmp_path: Path
) -> None:
    """Whoever is still there, or comes back, finds the whole answer."""
    gate = tmp_path / "gate"
    url = triologue.socket_url(SCRIPT, f"session_type=group&{session}")
    async with connect(url) as asker:
        await asker.say(f"gate {gate}")
        await asker.until(lambda frame: frame["type"] == "response")
    async with connect(url) as later:
        so_far = await later.receive()
        gate.touch()
        assert (await later.until_final())[-1]["data"]["content"] == "waiting done"

    assert (so_far["data"]["content"], so_far["data"]["is_final"]) == ("waiting ", False)


async def test_a_client_that_vanishes_in_mid_stream_disturbs_nobody(
    triologue: Triologue, session: str
) -> None:
    """A reset socket in a fan-out is that socket's own end."""
    url = triologue.socket_url(SLOW, f"session_type=group&{session}")
    async with connect(url) as staying:
        async with connect(url) as vanishing:
            await vanishing.say("a rather long message with many words in it")
            await vanishing.until(lambda frame: frame["type"] == "response")
            await trio.aclose_forcefully(vanishing.socket._stream)
        final = (await staying.until_final())[-1]["data"]

    assert final["content"] == "a rather long message with many words in it"


async def test_five_clients_talk_at_once(triologue: Triologue) -> None:
    """The document's `--multi 5`, each in a conversation of its own."""

    async def talk(number: int) -> None:
        url = triologue.socket_url(ECHO, f"session_id=five-{triologue.way}-{number}")
        async with connect(url) as client:
            for turn in range(20):
                await client.say(f"client {number} turn {turn}")
                assert (await client.until_final())[-1]["data"]["content"] == f"client {number} turn {turn}"

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(talk, number)


@pytest.mark.parametrize("text", ["\x00", "\u202egnp.exe", "👩‍👩‍👧‍👦", "x" * 1_000_000, "a\r\nb\u2028c"])
async def test_any_text_comes_back_as_it_was(triologue: Triologue, session: str, text: str) -> None:
    """Text is text: NUL, direction marks, joined emoji, a megabyte."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.say(text, stream=False)
        assert (await client.until_final())[-1]["data"]["content"] == text
