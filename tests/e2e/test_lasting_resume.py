"""P4: a resume is gap-free or says `gap` first. The long form: `python -m tests.e2e.lasting resumes`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from .lasting import report, resume_trial
from .level2 import Level2, entered, query, seq_of
from .recorder import Reader, Recorder
from .running import ECHO, PIPELINES, Triologue, running

CYCLES = int(os.environ.get("TRIOLOGUE_TRIALS", "3"))


@pytest.mark.timeout(120 + 20 * CYCLES)
async def test_whoever_comes_back_misses_nothing_in_silence(tmp_path: Path) -> None:
    """Readers come and go at random, with good and bad cursors, over restarts, while history is trimmed."""
    recorder = await resume_trial(tmp_path, way="serve", cycles=CYCLES, writers=6, seed=CYCLES)

    assert recorder.faults == [], report(recorder, 0)
    assert recorder.counts["resumes"] > 10
    assert recorder.counts["gaps"] > 0


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    with running("serve", tmp_path_factory.mktemp("resume")) as server:
        yield server


def url_of(triologue: Triologue, session: str, **more: str | None) -> str:
    return triologue.socket_url(ECHO, query(session_type="group", session_id=session, **more))


async def said(client: Level2, *texts: str) -> None:
    """Say all of *texts*, each after the answer to the one before."""
    for text in texts:
        await client.post(text, str(uuid.uuid4()))
        await client.end_of()


@pytest.mark.parametrize("missed", [0, 1, 7, 450])
async def test_a_resume_brings_just_what_was_missed(triologue: Triologue, missed: int) -> None:
    """Nothing, a little, or many pages: in order, once, and then what happens next."""
    session = f"missed-{missed}"
    async with entered(url_of(triologue, session)) as staying:
        async with entered(url_of(triologue, session)) as leaving:
            await said(staying, "before")
            await leaving.end_of()
            cursor = leaving.cursor
        for number in range(missed):
            chain = [{"type": "Plain", "text": f"in other words, number {number}"}]
            await staying.send({"type": "edit", "id": 1, "message": chain})
        for _ in range(missed):
            await staying.until_type("edited")
        async with entered(url_of(triologue, session, cursor=cursor)) as back:
            assert (back.connected["resumed"], back.connected["cursor"]) == (True, cursor)
            await said(staying, "after")
            await back.end_of()

    first = int(cursor.rpartition(".")[2]) + 1
    seqs = [seq for frame in back.frames if (seq := seq_of(frame)) is not None]
    assert seqs == list(range(first, first + missed + 2))
    assert [f["type"] for f in back.frames].count("edited") == missed


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ("", "malformed"),
        ("nonsense", "malformed"),
        ("{epoch}", "malformed"),
        ("{epoch}.", "malformed"),
        ("{epoch}.-1", "malformed"),
        ("{epoch}.01", "malformed"),
        ("{epoch}.1e0", "malformed"),
        ("{epoch}.\u0661", "malformed"),
        ("{epoch}.99999999999999999999999999", "malformed"),
        ("{epoch}.1.1", "malformed"),
        (" {epoch}.1", "malformed"),
        ("{epoch}.1\x00", "malformed"),
        ("x" * 4000, "malformed"),
        ("{epoch}.1000000", "future"),
        ("{epoch}.999999999999999", "future"),
        ("ffffffffffff.1", "unknown_epoch"),
        ("{other}.1", "unknown_epoch"),
    ],
)
async def test_a_cursor_that_leads_nowhere_is_told_and_the_socket_lives(
    triologue: Triologue, cursor: str, reason: str
) -> None:
    """Malformed, from the future, of another conversation: `gap`, with where to go on."""
    async with entered(url_of(triologue, "nowhere")) as one, entered(url_of(triologue, "another")) as two:
        await said(one, "something")
        await said(two, "else")
        epochs = {"epoch": one.cursor.partition(".")[0], "other": two.cursor.partition(".")[0]}
        assert len(set(epochs.values())) == 2
        async with entered(url_of(triologue, "nowhere", cursor=cursor.format(**epochs))) as client:
            gap = await client.receive()
            assert client.connected["resumed"] is False
            assert (gap["type"], gap["reason"]) == ("gap", reason)
            assert gap["cursor"] == client.connected["cursor"] == one.cursor
            await said(client, "goes on")
        async with entered(url_of(triologue, "nowhere", cursor=gap["cursor"])) as client:
            assert client.connected["resumed"] is True
            assert seq_of(await client.receive()) == int(gap["cursor"].rpartition(".")[2]) + 1


async def test_a_trimmed_history_is_a_gap_and_what_is_left_is_not(tmp_path: Path) -> None:
    """Retention leaves those with an old cursor a word of it; a cursor after the cut is as good as ever."""
    settings = "[retention]\nmessages = 4\nevery = 0.2\n" + PIPELINES
    with running("serve", tmp_path, settings) as server:
        async with entered(url_of(server, "trimmed")) as client:
            oldest = client.cursor
            await said(client, *(f"number {n}" for n in range(20)))
            newest = client.cursor
            while True:
                async with entered(url_of(server, "trimmed", cursor=oldest)) as late:
                    if not late.connected["resumed"]:
                        gap = await late.receive()
                        break
            assert (gap["type"], gap["reason"], gap["cursor"]) == ("gap", "trimmed", newest)
            async with entered(url_of(server, "trimmed", cursor=newest)) as late:
                assert late.connected["resumed"] is True
                await said(client, "one more")
                assert seq_of(await late.receive()) == int(newest.rpartition(".")[2]) + 1


async def test_a_reset_is_seen_by_those_there_and_a_gap_for_those_who_were_not(triologue: Triologue) -> None:
    """What was forgotten can't be told again; ids and seqs go on."""
    async with entered(url_of(triologue, "reset")) as client:
        await said(client, "forget me")
        before = client.cursor
        path = f"/api/v1/pipelines/{ECHO}/ws/reset/group?session_id=reset"
        status, _ = await post_to(triologue, path)
        assert status == 200
        reset = await client.until_type("reset")
        assert reset["seq"] == int(before.rpartition(".")[2]) + 1
        await said(client, "afterwards")
        after = [f["data"]["id"] for f in client.frames if f["type"] == "user_message"]
        assert after == [1, 3]
        async with entered(url_of(triologue, "reset", cursor=before)) as late:
            first = await late.receive()
            # Either is complete: the reset itself, or word that something is missing.
            assert first["type"] == "reset" or (first["type"], first["reason"]) == ("gap", "trimmed")
        old = f"{before.partition('.')[0]}.0"
        async with entered(url_of(triologue, "reset", cursor=old)) as late:
            assert (await late.receive())["reason"] == "trimmed"


