"""How a reply ends that its writer has finished."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from server.conversation.replies import Replies
from tests.in_memory import running

from .test_mending import GUEST, Talking


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
