"""`triologue db`, in processes of its own, beside real servers and after them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio

from server.cli import main
from server.encryption import new_key
from tests.conformance.places import Server
from tests.e2e.client import Frame, connect
from tests.e2e.running import ECHO, ROOT, Triologue, running

SETTINGS = f"""
[[pipelines]]
uuid = "{ECHO}"
name = "echo"
kind = "echo"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a server has its configuration and its data."""
    (tmp_path / "triologue.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


Done = subprocess.CompletedProcess[bytes]


def db(folder: Path, *arguments: str, given: bytes = b"", env: dict[str, str] | None = None) -> Done:
    """What came of `triologue db`; it never says more than a line on standard error, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "server", "db", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        input=given,
        capture_output=True,
        timeout=60,
    )
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    return done


def refused(folder: Path, *arguments: str, status: int = 1, env: dict[str, str] | None = None) -> str:
    """The line with which it was refused."""
    done = db(folder, *arguments, env=env)
    assert (done.returncode, done.stdout) == (status, b""), done
    return done.stderr.decode().rstrip("\n").removeprefix("triologue: ")


async def alongside(folder: Path, *arguments: str) -> Done:
    return await trio.to_thread.run_sync(partial(db, folder, *arguments))


async def say(server: Triologue, *texts: str, session: str = "s") -> list[int]:
    """The ids of messages that were acknowledged, one after the other, and answered."""
    ids = []
    async with connect(server.socket_url(ECHO, f"session_id={session}"), level=2) as client:
        for text in texts:
            await client.say(text, client_msg_id=str(uuid.uuid4()))
            frames = await client.until_final()
            ids += [frame["id"] for frame in frames if frame["type"] == "ack"]
    return ids


async def welcomed(server: Triologue, cursor: str | None = None, session: str = "s") -> Frame:
    """What the server says to somebody who comes (back)."""
    query = f"session_id={session}" + (f"&cursor={cursor}" if cursor else "")
    async with connect(server.socket_url(ECHO, query), level=2) as client:
        return client.connected


def history(server: Triologue, session: str = "s") -> list[str]:
    path = f"/api/v1/pipelines/{ECHO}/ws/messages/person?session_id={session}"
    _, answer = server.json("GET", path)
    data = answer["data"]
    assert isinstance(data, dict)
    return [message["content"] for message in data["messages"]]


@contextmanager
def stopped(folder: Path) -> Iterator[Triologue]:
    """A server that has ended in good order at the end of the block."""
    with running("serve", folder, SETTINGS) as server:
        yield server
        server.terminate()
        assert server.wait_exit() == 0


async def test_copies_made_while_a_server_writes_hold_all_that_was_acknowledged_before(folder: Path) -> None:
    """Consistent while running: nothing acknowledged is missing, nothing is half there."""
    acknowledged: list[set[str]] = [set(), set(), set()]
    enough = trio.Event()

    async def write(server: Triologue, number: int) -> None:
        async with connect(server.socket_url(ECHO, f"session_id=w{number}"), level=2, seconds=90) as client:
            count = 0
            while not enough.is_set():
                text = f"w{number}-{count}."
                await client.say(text, client_msg_id=text)
                await client.until(lambda frame: frame["type"] == "ack")
                acknowledged[number].add(text)
                await client.until_final()
                count += 1

    with stopped(folder) as server:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(write, server, number)
            for turn in range(2):
                before = set().union(*acknowledged)
                backup = await alongside(folder, "backup", f"copy{turn}.db")
                exported = await alongside(folder, "export", f"copy{turn}.jsonl")
                assert (backup.returncode, exported.returncode) == (0, 0), (backup, exported)
                for name in (f"copy{turn}.db", f"copy{turn}.jsonl"):
                    content = (folder / name).read_bytes()
                    assert all(text.encode() in content for text in before)
                    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
            enough.set()

    assert all(acknowledged)
    for turn in range(2):
        with closing(sqlite3.connect(folder / f"copy{turn}.db")) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        last = (folder / f"copy{turn}.jsonl").read_bytes().splitlines()[-1]
        assert json.loads(last)["end"]["conversations"] == 3
        # Both pass for whole: what is checked when they come in is that ids and seqs have no holes.
        for way, name in (("import", f"copy{turn}.jsonl"), ("restore", f"copy{turn}.db")):
            data = str(folder / f"{way}{turn}")
            done = db(folder, way, name, env={"TRIOLOGUE_DATA_DIR": data})
            assert done.returncode == 0, done


