"""Looking into a real server with the command line: what is stuck, and what came of a frame."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from .client import Client, connect
from .running import ECHO, OTHER, ROOT, SLOW, Triologue, running

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


async def look(url: str, *arguments: str, status: int = 0) -> tuple[str, str]:
    """What `triologue` with these *arguments* prints about the server at *url*, on both its outputs."""
    with trio.fail_after(60):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *arguments, "--url", url],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, (done.returncode, out, err)
    return out, err


@asynccontextmanager
async def stuck(triologue: Triologue, query: str) -> AsyncIterator[Client]:
    """A client whose reply has begun and does not go on."""
    async with connect(triologue.socket_url(OTHER, query)) as client:
        await client.say("hang")
        await client.until(lambda frame: frame["type"] == "response")
        yield client


async def test_the_tree_shows_every_actor_in_its_place(triologue: Triologue, session: str) -> None:
    """From the root supervisor down to the tasks of a reply, and the listener's tasks beside it."""
    async with stuck(triologue, session) as client:
        connection = client.connected["connection_id"]
        out, _ = await look(triologue.url, "tree", "--all")

    lines = out.splitlines()
    depth = {line.lstrip("│├└─ "): len(line) - len(line.lstrip("│├└─ ")) for line in lines}

    def place(beginning: str) -> int:
        return next((deep for text, deep in depth.items() if text.startswith(beginning)), -1)

    assert lines[0].startswith(f"{triologue.url} · ")
    assert place("triologue Root") < place("registry Registry") == place("connections Connections")
    assert place(f"{connection} Connection") > place("connections Connections")
    assert place("reply-1 Reply" if triologue.way == "serve" else "reply-") > place("pipelines Pipelines")
    assert place("task write") > place("pipelines Pipelines")
    assert place("websocket /api/v1/pipelines/") == place("listener connection") > 0
    assert "among" not in out


async def test_a_stuck_reply_is_found_by_its_stack(triologue: Triologue, session: str) -> None:
    """The line of the pipeline's own code that it waits in."""
    async with stuck(triologue, session):
        tree, _ = await look(triologue.url, "tree", "--stacks", "pipelines")
        stacks, _ = await look(triologue.url, "stacks")

    for out in (tree, stacks):
        assert "tests/e2e/scripted.py:" in out
        assert "await trio.sleep_forever()" in out
    assert "thread " in stacks


async def test_idle_connections_are_one_line(triologue: Triologue) -> None:
    """However many there are."""
    async with trio.open_nursery() as nursery:
        done = trio.Event()
        open_ = trio.Event()
        left = 12

        async def idle() -> None:
            nonlocal left
            async with connect(triologue.socket_url(ECHO, "session_id=idle")):
                left -= 1
                if left == 0:
                    open_.set()
                await done.wait()

        for _ in range(left):
            nursery.start_soon(idle)
        await open_.wait()
        folded, _ = await look(triologue.url, "tree", "connections")
        whole, _ = await look(triologue.url, "tree", "connections", "--all")
        top, _ = await look(triologue.url, "top", "--once", "--interval", "0.1")
        done.set()

    assert sum("idle" in line for line in folded.splitlines()) < 10
    assert "more idle Connection" in folded
    assert sum(" Connection · idle" in line for line in whole.splitlines()) >= 12
    assert top.count(" Connection ") >= 12


async def test_top_names_what_an_actor_is_at(triologue: Triologue, session: str) -> None:
    """A table for scripts, of one interval; and everything as JSON."""
    async with connect(triologue.socket_url(SLOW, session)) as client, trio.open_nursery() as nursery:

        async def talk() -> None:
            while True:
                await client.say("one two three four five six seven eight")
                await client.until_final()

        nursery.start_soon(talk)
        out, _ = await look(triologue.url, "top", "--once", "--interval", "0.3", "--sort", "handled")
        raw, _ = await look(triologue.url, "top", "--json")
        nursery.cancel_scope.cancel()

    assert out.splitlines()[0].startswith(f"triologue top · {triologue.url} · ")
    rates = [float(rate) for rate in re.findall(r" \d+/\d+ +\d+ +([\d.]+) +\d+% ", out)]
    assert len(rates) == len(out.splitlines()[3:])
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0
    addresses = {actor["address"] for actor in json.loads(raw)["actors"]}
    assert {"triologue", "triologue/registry"} <= addresses


