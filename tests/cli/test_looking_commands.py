"""The commands that look into a server, against one whose answers are laid down."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from server.cli import main

from .looking_answers import Json, actor, actors_json, task

ROOT = Path(__file__).parents[2]
API = "/api/v1/admin"

Answers = Mapping[str, tuple[int, bytes] | None]


def ok(data: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"code": 0, "msg": "ok", "data": data}).encode()


ACTORS = actors_json(actor("triologue", "Root"), actor("triologue/registry"))
TASKS: Json = {"root": task("<Init>", task("lifespan", task("actor triologue/registry")))}
STACKS: Json = {"tasks": [task("actor triologue/registry")], "threads": []}
GOOD: Answers = {"actors": ok(ACTORS), "tasks": ok(TASKS), "stacks": ok(STACKS)}
COMMANDS = (["tree"], ["top", "--once", "--interval", "0.05"], ["stacks"])


@contextmanager
def serving(answers: Answers, port: int = 0) -> Iterator[str]:
    """A server that answers so, by the path below the admin routes; `None` closes without a word."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.removeprefix(f"{API}/").partition("?")[0], (404, b"<html>"))
            if answer is None:
                return
            status, body = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            pass

    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def everything(answer: tuple[int, bytes] | None) -> Answers:
    return {"actors": answer, "tasks": answer, "stacks": answer}