async def post_to(triologue: Triologue, path: str) -> tuple[int, dict[str, object]]:
    return await trio.to_thread.run_sync(triologue.json, "POST", path)


def test_the_checker_catches_what_it_is_there_for() -> None:
    """A recorder that never complains would prove nothing: holes, silent gaps, and two stories of one seq."""

    def message(seq: int, text: str) -> dict[str, object]:
        data = {"id": seq, "seq": seq, "content": text, "sender": {"id": "x"}}
        return {"type": "user_message", "data": data}

    def kinds(*frames: dict[str, object], offered: str | None = None, resumed: bool = False) -> list[str]:
        recorder = Recorder()
        reader = Reader(recorder, "c")
        reader.opened({"cursor": "e.0", "resumed": resumed}, offered)
        for frame in frames:
            reader.take(frame)
        return [fault.kind for fault in recorder.faults]

    assert kinds(message(1, "a"), message(2, "b")) == []
    assert kinds(message(1, "a"), message(3, "c")) == ["hole"]
    assert kinds(message(1, "a"), message(1, "a")) == ["hole"]
    assert kinds(message(1, "a"), offered="e.7") == ["silent gap"]
    assert kinds({"type": "gap", "cursor": "e.0", "reason": "future"}, message(1, "a"), offered="e.7") == []
    assert kinds(offered="e.7", resumed=True) == ["silent gap"]

    recorder = Recorder()
    recorder.happened("c", "e", 1, message(1, "a"))
    recorder.happened("c", "e", 1, message(1, "b"))
    recorder.sending("c", "n", "text")
    recorder.acknowledged("c", {"client_msg_id": "n", "id": 1, "seq": 1, "duplicate": False})
    recorder.acknowledged("c", {"client_msg_id": "n", "id": 2, "seq": 2, "duplicate": False})
    recorder.check_history("c", [])
    assert [fault.kind for fault in recorder.faults] == ["disorder", "double", "lost"]
