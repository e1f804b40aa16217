"""Trials of P1 to P4: a crowd, and a server that is killed, restarted, trimmed under it, again and again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio
from attrs import define, field

from .crowd import PATIENCE, Address, Conversation, Member, Writer
from .level2 import entered, is_end
from .recorder import Recorder
from .running import ECHO, SLOW, Triologue

CONVERSATIONS = (
    Conversation(ECHO, "group", "one"),
    Conversation(ECHO, "person", "two"),
    Conversation(SLOW, "group", "three"),
)
TRIMMED = "[retention]\nmessages = 30\nevery = 0.2\n"


@define
class Trial:
    """One crowd, and the servers that it talks to, one after the other.

    Attributes:
        members: Everybody; those that write among them.
    """

    folder: Path
    way: str
    settings: str
    dice: Random
    recorder: Recorder = field(factory=Recorder)
    address: Address = field(factory=Address)
    members: list[Member] = field(factory=list)

    def people(self, writers: int, readers: int, *, restless: int = 0, forgetful: float = 0.0) -> None:
        """Let so many write, and so many read, in all conversations by turns."""
        for number in range(writers + readers):
            kind = Writer if number < writers else Member
            member = kind(
                conversation=CONVERSATIONS[number % len(CONVERSATIONS)],
                address=self.address,
                recorder=self.recorder,
                dice=Random(self.dice.random()),
                name=f"somebody-number-{number:03}",
                stream="delta" if number % 2 else "cumulative",
            )
            if number >= writers:
                member.restless, member.forgetful = restless, forgetful
            self.members.append(member)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Triologue]:
        """A server on the trial's data, known to everybody; killed afterwards, if it is still there."""
        server = await self.start()
        try:
            await trio.to_thread.run_sync(server.wait_ready)
            self.address.set(server)
            yield server
        finally:
            self.address.clear()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(server.kill)

    async def start(self) -> Triologue:
        """A server that has not said yet that it is ready."""
        return await trio.to_thread.run_sync(Triologue, self.way, self.folder, self.settings)

    async def wait_facts(self, number: int) -> None:
        """Until so many more facts were seen, by whomever."""
        until = self.recorder.counts["facts"] + number
        with trio.fail_after(PATIENCE):
            while self.recorder.counts["facts"] < until:  # noqa: ASYNC110 - many clients count, unheard
                await trio.sleep(0.005)

    async def settle(self, server: Triologue, *, trimmed: bool = False) -> None:
        """Let everybody finish what they said and see all of it, then check the history."""
        for member in self.members:
            member.calm = True
        with trio.move_on_after(PATIENCE) as scope:
            for member in self.members:
                if isinstance(member, Writer):
                    await member.wait_settled()
            for conversation in CONVERSATIONS:
                last = await self._last_seq(conversation, server)
                for member in self.members:
                    if member.conversation == conversation:
                        await member.wait_seq(last)
                history = await trio.to_thread.run_sync(conversation.history, server)
                self.recorder.check_history(conversation.name, history, trimmed=trimmed)
        if scope.cancelled_caught:
            for member in self.members:
                self.recorder.fault("stalled", member.state)

    async def _last_seq(self, conversation: Conversation, server: Triologue) -> int:
        """The place of the answer to one more message, which is last in the queue."""
        name = "the-last-" + self.dice.randbytes(8).hex()
        self.recorder.sending(conversation.name, name, "the last word")
        async with entered(conversation.url(server, guest=name), seconds=PATIENCE) as client:
            while True:
                answer = await client.post("the last word", name)
                if answer["type"] == "ack":
                    break
                assert answer["retry"], answer
            self.recorder.acknowledged(conversation.name, answer)
            ends = await client.until(lambda f: is_end(f) and f["data"]["content"] == "the last word")
        return int(ends[-1]["data"]["seq"])

    def check_database(self) -> None:
        """`integrity_check` of the files as they are: of a copy, so that the server mends them by itself."""
        data = self.folder / "data"
        if not (data / "triologue.db").exists():
            return  # it is elsewhere, or the server did not come so far
        with TemporaryDirectory() as copy:
            for name in ("triologue.db", "triologue.db-wal"):
                if (data / name).exists():
                    shutil.copy(data / name, copy)
            database = sqlite3.connect(Path(copy) / "triologue.db")
            try:
                verdict = database.execute("PRAGMA integrity_check").fetchall()
            finally:
                database.close()
        self.recorder.counts["integrity checks"] += 1
        if verdict != [("ok",)]:
            self.recorder.fault("lost", f"integrity_check: {verdict}")


async def kills(trial: Trial, cycles: int, *, ends: Iterable[str] = ("kill",)) -> Recorder:
    """Kill the server *cycles* times, and check everything when it has started once more.

    Now and then while it starts; else after a random number of facts. *ends* are the ways it may end.
    """
    choices = tuple(ends)
    async with trio.open_nursery() as nursery:
        for member in trial.members:
            nursery.start_soon(member.run)
        for _ in range(cycles):
            if trial.dice.random() < 0.1:
                await _killed_at_its_start(trial)
                continue
            async with trial.server() as server:
                await trial.wait_facts(trial.dice.randint(1, 1000))
                if trial.dice.choice(choices) == "terminate":
                    server.terminate()
                    await trio.to_thread.run_sync(server.wait_exit)
                    trial.recorder.counts["terminated"] += 1
                else:
                    trial.recorder.counts["killed"] += 1
            trial.check_database()
        async with trial.server() as server:
            await trial.settle(server, trimmed="[retention]" in trial.settings)
            nursery.cancel_scope.cancel()
    return trial.recorder


async def _killed_at_its_start(trial: Trial) -> None:
    server = await trial.start()
    try:
        await trio.sleep(trial.dice.random() * 1.5)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.kill)
    trial.recorder.counts["killed while starting"] += 1
    trial.check_database()
