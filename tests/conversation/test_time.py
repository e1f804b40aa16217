"""What only time brings about, by a mock clock: hours pass in an instant."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from server.chat import BeginReply, SaveReply, Turn
from server.config import Config, History, Timeouts
from server.pipeline import EchoModel, Finish
from tests.in_memory import running

from .flaky import Flaky


class Patient:
    """A model that takes its time: `silent`, `drip` (a word a second), or `deaf` (to cancellation)."""

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        match turn.text:
            case "silent":
                await trio.sleep_forever()
            case "drip":
                while True:
                    yield "drip "
                    await trio.sleep(1)
            case "deaf":
                with trio.CancelScope(shield=True):
                    await trio.sleep(10_000)
            case _:
                yield turn.text

    async def aclose(self) -> None: ...


async def test_a_silent_reply_ends_after_its_idle_time_out(autojump_clock: MockClock) -> None:
    """A hung upstream frees its conversation."""
    async with running(Patient) as server:
        client = await server.connect()
        client.say("silent")
        asked = trio.current_time()
        end = await client.final()
        assert trio.current_time() - asked == pytest.approx(60.0, abs=0.1)
        client.say("next")
        assert (await client.final())["content"] == "next"

    assert end["finish_reason"] == "error"
    assert end["content"] == "Sorry, the answer took too long."


async def test_a_reply_that_never_ends_is_cut_at_its_total_time_out(autojump_clock: MockClock) -> None:
    """What came stays."""
    async with running(Patient) as server:
        client = await server.connect()
        client.say("drip")
        asked = trio.current_time()
        end = await client.final()
        assert trio.current_time() - asked == pytest.approx(600.0, abs=0.1)

    assert end["finish_reason"] == "error"
    assert end["content"] == "drip " * 601  # the last in the very moment


async def test_even_a_reply_that_swallows_cancellation_frees_its_conversation(
    autojump_clock: MockClock,
) -> None:
    """Its task can't be ended, but nobody waits for it."""
    async with running(Patient) as server:
        client = await server.connect()
        client.say("deaf")
        end = await client.final()
        assert end["finish_reason"] == "error"
        client.say("next")
        assert (await client.final())["content"] == "next"
        await trio.sleep(10_000)


async def test_a_conversation_nobody_used_for_long_leaves(autojump_clock: MockClock) -> None:
    """Its memory is given back; who comes later finds it whole."""
    async with running(EchoModel) as server:
        client = await server.connect("session_id=old")
        client.say("hello")
        await client.final()
        client.leave()
        await trio.sleep(250)
        assert server.addresses("/person/old")
        await trio.sleep(1_000)
        assert not server.addresses("/person/old")
        again = await server.connect("session_id=old")
        again.say("where were we?")
        assert (await again.receive())["data"]["id"] == 3


async def test_a_conversation_with_somebody_in_it_stays(autojump_clock: MockClock) -> None:
    """Silence is no absence."""
    async with running(EchoModel) as server:
        client = await server.connect("session_id=quiet")
        client.say("hello")
        await client.final()
        await trio.sleep(10 * 86_400)
        client.say("again")
        assert (await client.final())["id"] == 4


async def test_unused_conversations_leave_in_the_order_they_were_left(autojump_clock: MockClock) -> None:
    """Each has its own day."""
    async with running(EchoModel, Config(history=History(idle=1000.0))) as server:
        for name in ("a", "b"):
            client = await server.connect(f"session_id={name}")
            client.leave()
            await trio.sleep(500)
        await trio.sleep(100)
        assert not server.addresses("/person/a")
        assert server.addresses("/person/b")


async def test_a_drain_gives_replies_their_time_and_then_closes(autojump_clock: MockClock) -> None:
    """Finished where it can be, interrupted where not, and 1012 last; who waits, waits for a successor."""
    async with running(Patient, Config(timeouts=Timeouts(drain=5.0))) as server:
        slow, idle = await server.connect("session_id=slow"), await server.connect("session_id=idle")
        slow.say("drip")
        slow.say("waiting behind it")
        await slow.until(lambda frame: frame["type"] == "response")
        begun = trio.current_time()
        server.draining.set()
        interrupted = await slow.final()
        assert trio.current_time() - begun == pytest.approx(5.0, abs=0.1)
        assert await slow.receive() == {"closed": 1012}
        assert await idle.receive() == {"closed": 1012}

    assert interrupted["finish_reason"] == "interrupted"
    assert interrupted["content"].startswith("drip drip ")


async def test_replies_are_saved_together(autojump_clock: MockClock) -> None:
    """One commit does for all that are being written just then, and none waits longer than a checkpoint."""
    store = Flaky()
    async with running(Patient, store=store) as server:
        for number in range(8):
            client = await server.connect(f"session_id={number}")
            client.say("drip")
            await trio.sleep(0.11)
        await trio.sleep(10)

    saves = [command for command in store.written if isinstance(command, SaveReply)]
    begun = {c.key: c.at for c in reversed(store.written) if isinstance(c, BeginReply)}
    first = {c.key: c.at for c in reversed(saves)}
    assert len(saves) >= 70
    assert len({save.at for save in saves}) <= 44
    assert len(first) == 8
    assert all(first[key] - at <= timedelta(seconds=1.01) for key, at in begun.items())


async def test_no_timer_outlives_its_reply(autojump_clock: MockClock) -> None:
    """A thousand quick replies must not leave a thousand sleeping tasks behind."""
    async with running(EchoModel) as server:
        client = await server.connect()
        before = _tasks()
        for _ in range(100):
            client.say("hello")
            await client.final()
        await trio.testing.wait_all_tasks_blocked()
        assert _tasks() <= before + 1


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living