@contextmanager
def process(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, ended afterwards."""
    whole = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    running = subprocess.Popen(
        [sys.executable, "-m", "server", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"},
        text=True,
        **whole,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_the_server_answers_is_shown(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without colours, as the output is no terminal."""
    with serving(GOOD) as url:
        assert main([*command, "--url", url]) == 0

    out, err = capsys.readouterr()
    assert "registry" in out
    assert url in out
    assert "\x1b" not in out
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_data_is_to_be_had_as_it_is(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """For other programs: also what is not shown."""
    with serving(GOOD) as url:
        assert main([*command, "--json", "--url", url]) == 0

    data = json.loads(capsys.readouterr().out)
    assert data == {"tree": {"actors": ACTORS, "tasks": TASKS}, "top": ACTORS, "stacks": STACKS}[command[0]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (403, b'{"code":-1,"msg":"Only for \\u001b[31m us","error":"forbidden"}'),
            "(HTTP 403): Only for \ufffd",
        ),
        ((404, b"<html>Not Found</html>"), "refuses (HTTP 404)"),
        ((500, b'["no envelope"]'), "refuses (HTTP 500)"),
        ((200, b"<html>"), "does not answer as Triologue does"),
        ((200, b"\xff\xfe"), "does not answer as Triologue does"),
        ((200, b"[" * 100_000), "does not answer as Triologue does"),
        ((200, b'{"data":[1]}'), "does not answer as this version of Triologue does"),
        ((200, b'{"data":{"actors":1,"root":{},"tasks":[{"id":"x"}]}}'), "as this version of Triologue does"),
        (None, "answers no proper HTTP"),
    ],
)
def test_a_server_that_does_not_tell_is_told_in_one_line(
    command: list[str], answer: tuple[int, bytes] | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its own words, if it has any; nothing on standard output, and a status that scripts see."""
    with serving(everything(answer)) as url:
        assert main([*command, "--url", url]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"triologue: {url} ")
    assert said in err
    assert len(err.splitlines()) == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_server_that_is_not_there_is_told_in_one_line(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The commonest mistake gets no traceback, and shows no password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"

    assert main([*command, "--url", f"ws://me:swordfish@{host}"]) == 1
    assert capsys.readouterr() == ("", f"triologue: http://{host} can't be reached: Connection refused\n")


def test_a_server_that_says_nothing_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one whose loop is held."""
    monkeypatch.setattr("server.cli.looking.admin.ANSWER_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        assert main(["tree", "--url", f"http://{host}"]) == 1

    assert capsys.readouterr().err == f"triologue: http://{host} does not answer within 0 s\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["registry"], 0, "triologue/registry Registry"),
        (["--stack", "registry"], 0, "registry Registry"),
        (["--tasks"], 0, "actor triologue/registry"),
        (["nobody"], 1, "triologue: there is no actor 'nobody'"),
        (["tri"], 1, "triologue: 'tri' may be 2 actors: triologue, triologue/registry"),
    ],
)
def test_the_tree_of_one_actor(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found by a part of its address, if that is enough."""
    with serving(GOOD) as url:
        assert main(["tree", *arguments, "--url", url]) == status

    out, err = capsys.readouterr()
    assert said in (err if status else out)


@pytest.mark.parametrize("command", ["tree", "top", "trace", "stacks"])
@pytest.mark.parametrize("more", [["--url", "h:1"], ["--dance"]])
def test_a_wrong_command_line_has_a_status_of_its_own(command: str, more: list[str]) -> None:
    """As shells expect."""
    with pytest.raises(SystemExit) as caught:
        main([command, *more])

    assert caught.value.code == 2


@pytest.mark.parametrize("seconds", ["0", "nan", "-1", "inf", "x"])
def test_an_interval_is_a_sensible_number(seconds: str) -> None:
    """Zero would run the server over."""
    with pytest.raises(SystemExit) as caught:
        main(["top", "--interval", seconds])

    assert caught.value.code == 2


def test_a_reader_that_has_seen_enough_is_no_trouble() -> None:
    """`triologue top | head` ends, and says nothing about it."""
    with serving(GOOD) as url, process("top", "--interval", "0.05", "--url", url) as top:
        assert top.stdout is not None
        assert top.stderr is not None
        assert top.stdout.readline().startswith("triologue top")
        top.stdout.close()
        said = top.stderr.read()
        status = top.wait(20)
        top.stdout = None

    assert (status, said) == (0, "")


def test_ctrl_c_is_quiet() -> None:
    """It is how one leaves."""
    with serving(GOOD) as url, process("top", "--interval", "0.05", "--url", url) as top:
        assert top.stdout is not None
        top.stdout.readline()
        top.send_signal(signal.SIGINT)
        _, said = top.communicate(timeout=20)

    assert (top.returncode, said) == (130, "")


def test_top_goes_on_when_the_server_comes_back() -> None:
    """A restart is when one wants to look."""
    with serving(GOOD) as url:
        port = int(url.rpartition(":")[2])
        watching = process("top", "--interval", "0.05", "--url", url)
        top = watching.__enter__()
        lines = top.stdout
        assert lines is not None
        assert lines.readline().startswith(f"triologue top · {url} · ")
    try:
        gone = next(line for line in lines if "server gone" in line)
        with serving(GOOD, port):
            back = next(line for line in lines if line.startswith("triologue top") and "gone" not in line)
    finally:
        watching.__exit__(None, None, None)

    assert "server gone, retrying" in gone
    assert "Connection refused" in gone or "closed the connection" in gone or "no proper HTTP" in gone
    assert back.startswith(f"triologue top · {url} · ")


class Terminal:
    """A process's terminal: what is typed, and what it shows."""

    def __init__(self) -> None:
        self._own, self.theirs = pty.openpty()
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def wait_text(self, wanted: str) -> str:
        """All that is shown until *wanted* is, which is forgotten then."""
        deadline = time.monotonic() + 30
        while (match := re.search(wanted, self.text)) is None:
            ready, _, _ = select.select([self._own], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {wanted!r} in {self.text!r}"
            self.text += os.read(self._own, 65536).decode("utf-8", "replace")
        shown, self.text = self.text[: match.end()], self.text[match.end() :]
        return shown

    def close(self) -> None:
        os.close(self._own)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.mark.parametrize("leave", ["q", "Ctrl-C"])
def test_keys_change_the_order_and_quit(terminal: Terminal, leave: str) -> None:
    """The terminal is left as it was."""
    ends = terminal.theirs
    before = termios.tcgetattr(ends)
    with (
        serving(GOOD) as url,
        process("top", "--interval", "30", "--url", url, stdin=ends, stdout=ends, stderr=ends) as top,
    ):
        assert "\x1b[?1049h" in terminal.wait_text("busy▾")
        terminal.type("m")
        terminal.wait_text("mailbox▾")
        terminal.type("xn")
        terminal.wait_text("actor▾")
        if leave == "q":
            terminal.type("q")
        else:
            top.send_signal(signal.SIGINT)
        terminal.wait_text(r"\x1b\[\?1049l")
        status = top.wait(20)

    assert status == (0 if leave == "q" else 130)
    assert termios.tcgetattr(ends) == before
    assert "Traceback" not in terminal.text


def test_a_terminal_is_not_sent_a_trace_as_it_is(terminal: Terminal) -> None:
    """Nobody has looked yet at what is in there."""
    with process("trace", "--json", stdout=terminal.theirs) as trace:
        assert trace.wait(20) == 2
        assert trace.stderr is not None
        assert "nothing for a terminal" in trace.stderr.read()


def test_a_terminal_is_shown_colours(terminal: Terminal) -> None:
    """States catch the eye."""
    with serving(GOOD) as url, process("tree", "--url", url, stdout=terminal.theirs) as tree:
        shown = terminal.wait_text("registry.*idle")
        assert tree.wait(20) == 0

    assert "\x1b[32midle" in shown
