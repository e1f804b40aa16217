"""A conversation driven through any course of events, by hypothesis: its phases, its journal, its queue.

The store fails in three ways, the conversation crashes, people come, go, talk, stop, edit, recall, reset. In
the end, when all is well again, everybody has been told the same, in order and whole, and nothing is owed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from server.chat import Turn
from server.pipeline import Finish
from tests.in_memory import Frame, Server, Socket, running

from .flaky import Flaky
from .test_lasting import POISON
from .test_mending import allowance_taken

ME = "session_id=s&guest=aaaaaaaaaaaaaaaa"

steps = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["quick", "slow", "fail", "silent"])),
    st.tuples(st.sampled_from(["edit", "recall", "regenerate"]), st.integers(1, 12)),
    st.tuples(st.sampled_from(["stop", "reset", "crash", "heal", "join", "leave"]), st.just(0)),
    st.tuples(st.sampled_from(["failing", "full", "forgetful"]), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 7])),
)


class Moody:
    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        yield turn.text
        if "slow" in turn.text:
            await trio.sleep(5)
            yield " at last"
        if "fail" in turn.text:
            raise ValueError

    async def aclose(self) -> None: ...


@define
class Listener:
    """One who only listens, over as many sockets as it takes."""

    server: Server
    cursor: str = ""
    frames: list[Frame] = field(factory=list)

    async def run(self) -> None:
        while True:
            socket = Socket(self.server.doors, PIPELINE, f"{ME}&cursor={self.cursor}", level2=True)
            self.server.nursery.start_soon(socket.run)
            while "closed" not in (frame := await socket.receive()):
                self.frames.append(frame)
                if "cursor" in frame:
                    self.cursor = frame["cursor"]
                elif (seq := seq_of(frame)) is not None:
                    self.cursor = f"{self.cursor.partition('.')[0]}.{seq}"


PIPELINE = "00000000-0000-4000-8000-0000000000aa"


def seq_of(frame: Frame) -> int | None:
    if frame["type"] in ("ack", "connected", "gap"):
        return None
    seq: int | None = frame.get("seq", frame.get("data", {}).get("seq"))
    return seq


async def take(course: list[tuple[str, Any]]) -> None:
    store = Flaky()
    async with running(Moody, store=store) as server:
        me = await server.connect(ME, level2=True)
        witness = Listener(server, cursor=me.connected["cursor"])
        others: list[Socket] = []
        server.nursery.start_soon(witness.run, name="witness")
        for number, (what, detail) in enumerate(course):
            match what:
                case "say":
                    me.say(f"{detail} {number}", client_msg_id=str(number))
                case "edit":
                    me.send(
                        {
                            "type": "edit",
                            "id": detail,
                            "message": [{"type": "Plain", "text": f"new {number}"}],
                        }
                    )
                case "recall" | "regenerate":
                    me.send({"type": what, "id": detail})
                case "stop":
                    me.send({"type": "stop"})
                case "reset":
                    server.nursery.start_soon(reset, server)
                case "crash":
                    for address in server.addresses("/person/s"):
                        await server.find(address).tell(POISON)
                case "join":
                    others.append(await server.connect(ME, level2=True))
                case "leave" if others:
                    others.pop().leave()
                case "failing" | "full" | "forgetful":
                    setattr(store, what, True)
                case "heal":
                    store.failing = store.full = store.forgetful = False
                case "wait":
                    await trio.sleep(detail)
            await trio.sleep(0.01)  # for what was sent to arrive
        store.failing = store.full = store.forgetful = False
        await trio.sleep(300)
        me.say("quick end", client_msg_id="end")
        await trio.sleep(30)
        check(witness.frames)
        assert allowance_taken(server) == 0
        (conversation,) = [a for a in server.addresses("/person/s") if "#" in a]
        cell: Any = server.find(conversation)._recipient
        state = cell.actor._state
        assert not state.waiting
        assert state.reply is None
        server.nursery.cancel_scope.cancel()


async def reset(server: Server) -> None:
    from server.messages import ResetHistory

    for address in server.addresses("/person/s"):
        try:
            await server.find(address).ask(ResetHistory(), timeout=5)
        except Exception:
            return  # whoever asks over REST hears so


def check(frames: list[Frame]) -> None:
    """No hole, nothing twice, each reply to one end, and none of it after that."""
    last = 0
    texts: dict[int, str] = {}
    ended: set[int] = set()
    for frame in frames:
        if frame["type"] in ("connected", "gap"):
            last = int(frame["cursor"].partition(".")[2])
        elif (seq := seq_of(frame)) is not None:
            assert seq == last + 1, frame
            last = seq
        if frame["type"] == "response":
            data = frame["data"]
            assert data["id"] not in ended
            if data["is_final"]:
                ended.add(data["id"])
            else:
                assert data["content"].startswith(texts.get(data["id"], ""))
                texts[data["id"]] = data["content"]
    assert set(texts) <= ended
    assert frames[-1]["data"]["content"] == "quick end"


@given(st.lists(steps, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_everybody_is_told_the_same_and_nothing_stays_owed(
    course: list[tuple[str, Any]],
) -> None:
    """Each phase meets each kind of trouble sooner or later."""
    trio.run(take, course, clock=MockClock(autojump_threshold=0))
