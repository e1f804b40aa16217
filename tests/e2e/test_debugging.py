"""The stories of docs/debugging.md happen again, and the tools show what the document says."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from server.cli import _parser

from .client import Client, connect
from .running import ECHO, ROOT, Triologue, running
from .test_admin import get
from .test_looking import look
from .test_slow_reader import lazy

MODEL = "e41b7f66-0d2c-4a9b-b1c8-5f3e9a60c2d4"
WEATHER = "9a3c1d80-5b7e-4f21-a6d4-c0e8b2f71395"
REPORT = "2d8f4b19-6e0a-4c53-97b1-f4a6d3e8c072"
PATIENCE = 12.0

DOCUMENT = ROOT / "docs" / "debugging.md"
TRACE = ROOT / "docs" / "traces" / "conversation.json"
CELLS = ROOT / "examples" / "cells.py"


def settings(upstream: int) -> str:
    return f"""
[limits]
mailbox = 16

[timeouts]
send = 60.0

[[pipelines]]
uuid = "{ECHO}"
name = "echo"
kind = "echo"

[[pipelines]]
uuid = "{MODEL}"
name = "model"
kind = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
model = "llama"
idle_timeout = {PATIENCE}

[[pipelines]]
uuid = "{WEATHER}"
name = "weather"
kind = "python"
function = "tests.e2e.bots:weather"
idle_timeout = {PATIENCE}

