"""What a conversation owes after something went wrong: no more, no less, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

import pytest
import trio
from trio.testing import MockClock

from actors import AskTimeout
from server.chat import BeginReply, Command, Turn
from server.config import Config, Limits
from server.messages import ResetHistory, StopReply
from server.pipeline import Finish
from server.storage import StoreError
from tests.in_memory import Server, Socket, is_end, running

from .flaky import Flaky
from .test_lasting import POISON, next_of, of_type

T = TypeVar("T")

# A question that has one waits until its reply begins; others begin to be answered as soon as they are there.
PICTURE = {"type": "Image", "base64": "data:image/png;base64,aGVsbG8="}
GUEST = "guest=aaaaaaaaaaaaaaaa&session_id=s"


class Talking:
    """`wait` takes fifty seconds; the rest is answered at once."""

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        if turn.text == "wait":
            yield "so far"
            await trio.sleep(50)
        else:
            yield f"you said {turn.text}"

    async def aclose(self) -> None: ...


def conversation(server: Server) -> Any:
    (address,) = [a for a in server.addresses("/person/s") if "#" in a]
    return server.find(address)


def allowance_taken(server: Server) -> int:
    """What all unanswered questions take together."""
    cell: Any = server.find("triologue/conversations")._recipient
    taken: int = cell.actor._questions.taken
    return taken


async def asked(client: Socket, text: str, name: str) -> int:
    """The id of a message that was acknowledged."""
    client.say(text, client_msg_id=name)
    number: int = (await next_of(client, "ack"))["id"]
    return number


async def test_a_disk_that_is_full_is_not_tried_all_the_time(autojump_clock: MockClock) -> None:
    """It can be read, so every look at it says that all is well; but what is owed still can't be written."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(level2=True)
        client.say("wait")
        await next_of(client, "response")
        store.full = True
        await trio.sleep(50)
        before = store.tries
        await trio.sleep(10)
        assert store.tries - before < 20
        store.full = False
        end = await client.final()

    assert (end["finish_reason"], end["seq"]) == ("stop", 2)


async def test_a_reset_that_was_said_to_have_failed_is_not_done_later(autojump_clock: MockClock) -> None:
    """It would erase what was acknowledged meanwhile."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        await asked(client, "one", "a")
        await client.final()
        store.failing = True
        client.say("doubt")
        await next_of(client, "error")
        with pytest.raises(AskTimeout):
            await conversation(server).ask(ResetHistory(), timeout=10)
        store.failing = False
        await asked(client, "precious", "b")
        frames = await client.until(is_end)

    assert not any(frame["type"] == "reset" for frame in frames)


async def test_an_edit_that_nobody_confirmed_is_what_is_answered(autojump_clock: MockClock) -> None:
    """All see the new words; an answer to the old ones would be another conversation."""
    store = Flaky()
    async with running(Talking, store=store) as server:
        client = await server.connect(GUEST, level2=True)
        await asked(client, "wait", "a")
        number = await asked(client, "old", "b")
        store.forgetful = True
        client.send({"type": "edit", "id": number, "message": [{"type": "Plain", "text": "new"}]})
        await next_of(client, "error")
        store.forgetful = False
        await client.final()
        answer = await client.final()

    assert answer["content"] == "you said new"


class FailsToBegin(Flaky):
    """The first begin of a reply fails."""

    begins = 0

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        if any(isinstance(command, BeginReply) for command in commands):
            self.begins += 1
            if self.begins == 1:
                raise StoreError("once")
        return super().write(commands)


async def after_half_a_second(call: Callable[[], T], /) -> T:
    await trio.sleep(0.5)
    return call()


async def test_a_stop_is_kept_while_the_reply_can_not_begin(autojump_clock: MockClock) -> None:
    """It was confirmed."""
    store = FailsToBegin()
    async with running(Talking, store=store, execute_write=after_half_a_second) as server:
        client = await server.connect(GUEST, level2=True)
        client.send({"type": "message", "message": [PICTURE], "client_msg_id": "a"})
        await next_of(client, "ack")
        await trio.sleep(0.1)
        await conversation(server).ask(StopReply("anybody"), timeout=5)
        end = await client.final()

    assert end["finish_reason"] == "stopped"


async def test_a_crash_gives_back_what_was_taken(autojump_clock: MockClock) -> None:
    """Else the server would be busy for everybody, one crash after the other."""
    async with running(Talking, execute_write=after_half_a_second) as server:
        client = await server.connect(GUEST, level2=True)
        client.say("x" * 10_000, client_msg_id="a")
        await trio.sleep(0.1)
        assert allowance_taken(server) > 10_000
        await conversation(server).tell(POISON)
        await client.until(of_type("error"))
        await trio.sleep(5)
        assert allowance_taken(server) == 0


async def test_edits_are_bounded_like_what_is_said(autojump_clock: MockClock) -> None:
    """What waits for a reply is in memory, for all conversations together."""
    limits = Limits(queue_bytes=100_000)
    async with running(Talking, Config(limits=limits)) as server:
        client = await server.connect(GUEST, level2=True)
        await asked(client, "wait", "a")
        small = [await asked(client, "small", f"b{number}") for number in range(4)]
        outcomes = []
        for number in small:
            client.send({"type": "edit", "id": number, "message": [{"type": "Plain", "text": "x" * 30_000}]})
            outcomes.append((await next_of(client, "edited", "error"))["type"])
        assert allowance_taken(server) <= 100_000

    assert outcomes == ["edited", "edited", "edited", "error"]
