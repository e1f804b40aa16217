"""P6: whichever actor crashes, it is mended; no level-2 socket closes, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import ActorDied, Question
from server.chat import Sender
from server.messages import Commit, Register, Say

from .embedded import Embedded, embedded
from .level2 import Level2, entered, query, seq_of
from .stepwise import PIPELINES, STEPS, Steps, words

NOTHING: Any = None
"""What no code expects: whoever takes it for what it should be crashes."""

CRASHES: dict[str, tuple[str, Callable[[], Question[Any, Any]]]] = {
    "the store's actor": ("triologue/storage", lambda: Commit(NOTHING)),
    "the registry": ("triologue/registry", lambda: Register(NOTHING)),
    "another conversation": ("/group/other", lambda: Say(NOTHING, Sender("x", "x"), "nobody")),
}


async def crash(server: Embedded, part: str, question: Question[Any, Any]) -> None:
    address = part if part in server.addresses(part) else "".join(server.addresses(part))
    ref: Any = server.app.system.find(address)
    with pytest.raises(ActorDied):
        await ref.ask(question, timeout=5)


async def post(client: Level2, text: str, name: str) -> int:
    """Post until it is acknowledged: at most a few are told to try again. The place of the message."""
    for _ in range(5):
        answer = await client.post(text, name)
        if answer["type"] == "ack":
            return int(answer["seq"])
        assert answer["retry"] is True
    raise AssertionError("never acknowledged")


@pytest.mark.parametrize("victim", CRASHES)
async def test_a_crash_closes_no_socket_and_loses_nothing(tmp_path: Path, victim: str) -> None:
    """A reply that runs meanwhile comes to its end, and every message gets its ack and its place."""
    part, question = CRASHES[victim]
    steps = Steps(tmp_path / "steps", 4)
    async with (
        embedded(tmp_path, PIPELINES) as server,
        entered(server.socket_url(STEPS, query(session_type="group", session_id="one"))) as client,
        entered(server.socket_url(STEPS, query(session_type="group", session_id="other"))) as other,
    ):
        await client.post(steps.order, "steps")
        steps.go(0)
        await client.until_said(words(1))
        for number in range(3):
            await crash(server, part, question())
            assert await post(client, f"after crash {number}", str(number)) == 2 + number
        steps.finish()
        ends = [await client.end_of() for _ in range(4)]
        await post(other, "here as well", "other")
        await other.end_of()

    assert [(e["content"], e["finish_reason"]) for e in ends] == [
        (steps.whole, "stop"),
        *((f"after crash {number}", "stop") for number in range(3)),
    ]
    seqs = [seq for frame in client.frames if (seq := seq_of(frame)) is not None]
    assert seqs == list(range(1, 9))
    assert [f["code"] for f in client.frames + other.frames if f["type"] == "error" and not f["retry"]] == []
