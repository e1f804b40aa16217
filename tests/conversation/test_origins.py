"""A client's frame can be followed to every frame that it led to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator

import trio
import trio.testing
from attrs import define, field

from actors import Envelope, Observer
from server.chat import MessageAdded, ReplyEnded, Turn, text_of
from server.messages import Deliver, Happened, ReplyGrew, Say
from server.pipeline import Finish
from tests.in_memory import running


class InTurn:
    """A model whose replies wait until they are let go."""

    def __init__(self, go: trio.Event) -> None:
        self._go = go

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        await self._go.wait()
        yield f"reply to {turn.text}"

    async def aclose(self) -> None: ...


@define(eq=False)
class Journal(Observer):
    """Which texts were said because of which origin, and which came back."""

    said: dict[int, str] = field(factory=dict)
    came: defaultdict[int, list[str]] = field(factory=lambda: defaultdict(list))

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        message = envelope.message
        if isinstance(message, Say):
            assert envelope.origin.name == "message frame"
            self.said[envelope.origin.id] = text_of(message.chain)
        if isinstance(message, Deliver):
            event = message.event
            if isinstance(event, ReplyGrew):
                self.came[envelope.origin.id].append(event.message.content)
            if isinstance(event, Happened) and isinstance(event.fact, MessageAdded | ReplyEnded):
                self.came[envelope.origin.id].append(event.fact.message.content)


async def test_every_frame_out_names_the_frame_in_that_it_comes_of() -> None:
    """Also that of a message that had to wait for the reply before it."""
    go, journal = trio.Event(), Journal()
    async with running(lambda: InTurn(go)) as server:
        server.system.attach(journal)
        client = await server.connect()
        for text in ("one", "two", "three"):
            client.say(text)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        for _ in range(3):
            await client.final()

    assert list(journal.said.values()) == ["one", "two", "three"]
    for number, text in journal.said.items():
        assert journal.came[number][0] == text
        assert set(journal.came[number][1:]) == {f"reply to {text}"}