async def test_those_gone_are_shown(triologue: Triologue, session: str) -> None:
    """A reply that ended is still to be seen for a while."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.say("hello")
        await client.until_final()
        await client.ping()
    out, _ = await look(triologue.url, "tree", "--gone")

    assert "Reply · gone (stopped: " in out


async def test_a_trace_follows_one_frame_to_every_frame_it_led_to(
    triologue: Triologue, session: str, tmp_path: Path
) -> None:
    """From the client's message to what its connection is told, over all actors between."""
    path = tmp_path / "out.json"
    async with connect(triologue.socket_url(ECHO, session)) as client, trio.open_nursery() as nursery:

        async def talk() -> None:
            while True:
                await client.say("hello")
                await client.until_final()
                await trio.sleep(0.05)

        nursery.start_soon(talk)
        summary, _ = await look(triologue.url, "trace", "--seconds", "1", "-o", str(path))
        nursery.cancel_scope.cancel()
    ways = summary.partition("origins with the longest ways")[2]
    origin = re.search(r"#(\d+) message frame", ways)
    assert origin is not None, summary
    followed, _ = await look(triologue.url, "trace", str(path), "--follow", origin[1])

    trace = json.loads(path.read_bytes())
    assert trace["traceEvents"]
    assert "ui.perfetto.dev" in summary
    kinds = [kind for kind in ("Say", "WriteReply", "ReplyFinished", "Deliver") if f" {kind} " in followed]
    assert kinds == ["Say", "WriteReply", "ReplyFinished", "Deliver"], followed
    assert followed.index(" Say ") < followed.index(" WriteReply ") < followed.rindex(" Deliver ")


async def test_a_trace_is_not_overwritten_unless_told_to(triologue: Triologue, tmp_path: Path) -> None:
    """What took a minute to catch may be the only one."""
    path = tmp_path / "out.json"
    path.write_text("precious")
    _, said = await look(triologue.url, "trace", "--seconds", "0.1", "-o", str(path), status=1)
    assert path.read_text() == "precious"
    await look(triologue.url, "trace", "--seconds", "0.1", "-o", str(path), "--force")

    assert "--force" in said
    assert json.loads(path.read_bytes())["traceEvents"] is not None
    assert os.listdir(tmp_path) == ["out.json"]


async def test_one_trace_at_a_time_and_ctrl_c_ends_it(triologue: Triologue, tmp_path: Path) -> None:
    """A second one is refused in the server's own words; no half of a file stays, nor the server busy."""

    def trace(seconds: str, name: str) -> list[str]:
        return ["trace", "--seconds", seconds, "-o", str(tmp_path / name)]

    async with trio.open_nursery() as nursery:
        first = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "server", *trace("60", "1.json"), "--url", triologue.url],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_stderr=True,
                check=False,
            )
        )
        with trio.fail_after(60):
            while "http /api/v1/admin/traces" not in (await look(triologue.url, "stacks"))[0]:
                pass
        _, said = await look(triologue.url, *trace("0.1", "2.json"), status=1)
        first.send_signal(signal.SIGINT)
        with trio.fail_after(20):
            await first.wait()

    assert "refuses (HTTP 409): " in said
    assert first.returncode == 130
    assert os.listdir(tmp_path) == []
    with trio.fail_after(60):
        while "http /api/v1/admin/traces" in (await look(triologue.url, "stacks"))[0]:
            pass
    await look(triologue.url, *trace("0.1", "3.json"))
    assert os.listdir(tmp_path) == ["3.json"]


def test_top_lives_through_a_restart(tmp_path: Path) -> None:
    """It says that the server is gone, and goes on when it is back."""
    lines: Any
    with running("serve", tmp_path / "one") as server:
        port = server.port
        top = subprocess.Popen(
            [sys.executable, "-m", "server", "top", "--interval", "0.1", "--url", server.url],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = top.stdout
        assert lines.readline().startswith("triologue top")
    try:
        assert next(line for line in lines if "server gone, retrying" in line)
        again = Triologue("serve", tmp_path / "two", bind=f"127.0.0.1:{port}")
        try:
            again.wait_ready()
            assert next(line for line in lines if line.startswith("triologue top") and "gone" not in line)
        finally:
            again.kill()
    finally:
        top.kill()
        top.communicate()


async def test_a_server_that_strangers_can_reach_refuses(tmp_path: Path) -> None:
    """Until there are credentials it is not shown to anybody; its own words say why."""
    server = Triologue("serve", tmp_path, bind="0.0.0.0:0")
    try:
        port = server.wait_output(r"Running on http://0\.0\.0\.0:(\d+)")[1]
        for command in ("tree", "top", "stacks", "trace"):
            arguments = ["-o", str(tmp_path / "no.json")] if command == "trace" else []
            out, err = await look(f"http://127.0.0.1:{port}", command, *arguments, status=1)
            assert out == ""
            assert err.startswith(f"triologue: http://127.0.0.1:{port} refuses (HTTP 403): ")
            assert "loopback" in err
    finally:
        server.kill()
    assert not (tmp_path / "no.json").exists()