async def test_a_restored_history_is_not_taken_for_the_one_that_clients_know(folder: Path) -> None:
    """A cursor from after the backup leads nowhere; one of the restored history does."""
    with stopped(folder) as server:
        await say(server, "one")
        assert db(folder, "backup", "copy.db").returncode == 0
        await say(server, "two")
        late = (await welcomed(server))["cursor"]
    done = db(folder, "restore", "copy.db", "--force")
    assert done.stdout == b"1 conversation with 2 messages are back.\n", done

    with stopped(folder) as server:
        fresh = await welcomed(server, late)
        assert fresh["resumed"] is False
        assert history(server) == ["one", "one"]
        assert (await welcomed(server, fresh["cursor"]))["resumed"] is True


async def test_a_backup_that_was_put_in_place_by_hand_is_noticed(folder: Path) -> None:
    """People copy files. Cursors of what came after the backup must not match what comes now."""
    with stopped(folder) as server:
        await say(server, "one")
        db(folder, "backup", "copy.db")
        await say(server, "two")
        late = (await welcomed(server))["cursor"]
    (folder / "copy.db").rename(folder / "data" / "triologue.db")

    with stopped(folder) as server:
        assert (await welcomed(server, late))["resumed"] is False
        assert "copy of the store was put back: every conversation has a new epoch" in server.output


async def test_a_killed_server_s_cursors_are_good(folder: Path) -> None:
    """No needless new epoch."""
    with running("serve", folder, SETTINGS) as server:
        await say(server, "one", "two")
        cursor = (await welcomed(server))["cursor"]
        server.kill()

    with stopped(folder) as server:
        assert (await welcomed(server, cursor))["resumed"] is True


async def test_a_new_epoch_lets_no_old_cursor_match(folder: Path) -> None:
    """For what the mark can't notice, such as a whole data directory that was put back."""
    with stopped(folder) as server:
        await say(server, "one")
        cursor = (await welcomed(server))["cursor"]
    assert db(folder, "new-epoch").returncode == 0

    with stopped(folder) as server:
        assert (await welcomed(server, cursor))["resumed"] is False
        assert history(server) == ["one", "one"]


async def test_conversations_move_from_a_file_to_postgresql_and_back(
    folder: Path, postgresql: Server
) -> None:
    """By a pipe, as people do it; a server then finds them there."""
    with stopped(folder) as server:
        await say(server, "one", "two")
    url = postgresql.new_database()
    there = {"TRIOLOGUE_STORAGE__URL": url}

    exported = db(folder, "export", "-")
    came = db(folder, "import", "-", given=exported.stdout, env=there)
    assert came.stdout == b"1 conversation with 4 messages came in.\n", came
    again = db(folder, "export", "-", env=there)
    assert again.stdout.splitlines()[1:] == exported.stdout.splitlines()[1:]
    assert db(folder, "backup", "copy.db", env=there).returncode == 0

    settings = f'{SETTINGS}\n[storage]\nurl = "{url}"\n'
    with running("serve", folder, settings) as server:
        assert history(server) == ["one", "one", "two", "two"]
        await say(server, "three")
        assert history(server)[-1] == "three"
    (folder / "triologue.toml").write_text(SETTINGS)
    assert db(folder, "restore", "copy.db", "--force").returncode == 0
    assert db(folder, "export", "-").stdout.splitlines()[1:] == exported.stdout.splitlines()[1:]


async def test_an_encrypted_store_is_exported_in_clear_and_backed_up_sealed(folder: Path) -> None:
    """An export needs the keys, a backup does not have them."""
    new_key(folder / "master", datetime.now(UTC))
    settings = f'{SETTINGS}\n[encryption]\nkey_file = "{folder}/master"\n'
    with running("serve", folder, settings) as server:
        await say(server, "between us")
        server.terminate()
        assert server.wait_exit() == 0

    assert b"between us" in db(folder, "export", "-").stdout
    assert b"keys backup" in db(folder, "backup", "copy.db").stdout
    assert b"between us" not in (folder / "copy.db").read_bytes()

    (folder / "triologue.toml").write_text(SETTINGS)
    for attempt in (["export", "out"], ["new-epoch"], ["restore", "copy.db", "--force"]):
        assert "are encrypted" in refused(folder, *attempt)
    assert not (folder / "out").exists()


async def test_what_changes_the_store_needs_it_for_itself(folder: Path) -> None:
    """Under a running server it would pull the ground from under it."""
    with stopped(folder) as server:
        await say(server, "one")
        db(folder, "backup", "copy.db")
        db(folder, "export", "all.jsonl")
        for attempt in (
            ["upgrade"],
            ["new-epoch"],
            ["import", "all.jsonl", "--replace"],
            ["restore", "copy.db", "--force"],
        ):
            assert refused(folder, *attempt) == (
                f"a server is running (process {server.process.pid} has the data directory): stop it first"
            )


def test_upgrade_makes_the_tables_and_says_so(folder: Path) -> None:
    """As a start does; the second time there is nothing to do."""
    assert db(folder, "upgrade").stdout == b"The tables were brought up to date.\n"
    assert db(folder, "upgrade").stdout == b"The tables are up to date.\n"
    assert stat.S_IMODE((folder / "data" / "triologue.db").stat().st_mode) == 0o600


