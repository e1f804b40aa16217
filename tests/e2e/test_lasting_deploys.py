"""P8: a server that ends loses no stream; and what one that was killed left open, the next one closes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from .client import connect, is_final
from .crowd import Conversation
from .lazy import lazy
from .level2 import Level2, entered, is_end, seq_of
from .running import Triologue, running
from .stepwise import HASTY, PIPELINES, RESUMING, STEPS, Steps, words

# `drain + 5 s` of the promise, with `drain = 0.5`; and patience for a busy machine.
PROMISE = 5.5
PATIENCE = 10.0
GUEST = "a-guest-with-a-secret"
HINT = re.compile(r"the server is restarting, reconnect_ms=(\d+)")
BOTH = [("serve", "SIGTERM"), ("serve", "drain"), ("hypercorn", "SIGTERM"), ("hypercorn", "drain")]


@pytest.fixture
def ending(way: str, tmp_path: Path) -> Iterator[Triologue]:
    """A server for one test to end."""
    with running(way, tmp_path / "server", PIPELINES) as server:
        yield server


@pytest.fixture(params=["serve"])
def way(request: pytest.FixtureRequest) -> str:
    """How the server is started; tests in which it matters say so."""
    return str(request.param)


async def end(server: Triologue, trigger: str = "SIGTERM") -> None:
    """Have it end in order, in one way or the other."""
    if trigger == "SIGTERM":
        server.terminate()
    else:
        status, _ = await trio.to_thread.run_sync(server.json, "POST", "/api/v1/admin/drain")
        assert status == 202


async def exit_of(server: Triologue) -> int:
    return await trio.to_thread.run_sync(server.wait_exit, PROMISE + PATIENCE)


def is_replaced(server: Triologue, trigger: str) -> bool:
    """Whether hypercorn's parent, which got no signal, puts a new worker in the old one's place."""
    return server.way == "hypercorn" and trigger == "drain"


async def wait_ended(server: Triologue, trigger: str) -> None:
    """Until the process that was to end is gone, in the time that it promises."""
    if is_replaced(server, trigger):
        two_workers = r"(?s)Running on .*Running on "
        await trio.to_thread.run_sync(server.wait_output, two_workers, PROMISE + PATIENCE)
    else:
        assert await exit_of(server) == 0


@contextmanager
def successor_of(server: Triologue, trigger: str) -> Iterator[Triologue]:
    """The server after one that has ended."""
    if is_replaced(server, trigger):
        yield server
    else:
        with running(server.way, server.folder, PIPELINES) as successor:
            yield successor


def hint_of(reason: str) -> int:
    """The milliseconds that a client is to wait."""
    match = HINT.fullmatch(reason)
    assert match is not None, reason
    return int(match[1])


@pytest.mark.parametrize(("way", "trigger"), BOTH, indirect=["way"])
async def test_every_stream_ends_final_before_its_1012(
    ending: Triologue, tmp_path: Path, trigger: str
) -> None:
    """Finished in time or interrupted, in every dialect, and beside a peer that reads nothing at all."""
    quick, endless = Steps(tmp_path / "quick", 3), Steps(tmp_path / "endless", 3)
    one, two = Conversation(STEPS, "person", "quick"), Conversation(STEPS, "group", "endless")
    async with (
        entered(one.url(ending, stream="delta")) as finishing,
        entered(two.url(ending, guest=GUEST)) as cumulative,
        entered(two.url(ending, stream="delta")) as delta,
        connect(two.url(ending)) as document,
    ):
        with lazy(two.url(ending, stream="delta"), ending.port) as deaf:
            for _ in range(3):
                await cumulative.post("x" * 4_000_000, str(seq_of(cumulative.frames[-1])), stream=False)
                await cumulative.end_of()
            await finishing.post(quick.order, "quick")
            await cumulative.post(endless.order, "endless")
            for steps, client in ((quick, finishing), (endless, cumulative), (endless, delta)):
                steps.go(0)
                await client.until_said(words(1))
            await end(ending, trigger)
            await refused_as_restarting(finishing)
            quick.finish()
            farewells = [await client.until_farewell() for client in (finishing, cumulative, delta)]
            frames, code = await document.until_closed()
            await wait_ended(ending, trigger)
        assert deaf.connected["type"] == "connected"

    assert [(code, hint_of(reason) > 0) for _, code, reason in farewells] == [(1012, True)] * 3
    ends = [[f["data"] for f in client.frames if is_end(f)][-1] for client in (finishing, cumulative, delta)]
    assert [(e["content"], e["finish_reason"]) for e in ends] == [
        (quick.whole, "stop"),
        (words(1), "interrupted"),
        (words(1), "interrupted"),
    ]
    assert code == 1012
    assert [f["data"]["finish_reason"] for f in frames if is_final(f)][-1] == "interrupted"


async def refused_as_restarting(client: Level2) -> None:
    """Post until the server takes no more messages, because it ends."""
    for number in range(100_000):
        answer = await client.post("too late?", f"late-{number}")
        if answer["type"] == "error":
            assert answer["retry"] is True
            if answer["code"] == "restarting":
                return


async def test_clients_are_told_to_come_back_at_different_times(ending: Triologue) -> None:
    """A thousand that return in the same millisecond are the next outage."""
    where = Conversation(STEPS, "group", "many")
    hints: list[int] = []
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(entered(where.url(ending))) for _ in range(20)]
        await end(ending)
        for client in clients:
            frames, code, reason = await client.until_farewell()
            assert (frames, code) == ([], 1012)
            hints.append(hint_of(reason))
        assert await exit_of(ending) == 0

    assert all(100 <= hint <= 3000 for hint in hints)
    assert len(set(hints)) > 5


@pytest.mark.parametrize(("way", "trigger"), [BOTH[-1]], indirect=["way"])
async def test_questions_that_waited_are_answered_by_the_next_process(
    ending: Triologue, tmp_path: Path, trigger: str
) -> None:
    """What was acknowledged gets its answer; whoever returns misses nothing in between."""
    endless = Steps(tmp_path / "endless", 2)
    where = Conversation(STEPS, "person", "waiting")
    async with entered(where.url(ending, guest=GUEST)) as client:
        await client.post(endless.order, "running")
        endless.go(0)
        await client.until_said(words(1))
        for name in ("first", "second"):
            await client.post(name, name)
        await end(ending, trigger)
        await client.until_farewell()
        await wait_ended(ending, trigger)
        cursor = client.cursor
        seen = [f["data"]["content"] for f in client.frames if is_end(f)]
    with successor_of(ending, trigger) as successor:
        async with entered(where.url(successor, guest=GUEST, cursor=cursor)) as client:
            assert client.connected["resumed"] is True
            while "second" not in seen:
                seen.append((await client.end_of())["content"])
        history = await trio.to_thread.run_sync(where.history, successor)

    assert seen == [words(1), "first", "second"]
    assert_contiguous(client, cursor)
    answers = [m["finish_reason"] for m in history if m["role"] == "assistant"]
    assert answers == ["interrupted", "stop", "stop"]


def assert_contiguous(client: Level2, cursor: str) -> None:
    seqs = [seq for frame in client.frames if (seq := seq_of(frame)) is not None]
    begin = int(cursor.rpartition(".")[2]) + 1
    assert seqs == list(range(begin, begin + len(seqs)))


@pytest.mark.parametrize(("how", "stream"), [("SIGTERM", "delta"), ("kill", "cumulative")])
async def test_a_pipeline_that_can_goes_on_with_its_reply(tmp_path: Path, how: str, stream: str) -> None:
    """The same reply id, from where it was; after a kill, from what was saved."""
    steps = Steps(tmp_path / "steps", 4)
    where = Conversation(RESUMING, "person", "resumed")
    with running("serve", tmp_path / "server", PIPELINES) as server:
        async with entered(where.url(server, guest=GUEST, stream=stream)) as client:
            await client.post(steps.order, "q")
            steps.go(0, 1)
            await client.until_said(words(2))
            begun = next(f["data"]["id"] for f in client.frames if f["type"] == "response")
            if how == "kill":
                await until_stored(server, words(1))
                await trio.to_thread.run_sync(server.kill)
            else:
                await end(server, how)
                frames, code, _ = await client.until_farewell()
                assert code == 1012
                assert not any(is_end(frame) for frame in frames)
                assert await exit_of(server) == 0
            cursor = client.cursor
    with running("serve", tmp_path / "server", PIPELINES) as server:
        async with entered(where.url(server, guest=GUEST, stream=stream, cursor=cursor)) as client:
            assert client.connected["resumed"] is True
            steps.finish()
            last = await client.end_of()
            assert client.said == steps.whole

    assert (last["id"], last["content"], last["finish_reason"]) == (begun, steps.whole, "stop")


async def until_stored(server: Triologue, text: str) -> None:
    """Until *text* is in the database's files, which tell it without encryption."""
    wanted = text.encode()
    files = [server.folder / "data" / name for name in ("triologue.db", "triologue.db-wal")]
    with trio.fail_after(PATIENCE):
        while not any(wanted in file.read_bytes() for file in files if file.exists()):  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_kill_9_in_mid_reply_leaves_a_final_message_that_says_so(way: str, tmp_path: Path) -> None:
    """Not a hanging one: everybody who comes back sees its end, with the text that was saved."""
    steps = Steps(tmp_path / "steps", 4)
    where = Conversation(STEPS, "group", "killed")
    with running(way, tmp_path / "server", PIPELINES) as server:
        async with entered(where.url(server)) as client:
            ack = await client.post(steps.order, "q")
            steps.go(0, 1)
            await client.until_said(words(2))
            await client.post("after that", "next")
            begun = next(f["data"]["id"] for f in client.frames if f["type"] == "response")
            await until_stored(server, words(1))
            await trio.to_thread.run_sync(server.kill)
            cursor = client.cursor
    with running(way, tmp_path / "server", PIPELINES) as server:
        async with (
            entered(where.url(server, cursor=cursor)) as client,
            entered(where.url(server, stream="delta", cursor=cursor)) as other,
        ):
            ends: list[Any] = [dict(await client.end_of()), dict(await client.end_of())]
            assert [await other.end_of(), await other.end_of()] != []
        history = await trio.to_thread.run_sync(where.history, server)

    assert (ends[0]["id"], ends[0]["finish_reason"]) == (begun, "interrupted")
    assert ends[0]["content"] in (words(1), words(2))
    assert (ends[1]["content"], ends[1]["finish_reason"]) == ("after that", "stop")
    assert begun > ack["id"]
    assert_contiguous(client, cursor)
    assert_contiguous(other, cursor)
    assert [(m["id"], m["is_final"]) for m in history if m["id"] == begun] == [(begun, True)]
    assert [m["content"] for m in history if m["role"] == "assistant"] == [e["content"] for e in ends]


async def test_an_order_to_end_that_comes_again_changes_nothing(tmp_path: Path) -> None:
    """A signal after it changes nothing: running replies keep their time."""
    steps = Steps(tmp_path / "steps", 2)
    where = Conversation(HASTY, "person", "drain")
    settings = PIPELINES.replace("drain = 0.5", "drain = 60.0")
    with running("serve", tmp_path / "server", settings) as server:
        async with entered(where.url(server)) as client:
            await client.post(steps.order, "q")
            steps.go(0)
            await client.until_said(words(1))
            await end(server, "drain")
            await end(server, "SIGTERM")
            await refused_as_restarting(client)
            steps.finish()
            frames, code, reason = await client.until_farewell()
            assert await exit_of(server) == 0

    assert code == 1012
    assert hint_of(reason)
    assert any(is_end(f) and f["data"]["finish_reason"] == "stop" for f in frames)