[[pipelines]]
uuid = "{REPORT}"
name = "report"
kind = "python"
function = "tests.e2e.bots:report"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    """A server, one of whose upstreams accepts every connection and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with running("serve", tmp_path_factory.mktemp("debugging"), settings(port)) as triologue:
            yield triologue


async def metric(server: Triologue, sample: str) -> float:
    _, _, content = await trio.to_thread.run_sync(lambda: server.call("GET", "/metrics"))
    found = re.search(rf"^{re.escape(sample)} (\S+)$", content.decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def records(server: Triologue, event: str) -> list[dict[str, Any]]:
    """The log lines about *event*."""
    lines = [json.loads(line) for line in list(server.lines) if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def stack_of(out: str, task: str) -> str:
    """What the tree *out* has below the last task of this name."""
    return out.rpartition(f"task {task}\n")[2]


@pytest.mark.parametrize(
    ("pipeline", "line"),
    [
        (MODEL, "Upstream._attempt response = await self._client.send(request, stream=True)"),
        (WEATHER, "weather await came.wait()"),
    ],
)
async def test_a_stuck_upstream(server: Triologue, session: str, pipeline: str, line: str) -> None:
    """Which reply, of which conversation, since when, because of which frame, at which line."""
    async with connect(server.socket_url(pipeline, session)) as client:
        await client.say("hello?")
        out = ""
        while line not in stack_of(out, "write"):
            out, _ = await look(server.url, "tree", "--stacks", f"pipelines/{pipeline}")
        reply, _ = await look(server.url, "tree", "--stack", "reply-1", f"{pipeline}/reply-1")
        conversation = re.search(r"_reply_to: actor (\S+),", reply)
        assert conversation is not None, reply
        said, _ = await look(server.url, "tree", "--stack", conversation[1], conversation[1])
        writing = await metric(server, 'triologue_actors{actor="Reply"}')
        recent = (await get(server, f"actors/triologue/pipelines/{pipeline}"))["recent"]
        await trio.to_thread.run_sync(server.wait_output, f'pipelines/{pipeline}/reply-1".*ReplyTimedOut')

    assert re.search(r"reply-1 Reply · idle [\d.]+ m?s · mailbox 0/1", out), out
    assert "0 waits" in out.splitlines()[0]
    assert "Mailbox.wait" not in out
    assert session.removeprefix("session_id=") in conversation[1]
    frame = re.search(r"handled Say \(sent .* ago, took .*; from #(\d+) message frame\) connection=", said)
    assert frame is not None, said
    assert writing == 1
    (asked,) = (message for message in recent if message["kind"] == "WriteReply")
    assert asked["origin"]["id"] == int(frame[1])
    assert asked["origin"]["labels"]["connection"] == client.connected["connection_id"]
    (failed,) = (r for r in records(server, "the pipeline failed") if pipeline in r["actor"])
    assert (failed["cause"], failed["origin"]) == (int(frame[1]), "message frame")
    assert failed["connection"] == client.connected["connection_id"]


async def cells(*arguments: str) -> tuple[str, str]:
    """What examples/cells.py prints."""
    done = await trio.run_process(
        [sys.executable, str(CELLS), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_stdout=True,
        capture_stderr=True,
    )
    return done.stdout.decode(), done.stderr.decode()


async def test_an_ask_cycle_is_refused() -> None:
    """The log and the list of crashes name it."""
    out, log = await cells()

    error = "WaitCycle('waiting with GetValue would never end: sheet/B1 → sheet/A1 → sheet/B1')"
    died = "ActorDied('sheet/B1 ended before it answered GetValue')"
    assert log.index(f"sheet/B1 crashed: {error}") < log.index(f"sheet/A1 crashed: {died}")
    assert f"sheet/B1: idle, 0 in its mailbox, 1 restarts\n    crashed at GetValue: {error}" in out
    assert f"sheet/A1: idle, 0 in its mailbox, 1 restarts\n    crashed at GetValue: {died}" in out
    assert "no A1: ActorDied" in out


async def test_a_cycle_that_nobody_can_refuse_is_seen_without_a_server() -> None:
    """From the system itself: who waits for whom, and at which line."""
    out, log = await cells("--beside")

    assert log == ""
    assert "    sheet/A1: compute waits for sheet/B1: answer to GetValue\n" in out
    assert "    sheet/B1: compute waits for sheet/A1: answer to GetValue\n" in out
    assert "actor sheet/A1: compute\n    line " in out
    assert "no A1" not in out


@contextmanager
def hanging_cells() -> Iterator[str]:
    """Where the example serves the routes over its own system."""
    process = subprocess.Popen(
        [sys.executable, str(CELLS), "--beside", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
    finally:
        process.kill()
        process.communicate()


async def test_a_cycle_that_nobody_can_refuse_is_seen_in_the_tree() -> None:
    """By the same commands and routes as a chat server's."""
    with hanging_cells() as url:
        out = ""
        while "circle" not in out:
            out, _ = await look(url, "tree", "--stacks", "sheet")
        raw, _ = await look(url, "tree", "--json")

    assert out.splitlines()[-1] == "circle of waits: sheet/A1 → sheet/B1 → sheet/A1"
    assert re.search(r"task compute waits for sheet/B1: answer to GetValue, .* \(in a circle\)", out)
    assert "examples/cells.py:" in stack_of(out, "compute")
    (a1,) = (actor for actor in json.loads(raw)["actors"]["actors"] if actor["address"] == "sheet/A1")
    (wait,) = a1["waits"]
    assert wait["waiter"] == "sheet/A1: compute"
    assert (wait["address"], wait["what"], wait["kind"]) == ("sheet/B1", "answer", "GetValue")