def test_a_copy_of_nothing_is_refused_and_makes_nothing(folder: Path) -> None:
    """A wrong working directory is the usual reason."""
    for attempt in ("export", "backup"):
        assert refused(folder, attempt, "copy") == "there is no database data/triologue.db"
    assert {path.name for path in folder.iterdir()} == {"triologue.toml"}


@pytest.mark.parametrize("action", ["export", "backup"])
def test_a_copy_overwrites_nothing_unasked(folder: Path, action: str) -> None:
    """It may be the last good one."""
    db(folder, "upgrade")
    (folder / "copy").write_text("precious")

    assert refused(folder, action, "copy") == "copy is there already; --force overwrites it"
    assert (folder / "copy").read_text() == "precious"
    assert db(folder, action, "copy", "--force").returncode == 0
    assert (folder / "copy").read_text("latin-1") != "precious"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nowhere"], "nowhere: No such file or directory"),
        (["import", "."], ".: Is a directory"),
        (["import", "triologue.toml"], "line 1: expected JSON"),
        (["restore", "nowhere"], "nowhere is no file"),
        (["restore", "triologue.toml"], "triologue.toml can't be read: file is not a database"),
        (["backup", "nowhere/copy"], "nowhere/copy can't be written: No such file or directory"),
        (["export", "nowhere/copy"], "nowhere/copy: No such file or directory"),
    ],
)
def test_what_can_not_be_done_is_told_in_one_line(folder: Path, arguments: list[str], said: str) -> None:
    """With a status of 1."""
    db(folder, "upgrade")

    assert refused(folder, *arguments) == said


def test_a_bad_configuration_is_another_status(folder: Path) -> None:
    """As it is for `serve`."""
    (folder / "triologue.toml").write_text("[storage]\nurl = 'mysql://me:hush@h/db'\n")

    said = refused(folder, "upgrade", status=2)

    assert said.startswith('triologue.toml: storage.url = "mysql://***@h/db": expected sqlite:///path')


def test_a_database_that_does_not_answer_is_told_without_its_password(folder: Path) -> None:
    """The line ends up in mails and chats."""
    there = {"TRIOLOGUE_STORAGE__URL": "postgresql://me:hush@127.0.0.1:1/db"}
    for attempt in (["upgrade"], ["export", "-"], ["backup", "copy"]):
        said = refused(folder, *attempt, env=there)
        assert said.startswith("the PostgreSQL database db at 127.0.0.1 can't be ")
        assert "hush" not in said


def test_whoever_reads_an_export_may_have_enough(folder: Path) -> None:
    """`triologue db export - | head -1` is no failure."""
    db(folder, "upgrade")
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "db", "export", "-"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()

    assert process.wait(30) == 0
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""


def test_an_interrupted_copy_leaves_nothing(folder: Path) -> None:
    """Half of one might be taken for the whole."""
    db(folder, "upgrade")
    os.mkfifo(folder / "pipe")
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "db", "import", "pipe"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with open(folder / "pipe", "wb") as pipe:  # opened by both: it is waiting for lines
        pipe.write(b'{"export":{"format":1,"at":"2026-05-04T12:00:00.000000Z"}}\n')
        pipe.flush()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, b"")
    assert b'"conversations":0' in db(folder, "export", "-").stdout


def test_help_needs_no_database_library(capsys: pytest.CaptureFixture[str]) -> None:
    """What is imported for a look at the options is waited for by every command."""
    with pytest.raises(SystemExit) as ended:
        main(["db", "--help"])

    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(action in out for action in ("upgrade", "new-epoch", "export", "import", "backup", "restore"))


@pytest.mark.parametrize(
    ("action", "name"),
    [("backup", "triologue.db"), ("export", "triologue.db-wal"), ("backup", "mark"), ("export", "link")],
)
def test_no_copy_takes_the_place_of_what_the_server_lives_on(folder: Path, action: str, name: str) -> None:
    """Not by another name, nor by force."""
    db(folder, "upgrade")
    os.link(folder / "data" / "triologue.db", folder / "data" / "link")
    before = (folder / "data" / "triologue.db").read_bytes()

    said = refused(folder, action, f"data/{name}", "--force")

    assert said == f"data/{name} is a file of the server's own: name another"
    assert (folder / "data" / "triologue.db").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_told_to_end_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    """Half of it would lie there in clear."""
    db(folder, "upgrade")
    (folder / "there").mkdir()
    # The first line says when it is: the file is begun, and nothing is in it.
    script = (
        "import signal, sys; from server import cli; from server.cli import db\n"
        f"db._now = lambda: signal.raise_signal({number:d})\n"
        "sys.exit(cli.main(['db', 'export', 'there/out']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"", b"")
    assert list((folder / "there").iterdir()) == []
