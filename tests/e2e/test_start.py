"""How a server starts, or says in one line why it doesn't."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .running import PIPELINES, ROOT, WAYS, Triologue, running


def complaints(server: Triologue) -> list[str]:
    """What a server that could not start printed, without hypercorn's own notices of its start."""
    server.wait_exit(20)
    lines = [line.strip() for line in server.lines if line.strip()]
    server.kill()
    return lines


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("[limits]\nmessage_size = 'big'\n", ["limits.message_size", "'big'|\"big\"", "bytes"]),
        ("[limits]\nmesage_size = 5\n", ["mesage_size", "message_size"]),
        ("[timeouts]\ndrain = -1\n", ["timeouts.drain", "-1"]),
        ("= 5", ["triologue.toml", "line 1"]),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line(
    way: str, settings: str, line: list[str], tmp_path: Path
) -> None:
    """It names the key, the value and what was expected; a log full of traceback names nothing."""
    server = Triologue(way, tmp_path, settings)
    printed = complaints(server)

    assert len(printed) == 1, printed
    assert all(any(option in printed[0] for option in part.split("|")) for part in line), printed
    if way == "serve":
        assert server.process.returncode != 0


@pytest.mark.parametrize("way", WAYS)
def test_a_python_pipeline_that_is_not_there_ends_the_start_with_one_line(way: str, tmp_path: Path) -> None:
    """Better now than at the first message."""
    settings = PIPELINES.replace("tests.e2e.scripted:reply", "tests.e2e.scripted:absent", 1)
    printed = complaints(Triologue(way, tmp_path, settings))

    assert len(printed) == 1, printed
    assert "scripted" in printed[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_second_process_on_one_data_directory_ends_with_one_line(way: str, tmp_path: Path) -> None:
    """Two writers would spoil each other's history."""
    with running(way, tmp_path) as first:
        printed = complaints(Triologue(way, tmp_path))
        assert first.json("GET", "/api/v1/pipelines")[0] == 200

    assert len(printed) == 1, printed
    assert "data" in printed[0]
    assert "in use" in printed[0]


def test_a_second_worker_ends_with_one_line(tmp_path: Path) -> None:
    """`--workers 2` would be two owners of one data directory."""
    import os

    command = [sys.executable, "-m", "hypercorn", "--worker-class", "trio", "--workers", "2"]
    finished = subprocess.run(
        [*command, "--bind", "127.0.0.1:0", "server.asgi:app"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRIOLOGUE_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    printed = finished.stdout + finished.stderr
    assert len([line for line in printed.splitlines() if "in use" in line]) == 1, printed
    assert "Traceback" not in printed


def test_hypercorn_without_a_parent_tells_how_the_server_ended(tmp_path: Path) -> None:
    """The parent exits with 0 whatever happens; and a process less to start is the sooner start."""
    alone = ["--workers", "0"]
    server = Triologue("hypercorn", tmp_path, settings="", options=alone).wait_ready()
    second = Triologue("hypercorn", tmp_path, settings="", options=alone)
    printed = complaints(second)
    answered = server.call("GET", "/healthz")[0]
    server.terminate()
    status = server.wait_exit()
    server.kill()

    assert len(printed) == 1, printed
    assert second.process.returncode == 1
    assert answered == 200
    assert status == 0, server.output


def test_a_taken_port_ends_the_start_with_one_line(tmp_path: Path) -> None:
    """The commonest mistake of all."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Triologue("serve", tmp_path, bind=f"127.0.0.1:{taken.getsockname()[1]}")
        printed = complaints(server)

    assert len(printed) == 1, printed
    assert str(taken) not in printed[0]
    assert server.process.returncode != 0


def test_serve_prints_where_to_go(tmp_path: Path) -> None:
    """The address of the chat page, and each pipeline's uuid."""
    with running("serve", tmp_path, settings="") as server:
        server.wait_output(r"chat page +http://127\.0\.0\.1:\d+/")
        server.wait_output(r"pipeline +00000000-0000-4000-8000-000000000001 +echo")
        status, headers, content = server.call("GET", "/")

    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"<script" in content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_standard_output_that_takes_nothing_is_no_reason_to_end(tmp_path: Path) -> None:
    """A full disk under a log file must not keep a server from starting, nor make its end look like a fault.

    What Python has not written yet it tries again at the end, if it may keep anything back.
    """
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        server = subprocess.Popen(
            [sys.executable, "-m", "server", "serve", "--bind", "127.0.0.1:0"],
            cwd=tmp_path,
            env={**buffered, "PYTHONPATH": str(ROOT), "TRIOLOGUE_DATA_DIR": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert server.stderr is not None
    lines = iter(server.stderr.readline, "")
    assert any("Running on http://" in line for line in lines)
    server.terminate()
    rest = server.communicate(timeout=20)[1]

    assert server.returncode == 0, rest


@pytest.mark.parametrize("way", WAYS)
def test_everything_written_lies_in_the_data_directory(way: str, tmp_path: Path) -> None:
    """An operator mounts one place, and nobody else can read it."""
    with running(way, tmp_path):
        data = tmp_path / "data"
        assert data.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in tmp_path.iterdir()} == {"data", "triologue.toml"}