async def test_a_slow_reader(server: Triologue) -> None:
    """Its mailbox fills, nobody else waits, it is given up, and closed with 4408."""
    query, door = "session_type=group&session_id=team", "triologue/connections/"
    rejected = 'triologue_messages_rejected_total{actor="Connection"}'
    before = await metric(server, rejected)

    async def until(queued: int, quick: Client) -> None:
        while (await slow_one())["queued"] < queued:
            await quick.say("x" * 400_000, stream=False)
            await quick.until_final()

    async def slow_one() -> Any:
        return await get(server, f"actors/{address}")

    with lazy(server, ECHO, query) as slow:
        (address,) = (a["address"] for a in (await get(server, f"actors?prefix={door}"))["actors"])
        async with connect(server.socket_url(ECHO, query)) as quick:
            await until(8, quick)
            top, _ = await look(server.url, "top", "--once", "--sort", "mailbox", "--interval", "0.1")
            tree, _ = await look(server.url, "tree", "connections")
            while not (given_up := await slow_one())["rejected"]:
                await quick.say("x" * 1_000, stream=False)
                await quick.until_final()
            letters = (await get(server, "actors"))["dead_letters"]["recent"]
        frames, code = await trio.to_thread.run_sync(slow.until_closed)
    gone = ""
    while "too slow" not in gone:
        gone, _ = await look(server.url, "tree", "--gone", "connections")

    row = top.splitlines()[3]
    assert re.search(r" Connection +handling .* \d+/16 .* \d+% +Unwritten ", row), top
    assert "0 waits" in tree.splitlines()[0]
    assert re.search(
        r" Connection · handling .* Unwritten \(sent .* from #\d+ message frame\) · mailbox", tree
    )
    assert (given_up["state"], given_up["queued"], given_up["peak"]) == ("stopping", 0, 16)
    assert {"address": address, "kind": "Deliver", "why": "recipient gone"} in letters
    assert (code, frames[-1]["code"]) == (4408, "too_slow")
    assert "Connection · gone (stopped: too slow)" in gone
    assert await metric(server, rejected) == before + 1


async def test_a_held_loop(server: Triologue, session: str, tmp_path: Path) -> None:
    """The watchdog's line, the tree and a trace all name the line that held it."""
    path = tmp_path / "held.json"
    async with connect(server.socket_url(REPORT, session)) as client, trio.open_nursery() as nursery:
        nursery.start_soon(look, server.url, "trace", "--seconds", "6", "-o", str(path))
        while "/traces" not in json.dumps(await get(server, "tasks")):
            pass
        await client.say("report")
        await client.until_final()
        tree, _ = await look(server.url, "tree", "pipelines")
    summary, _ = await look(server.url, "trace", str(path))

    held = records(server, "the loop was held")[-1]
    assert held["held_by"] == f"triologue/pipelines/{REPORT}/reply-1"
    assert re.search(r"/bots\.py:\d+ fetch$", held["stack"][-1])
    assert re.search(
        rf"loop held for .* by {held['held_by']} at .*bots\.py:\d+ fetch time\.sleep\(0\.8\)", tree
    )
    assert "long steps, in which nobody else ran" in summary
    assert re.search(r"bots\.py:\d+ fetch actor \S+/reply-1: write ", summary)


async def test_the_recorded_trace_shows_a_conversation(server: Triologue) -> None:
    """The file that the document describes: small, whole, and nobody's private matter."""
    content = TRACE.read_text()
    summary, _ = await look(server.url, "trace", str(TRACE))
    way, _ = await look(server.url, "trace", str(TRACE), "--follow", "23")

    assert len(content) < 300_000
    assert not re.search(r"/(home|root|work|tmp|usr)/|morning", content)
    for line in DOCUMENT.read_text().partition("## Following one client frame")[2].splitlines():
        if re.match(r"     [\d.]+ ms  #", line):
            assert line.removeprefix("    ") in summary
        numbers = re.match(r" {4}([\d.]+ ms) +([\d.]+ ms) +([\d.]+ ms) +(\w+ #\d+) ", line)
        if numbers is not None:
            assert re.search(r" +".join(map(re.escape, numbers.groups())), way), line
    events = json.loads(content)["traceEvents"]
    begun, ended = ({e["id"]: e for e in events if e["ph"] == phase} for phase in "sf")
    assert begun.keys() == ended.keys()
    slices = [e for e in events if e["ph"] == "X"]
    for flow in [*begun.values(), *ended.values()]:
        around = (s for s in slices if (s["pid"], s["tid"]) == (flow["pid"], flow["tid"]))
        assert any(s["ts"] <= flow["ts"] <= s["ts"] + s["dur"] for s in around), flow
    assert way.count(" Deliver #") == 8


@pytest.mark.parametrize(
    "command", re.findall(r"^    \$ triologue ([^&|\n]+)", DOCUMENT.read_text(), re.MULTILINE)
)
def test_every_command_of_the_document_is_one(command: str) -> None:
    """As it would be typed."""
    assert _parser().parse_args(shlex.split(command)).command == command.split()[0]
