"""A crash is its own actor's, told to those it concerns, mended, and seen by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from actors import ActorDied
from server.assembly import World
from server.chat import ConversationKey, Draining
from server.messages import (
    Activate,
    Broadcast,
    Deliver,
    Drain,
    Event,
    Find,
    HistoryTrimmed,
    Open,
    Quiesce,
    Register,
)

from .client import connect, is_final, refused
from .embedded import Embedded, embedded
from .running import ECHO, PIPELINES, SCRIPT

POISON = HistoryTrimmed(cast(Any, "no number"), 0)
"""A message of which its conversation crashes."""


def the(server: Embedded, part: str) -> Any:
    """The one actor at the address *part*, or else the one whose address has *part* in it."""
    address = part if part in server.addresses(part) else "".join(server.addresses(part))
    ref = server.app.system.find(address)
    assert ref is not None
    return ref


async def crash_conversation(server: Embedded, part: str) -> None:
    ref = the(server, part)
    restarts = restarts_of(server, ref.address)
    await ref.tell(POISON)
    while restarts_of(server, ref.address) == restarts:
        await trio.lowlevel.checkpoint()


def restarts_of(server: Embedded, address: str) -> int:
    view = server.app.system.actor(address)
    assert view is not None
    return view.restarts


async def test_a_crashed_connection_is_closed_with_1011_and_nobody_else_notices(tmp_path: Path) -> None:
    """Our fault: its client may come back at once; the group goes on."""
    async with embedded(tmp_path) as server:
        url = server.socket_url(ECHO, "session_type=group")
        async with connect(url) as victim, connect(url) as witness:
            the(server, f"/connections/{victim.connected['connection_id']}").tell_nowait(Deliver(Event()))
            assert await victim.until_closed() == ([], 1011)
            await witness.say("still here")
            frames = await witness.until_final()
            assert [frame["type"] for frame in frames if frame["type"] != "response"] == ["user_message"]
            while server.addresses(f"/connections/{victim.connected['connection_id']}"):
                await trio.lowlevel.checkpoint()


async def test_a_crashed_conversation_comes_back_with_its_members_and_history(tmp_path: Path) -> None:
    """The running reply ends as failed, ids go on, no socket closes, other conversations notice nothing."""
    async with (
        embedded(tmp_path) as server,
        connect(server.socket_url(SCRIPT, "session_id=crashing")) as member,
        connect(server.socket_url(SCRIPT, "session_id=other")) as bystander,
    ):
        await member.say("say before")
        await member.until_final()
        await member.say("hang")
        await member.until(lambda frame: frame["type"] == "response")
        await member.say("say waiting")
        await crash_conversation(server, "/person/crashing")

        cut_off = (await member.until(is_final))[-1]["data"]
        assert (cut_off["id"], cut_off["content"], cut_off["finish_reason"]) == (4, "so far", "error")
        waited = (await member.until(is_final))[-1]["data"]
        assert waited["content"] == "waiting "
        await member.say("history")
        history = (await member.until_final())[-1]["data"]
        assert history["content"].startswith("1:user:say before | 2:assistant:before ")
        await bystander.send({"type": "ping"})
        assert (await bystander.receive())["type"] == "pong"


async def test_a_storm_of_crashes_in_one_conversation_is_no_other_ones_trouble(tmp_path: Path) -> None:
    """Not even its supervisor's: the budget forgives more than one conversation can crash."""
    async with (
        embedded(tmp_path) as server,
        connect(server.socket_url(ECHO, "session_id=storm")) as member,
        connect(server.socket_url(ECHO, "session_id=calm")) as bystander,
    ):
        for _ in range(12):
            await crash_conversation(server, "/person/storm")
        for client in (member, bystander):
            await client.say("after the storm")
            assert (await client.until_final())[-1]["data"]["content"] == "after the storm"


async def test_a_crashed_registry_still_knows_everybody(tmp_path: Path) -> None:
    """Broadcasts reach the sockets that were there before."""
    async with embedded(tmp_path) as server, connect(server.socket_url(ECHO)) as client:
        registry = the(server, "triologue/registry")
        bad: Any = None
        with pytest.raises(ActorDied):
            await registry.ask(Register(bad), timeout=5)
        assert await registry.ask(Broadcast(ECHO, "hello again"), timeout=5) == 1
        assert (await client.receive())["message"] == "hello again"


async def test_sockets_of_a_lost_directory_are_closed_to_come_back(tmp_path: Path) -> None:
    """With it go its conversations; a socket that belongs to none must not stay open, deaf."""
    async with embedded(tmp_path) as server:
        async with connect(server.socket_url(ECHO)) as client:
            bad: Any = None
            with pytest.raises(ActorDied):
                await the(server, "triologue/conversations").ask(_crashing_find(bad), timeout=5)
            assert (await client.until_closed())[1] == 1011
        async with connect(server.socket_url(ECHO)) as client:
            await client.say("back again")
            assert (await client.until_final())[-1]["data"]["content"] == "back again"


def _crashing_find(bad: Any) -> Find:
    return Find([bad])  # type: ignore[arg-type]  # a key that can't be hashed


