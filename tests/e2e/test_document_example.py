"""What the document's reader tries first: its JavaScript client in a browser's console, others in a terminal.

Against both ways to start, since the document's server is hypercorn with its trio worker.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .browser import Visitor, chromium, visitor
from .running import ECHO, ROOT, SLOW, Triologue

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The document's client: the same constructor, calls and fields. What it would print, it keeps.
CLIENT = """(address) => {
    const socket = new WebSocket(address);
    const heard = { connected: [], responses: [], broadcasts: [], pongs: 0, errors: [], closed: null };
    Object.assign(window, { socket, heard });

    socket.onopen = () => {
        const hello = { type: "message", message: [{ type: "Plain", text: "你好" }] };
        socket.send(JSON.stringify(hello));
    };

    socket.onmessage = (event) => {
        const frame = JSON.parse(event.data);
        switch (frame.type) {
            case "connected":
                heard.connected.push(frame.connection_id);
                break;
            case "response":
                heard.responses.push([frame.data.content, frame.data.is_final]);
                break;
            case "broadcast":
                heard.broadcasts.push(frame.message);
                break;
            case "pong":
                heard.pongs += 1;
                break;
            case "error":
                heard.errors.push(frame.message);
        }
    };

    socket.onerror = () => heard.errors.push("the connection failed");
    socket.onclose = ({ code }) => { heard.closed = code; };

    setInterval(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ping" }));
    }, 20);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all servers."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def guest(browser: Browser) -> Iterator[Visitor]:
    """Somebody with a browser."""
    made = visitor(browser)
    yield made
    made.context.close()


def wait_until(page: Page, condition: str) -> None:
    """Look until *condition* holds.

    `page.wait_for_function` needs `eval`, which the policy of the page forbids.
    """
    page.evaluate(f"""() => new Promise((done) => {{
        const look = () => ({condition}) ? done() : setTimeout(look, 10);
        look();
    }})""")


def in_a_terminal(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.browser
def test_the_documents_client_works_in_the_console_of_the_page(triologue: Triologue, guest: Visitor) -> None:
    """Whoever pastes it there expects a greeting, an answer, pongs and broadcasts, and no complaint."""
    page = guest.page
    page.goto(triologue.url)
    path = f"/api/v1/pipelines/{ECHO}/ws"

    page.evaluate(CLIENT, f"ws://localhost:{triologue.port}{path}/connect?session_type=person")
    wait_until(page, "heard.responses.at(-1)?.[1] === true && heard.pongs >= 2")
    assert triologue.json("POST", f"{path}/broadcast", {"message": "大家好"})[0] == 200
    wait_until(page, "heard.broadcasts.length > 0")
    page.evaluate("""socket.send(JSON.stringify({ type: "disconnect" }))""")
    wait_until(page, "heard.closed !== null")

    heard = page.evaluate("heard")
    assert [str(uuid.UUID(connection, version=4)) for connection in heard["connected"]] == heard["connected"]
    assert len(heard["connected"]) == 1
    assert heard["responses"][-1] == ["你好", True]
    assert heard["broadcasts"] == ["大家好"]
    assert (heard["errors"], heard["closed"]) == ([], 1000)
    assert guest.complaints == []


@pytest.mark.browser
def test_a_reply_grows_in_the_documents_client(triologue: Triologue, guest: Visitor) -> None:
    """`content` is all of it so far, and `is_final` is true once, at the end."""
    page = guest.page
    page.goto(triologue.url)
    address = f"ws://localhost:{triologue.port}/api/v1/pipelines/{SLOW}/ws/connect?session_type=person"

    page.evaluate(CLIENT, address)
    wait_until(page, "heard.responses.at(-1)?.[1] === true")
    page.evaluate("""() => {
        heard.responses.length = 0;
        const message = [{ type: "Plain", text: "one two three four five" }];
        socket.send(JSON.stringify({ type: "message", message }));
    }""")
    wait_until(page, "heard.responses.at(-1)?.[1] === true")

    responses = page.evaluate("heard.responses")
    assert len(responses) > 2
    assert [final for _, final in responses] == [False] * (len(responses) - 1) + [True]
    contents = [content for content, _ in responses]
    assert contents == sorted(contents, key=len)
    assert all(contents[-1].startswith(content) for content in contents)
    assert contents[-1] == "one two three four five"
    assert guest.complaints == []


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ([], "got: Hello"),
        (["--session-type", "group"], "got: Hello"),
        (["--multi", "5"], "5 of 5 connections got their final reply"),
    ],
)
def test_the_documents_test_client_succeeds(triologue: Triologue, options: list[str], last: str) -> None:
    """`examples/test_websocket_client.py` is how the document has a server checked."""
    host = f"127.0.0.1:{triologue.port}"
    done = in_a_terminal("examples/test_websocket_client.py", ECHO, "--host", host, *options)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == last


def test_the_documents_test_client_fails_when_nobody_answers(triologue: Triologue) -> None:
    """A check that can't fail checks nothing."""
    host = f"127.0.0.1:{triologue.port}"
    done = in_a_terminal("examples/test_websocket_client.py", str(uuid.uuid4()), "--host", host)

    assert (done.returncode, done.stderr) == (1, "")
    assert "Pipeline not found" in done.stdout


def test_the_chat_command_says_what_it_is_told_and_prints_the_reply(triologue: Triologue) -> None:
    """For scripts: the reply and nothing else on the output, and a true exit status."""
    options = ["--url", triologue.url, "--session-id", str(uuid.uuid4())]
    done = in_a_terminal("-m", "server", "chat", SLOW, "--message", "hi there 你好", *options)

    assert (done.returncode, done.stdout, done.stderr) == (0, "hi there 你好\n", "")


def test_the_chat_command_fails_when_there_is_no_such_pipeline(triologue: Triologue) -> None:
    """And says why, away from the output."""
    done = in_a_terminal("-m", "server", "chat", str(uuid.uuid4()), "--message", "hi", "--url", triologue.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Pipeline not found" in done.stderr
