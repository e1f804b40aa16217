"""A reader of level 2 that stops reading pays for it alone: with detail or its socket, and may resume."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from .client import Frame
from .crowd import Conversation
from .lazy import Lazy, lazy
from .level2 import chunks, entered, is_end, seq_of
from .recorder import Replies
from .running import Triologue, running
from .stepwise import PIPELINES, STEPS

SETTINGS = "[limits]\nmailbox = 32\nmailbox_bytes = 67108864\n" + PIPELINES.replace(
    "[timeouts]\n", "[timeouts]\nsend = 60.0\n"
)
MIB = 2**20
# A reply in many parts, as long as any may be.
FLOOD = "flood 1000 1000"
LENGTH = 1_000_000


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    """A server whose mailboxes are small."""
    with running("serve", tmp_path_factory.mktemp("slow"), SETTINGS) as server:
        yield server


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(STEPS, "group", str(uuid.uuid4()))


def until_end(reader: Lazy, reply: int) -> list[Frame]:
    frames = [reader.frame()]
    while not (is_end(frames[-1]) and frames[-1]["data"]["id"] == reply):
        frames.append(reader.frame())
    return frames


def of(reply: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    return lambda data: bool(data["id"] == reply["id"])


def memory_of(server: Triologue, field: str) -> int:
    """Bytes that the server takes, as the kernel counts them."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field))


async def test_what_a_delta_reader_did_not_read_is_joined(
    triologue: Triologue, conversation: Conversation
) -> None:
    """It gets the same text as the others in fewer and larger parts; nobody waits for it."""
    with lazy(conversation.url(triologue, stream="delta"), triologue.port) as slow:
        async with entered(conversation.url(triologue, stream="delta"), seconds=100) as quick:
            for number in range(5):
                # What the kernel takes for a reader that does not read is full after that.
                await quick.post("x" * LENGTH, str(number), stream=False)
                await quick.end_of()
            await quick.post(FLOOD, "q")
            end = await quick.end_of()
        frames = await trio.to_thread.run_sync(until_end, slow, end["id"])

    laws = Replies()
    assert [complaint for frame in frames if (complaint := laws.complaint(frame))] == []
    assert len(end["content"]) == LENGTH
    assert {**frames[-1]["data"], "delta": "", "offset": 0} == {**end, "delta": "", "offset": 0}
    parts, whole = ([part["delta"] for part in chunks(seen, of(end))] for seen in (frames, quick.frames))
    assert "".join(parts) == "".join(whole) == end["content"]
    assert len(parts) < len(whole)


async def test_what_a_cumulative_reader_did_not_read_collapses(
    triologue: Triologue, conversation: Conversation
) -> None:
    """Only the newest of what waits is sent."""
    with lazy(conversation.url(triologue), triologue.port) as slow:
        async with entered(conversation.url(triologue, stream="delta"), seconds=100) as quick:
            await quick.post(FLOOD, "q")
            end = await quick.end_of()
        frames = await trio.to_thread.run_sync(until_end, slow, end["id"])

    laws = Replies()
    assert [complaint for frame in frames if (complaint := laws.complaint(frame))] == []
    assert frames[-1]["data"]["content"] == end["content"]
    assert len(frames) < len(quick.frames)


async def test_readers_that_read_nothing_do_not_grow_the_server(
    triologue: Triologue, conversation: Conversation
) -> None:
    """Twenty of them beside one that reads cost kernel buffers and one shared text, not a copy each."""
    async with entered(conversation.url(triologue, stream="delta"), seconds=100) as quick:
        await quick.post(FLOOD, "alone")
        await quick.end_of()
        alone = memory_of(triologue, "VmHWM")
        with ExitStack() as stack:
            for number in range(20):
                stream = "delta" if number % 2 else "cumulative"
                stack.enter_context(lazy(conversation.url(triologue, stream=stream), triologue.port))
            for number in range(3):
                await quick.post(FLOOD, f"together {number}")
                await quick.end_of()
            await quick.ping()
            assert memory_of(triologue, "VmHWM") - alone < 64 * MIB


@pytest.mark.parametrize("stream", ["cumulative", "delta"])
async def test_a_reader_whose_mailbox_overflows_is_closed_4408_and_resumes(
    triologue: Triologue, conversation: Conversation, stream: str
) -> None:
    """What can't be joined is not kept for ever; what it missed is there when it comes back, all of it."""
    with lazy(conversation.url(triologue, stream=stream), triologue.port) as slow:
        async with entered(conversation.url(triologue), seconds=100) as quick:
            for number in range(40):
                answer = await quick.post(f"{number} " + "x" * 200_000, str(number), stream=False)
                assert answer["type"] == "ack"
                await quick.end_of()
            await quick.ping()
            frames, code = await trio.to_thread.run_sync(slow.until_closed)
            assert code == 4408
            assert (frames[-1]["code"], frames[-1]["retry"]) == ("too_slow", True)
            seqs = [seq for frame in frames if (seq := seq_of(frame)) is not None]
            assert seqs == list(range(1, len(seqs) + 1))
            assert len(seqs) < 80

            epoch = slow.connected["cursor"].partition(".")[0]
            cursor = f"{epoch}.{len(seqs)}"
            async with entered(conversation.url(triologue, stream=stream, cursor=cursor)) as back:
                assert back.connected["resumed"] is True
                while len(seqs) < 80:
                    seq = seq_of(await back.receive())
                    assert seq is None or seq == len(seqs) + 1
                    seqs += [] if seq is None else [seq]
    assert not any(frame["type"] in ("error", "gap") for frame in quick.frames)


async def test_a_slow_resume_does_not_hold_up_what_happens_now(
    triologue: Triologue, conversation: Conversation
) -> None:
    """Somebody reads megabytes of what he missed, slowly; the others talk on; he gets all of it, in order."""
    async with entered(conversation.url(triologue), seconds=100) as quick:
        cursor = quick.cursor
        for number in range(30):
            await quick.post(f"{number} " + "x" * 200_000, str(number), stream=False)
            await quick.end_of()
        with lazy(conversation.url(triologue, cursor=cursor), triologue.port) as slow:
            assert slow.connected["resumed"] is True
            for number in range(5):
                await quick.post(f"meanwhile {number}", f"meanwhile {number}")
                await quick.end_of()
            seqs: list[int] = []
            while len(seqs) < 70:
                seq = seq_of(await trio.to_thread.run_sync(slow.frame))
                seqs += [] if seq is None else [seq]

    assert seqs == list(range(1, 71))
