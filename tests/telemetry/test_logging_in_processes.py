"""Logging as a process has it: which form for which standard error, what comes last, a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.client import connect
from tests.e2e.running import DOWN, ROOT, Triologue, running

SCRIPT = """
import logging, sys, structlog
from server.telemetry import configure_logging
configure_logging("info", sys.argv[1], secrets=["hunter2"])
log = structlog.get_logger("server.room")
log.debug("not this")
log.info("drained", sockets=5, url="http://me:hunter2@h")
logging.getLogger("actors").warning("a crashed")
logging.getLogger("library").info("not this")
logging.getLogger("library").warning("of a library")
"""


def run(code: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})},
        timeout=60,
        check=True,
        **more,
    )


def at_a_terminal(*arguments: str, **more: Any) -> str:
    """What the script writes to a standard error that is a terminal."""
    ours, theirs = pty.openpty()
    run(SCRIPT, *arguments, stderr=theirs, **more)
    os.close(theirs)
    text = b""
    try:
        while read := os.read(ours, 2**16):
            text += read
    except OSError:
        # How Linux says that nobody has the other end open.
        pass
    os.close(ours)
    return text.decode()


@pytest.mark.parametrize("log_format", ["auto", "json"])
def test_json_is_for_programs(log_format: str) -> None:
    """A collector, a file, `journalctl`: whatever is no terminal."""
    lines = run(SCRIPT, log_format, stderr=subprocess.PIPE).stderr.decode().splitlines()

    assert [json.loads(line)["event"] for line in lines] == ["drained", "a crashed", "of a library"]
    assert "hunter2" not in str(lines)


def test_people_may_be_asked_for_where_there_is_no_terminal() -> None:
    """Then without colors."""
    text = run(SCRIPT, "human", stderr=subprocess.PIPE).stderr.decode()

    assert len(text.splitlines()) == 3
    assert "drained [server.room] sockets=5" in text
    assert "\x1b" not in text


def test_a_terminal_gets_lines_for_people_in_colors() -> None:
    """Unless its user wants none, or JSON."""
    assert "\x1b[" in at_a_terminal("auto")
    assert "\x1b[" in at_a_terminal("human")
    plain = at_a_terminal("auto", env={"NO_COLOR": "1"})
    assert "\x1b" not in plain
    assert "drained [server.room] sockets=5" in plain
    assert json.loads(at_a_terminal("json").splitlines()[0])["event"] == "drained"


def test_whoever_has_set_up_logging_keeps_it() -> None:
    """An operator's own handler, level and form."""
    code = "import logging; logging.basicConfig(format='%(levelname)s %(message)s')\n" + SCRIPT

    lines = run(code, "json", stderr=subprocess.PIPE).stderr.decode().splitlines()

    assert lines == [
        'INFO drained sockets=5 url="http://(not shown)@h"',
        "WARNING a crashed",
        "WARNING of a library",
    ]


def test_configuring_again_changes_the_form() -> None:
    """And doubles no line."""
    code = "from server.telemetry import configure_logging; configure_logging('error', 'human')\n" + SCRIPT

    lines = run(code, "json", stderr=subprocess.PIPE).stderr.decode().splitlines()

    assert [json.loads(line)["event"] for line in lines] == ["drained", "a crashed", "of a library"]


def test_before_the_settings_are_known_warnings_are_heard() -> None:
    """The listener has one before the application has read a file."""
    code = "import server.telemetry, structlog; structlog.get_logger('server.x').warning('odd', why='so')"

    assert run(code, stderr=subprocess.PIPE).stderr == b"odd why=so\n"


def test_the_last_line_before_the_end_is_written() -> None:
    """It tells why."""
    code = SCRIPT + "\nlog.error('the end', text='x' * 1000)\nraise SystemExit(0)"

    assert b'"the end"' in run(code, "json", stderr=subprocess.PIPE).stderr.splitlines()[-1]


@pytest.mark.parametrize("trouble", ["closed", "none", "full", "asleep"])
def test_a_standard_error_in_trouble_is_no_trouble(trouble: str) -> None:
    """Ten megabytes of lines into nothing: the process goes on, and ends as it should."""
    code = SCRIPT + "\nfor _ in range(10_000): log.error('much', text='x' * 1000)\nprint('alive')"
    reading, stderr = os.pipe()
    if trouble == "closed":
        os.close(reading)
    elif trouble == "full":
        os.close(stderr)
        stderr = os.open("/dev/full", os.O_WRONLY)
    elif trouble == "none":
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} json 2>&-"
        code = f"import os; os.execv('/bin/sh', ['sh', '-c', {command!r}])"

    done = run(code, "json", stderr=stderr, stdout=subprocess.PIPE)

    os.close(stderr)
    if trouble != "closed":
        os.close(reading)
    assert done.stdout == b"alive\n"


def records(server: Triologue) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.lines if line.startswith("{")]


async def test_a_line_of_a_server_says_who_and_because_of_what(tmp_path: Path) -> None:
    """From a pipeline's failure back to the client's frame that it answered."""
    with running("serve", tmp_path) as server:
        async with connect(server.socket_url(DOWN)) as client:
            await client.say("hello")
            await client.until_final()
        await trio.to_thread.run_sync(server.wait_output, "the pipeline failed")

        (record,) = [record for record in records(server) if record["event"] == "the pipeline failed"]

    assert record["level"] == "warning"
    assert record["logger"] == "server.pipeline.reply"
    assert record["error"].startswith("UpstreamUnavailable: ")
    assert re.fullmatch(rf"triologue/pipelines/{DOWN}/.+", record["actor"])
    assert isinstance(record["cause"], int)
    assert "message" in record["origin"]
    assert record["connection"] == client.connected["connection_id"]
    assert record["conversation"]
    assert "hunter2" not in server.output