@pytest.mark.parametrize("limit", [1, 3])
async def test_conversations_are_bounded_and_the_longest_unused_makes_room(
    tmp_path: Path, limit: int
) -> None:
    """A session id that a stranger invents costs one place among the unused."""
    settings = f"[history]\nconversations = {limit}\n" + PIPELINES
    async with embedded(tmp_path, settings) as server:
        for number in range(10):
            async with connect(server.socket_url(ECHO, f"session_id=n{number}")) as client:
                await client.say("hello")
                await client.until_final()
            while server.addresses("/connections/"):
                await trio.lowlevel.checkpoint()
        kept = sorted(a.rpartition("/")[2].partition("#")[0] for a in server.addresses("/person/"))
        assert kept == [f"n{number}" for number in range(10 - limit, 10)]


async def test_a_full_house_refuses_with_1013(tmp_path: Path) -> None:
    """So many sockets and no more; who leaves makes room."""
    settings = "[limits]\nconnections = 2\n" + PIPELINES
    async with embedded(tmp_path, settings) as server:
        async with connect(server.socket_url(ECHO)), connect(server.socket_url(ECHO)):
            assert await refusal(server, "session_id=a") == (["full"], 1013)
        while server.addresses("/connections/"):
            await trio.lowlevel.checkpoint()
        async with connect(server.socket_url(ECHO)) as client:
            await client.ping()


async def test_sockets_that_do_nothing_keep_nobody_out(tmp_path: Path) -> None:
    """A stranger with a session id for each place of the history is not in the way of the shared one."""
    settings = "[history]\nconversations = 2\n" + PIPELINES
    async with embedded(tmp_path, settings) as server, trio.open_nursery() as nursery:
        for number in range(4):
            await nursery.start(hold, server.socket_url(ECHO, f"session_id=idle{number}"))
        async with connect(server.socket_url(ECHO)) as client:
            await client.say("hello")
            assert (await client.until_final())[-1]["data"]["content"] == "hello"
        nursery.cancel_scope.cancel()


async def hold(url: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    async with connect(url, seconds=60):
        task_status.started()
        await trio.sleep_forever()


async def test_replies_that_nobody_waits_for_are_bounded(tmp_path: Path) -> None:
    """Each may run on for its time, but they take no more places than unused conversations may."""
    settings = "[history]\nconversations = 1\n" + PIPELINES.replace(
        "idle_timeout = 1.0", "idle_timeout = 60.0"
    )
    async with embedded(tmp_path, settings) as server:
        async with connect(server.socket_url(SCRIPT, "session_id=a")) as client:
            await client.say("hang")
            await client.until(lambda frame: frame["type"] == "response")
        while server.addresses("/connections/"):
            await trio.lowlevel.checkpoint()
        assert await refusal(server, "session_id=b") == (["full"], 1013)
        async with connect(server.socket_url(SCRIPT, "session_id=a")) as client:
            assert (await client.receive())["data"]["content"] == "so far"


async def test_questions_are_bounded_in_bytes_over_all_conversations(tmp_path: Path) -> None:
    """Pictures that wait for slow replies must not add up; what was refused may be sent again."""
    settings = "[limits]\nqueue_bytes = 100000\n" + PIPELINES
    picture = [{"type": "Plain", "text": "hang "}, {"type": "Image", "base64": "A" * 60_000}]
    async with (
        embedded(tmp_path, settings) as server,
        connect(server.socket_url(SCRIPT, "session_id=a")) as one,
        connect(server.socket_url(SCRIPT, "session_id=b")) as two,
    ):
        await one.send({"type": "message", "message": picture})
        await one.until(lambda frame: frame["type"] == "user_message")
        await two.send({"type": "message", "message": picture})
        assert (await two.receive())["code"] == "busy"
        await one.until_final()
        await two.send({"type": "message", "message": picture})
        assert (await two.receive())["type"] == "user_message"


async def test_a_crashed_conversation_stops_the_reply_it_lost(tmp_path: Path) -> None:
    """One at a time, and no upstream is kept busy for nobody."""
    async with (
        embedded(tmp_path) as server,
        connect(server.socket_url(SCRIPT, "session_id=orphan")) as client,
    ):
        await client.say("gate /nonexistent/gate")
        await client.until(lambda frame: frame["type"] == "response")
        (writer,) = server.addresses("/reply-")
        await crash_conversation(server, "/person/orphan")
        await client.until_final()
        while writer in server.addresses("/reply-"):
            await trio.lowlevel.checkpoint()


async def test_a_crash_does_not_undo_a_drain(tmp_path: Path) -> None:
    """Neither the registry nor the directory takes anybody in because it began anew."""
    async with embedded(tmp_path) as server:
        bad: Any = None
        registry, directory = the(server, "triologue/registry"), the(server, "triologue/conversations")
        await registry.tell(Quiesce())
        await directory.ask(Drain(1.0), timeout=5)
        await registry.tell(Activate([bad]))  # type: ignore[arg-type]  # a key that can't be hashed
        with pytest.raises(ActorDied):
            await directory.ask(_crashing_find(bad), timeout=5)
        with pytest.raises(Draining):
            await directory.ask(Open(ConversationKey(ECHO, "person", "late")), timeout=5)
        assert await refusal(server, "") == (["restarting"], 1012)


async def refusal(server: Embedded, query: str) -> tuple[list[str], int]:
    """The error codes and the close code that a newcomer gets."""
    async with refused(server.socket_url(ECHO, query)) as client:
        frames, code = await client.until_closed()
    return [frame["code"] for frame in frames], code


def test_the_clock_is_in_utc() -> None:
    """Timestamps are compared by clients as text."""
    assert World().now().tzinfo is UTC
    assert abs((World().now() - datetime.now(UTC)).total_seconds()) < 60
