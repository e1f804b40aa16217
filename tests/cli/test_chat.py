"""The chat command and the document's example client, against a small server of our own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import (
    CloseReason,
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
)

from server.cli import main
from server.cli.chat import Chat, ask_once, backoff, hinted, websocket_url
from server.cli.lines import Lines

ROOT = Path(__file__).parents[2]
BUILT_IN = "00000000-0000-4000-8000-000000000001"

Talk = Callable[["FakeSocket"], Awaitable[None]]


class FakeSocket:
    """One client, as the fake server sees it."""

    def __init__(self, connection: WebSocketConnection, path: str, number: int) -> None:
        self.connection = connection
        self.path = path
        self.id = f"connection-{number}"
        self.number = number

    async def send(self, **frame: Any) -> None:
        await self.connection.send_message(json.dumps(frame))

    async def receive(self) -> Any:
        return json.loads(await self.connection.get_message())

    async def greet(self, **more: Any) -> None:
        await self.send(
            type="connected",
            connection_id=self.id,
            pipeline_uuid="p",
            session_type="person",
            timestamp="2026-01-01T00:00:00.000Z",
            **more,
        )

    async def reply(self, *chunks: str, id_: int = 2, asker: str | None = None, **data: Any) -> None:
        content = ""
        for index, chunk in enumerate(chunks):
            content += chunk
            whole = {"id": id_, "content": content, "connection_id": asker or self.id, **data}
            await self.send(type="response", data={**whole, "is_final": index == len(chunks) - 1})


async def echo(socket: FakeSocket) -> None:
    """As the built-in pipeline does, until the client leaves."""
    await socket.greet()
    while (frame := await socket.receive())["type"] != "disconnect":
        if frame["type"] == "ping":
            await socket.send(type="pong", timestamp="t")
        else:
            text = frame["message"][0]["text"]
            await socket.send(
                type="user_message", data={"id": 1, "content": text, "connection_id": socket.id}
            )
            await socket.reply("you said ", text)
    await socket.connection.aclose(1000)


@asynccontextmanager
async def serving(*talks: Talk, level: int = 2) -> AsyncIterator[tuple[str, list[FakeSocket]]]:
    """A server whose n-th client gets the n-th talk, later ones the last. Yields host:port and clients."""
    clients: list[FakeSocket] = []

    async def handle(request: WebSocketRequest) -> None:
        speaks = level == 2 and "triologue.v1" in request.proposed_subprotocols
        accepted = await request.accept(subprotocol="triologue.v1" if speaks else None)
        client = FakeSocket(accepted, request.path, len(clients) + 1)
        clients.append(client)
        with suppress(ConnectionClosed):
            await talks[min(client.number, len(talks)) - 1](client)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, handle, "127.0.0.1", 0, None))
        yield f"127.0.0.1:{server.port}", clients
        nursery.cancel_scope.cancel()


class Screen:
    """A terminal: what is typed waits until the screen shows what it is an answer to."""

    def __init__(self, *typed: tuple[str, str | None]) -> None:
        self._typed = list(typed)
        self._shown = trio.Event()
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text
        self._shown.set()
        self._shown = trio.Event()

    async def read_line(self) -> str | None:
        if not self._typed:
            await trio.sleep_forever()
        after, line = self._typed.pop(0)
        while after not in self.text:
            await self._shown.wait()
        return line


def url(host: str) -> str:
    return websocket_url(f"http://{host}", BUILT_IN, "person", None)


async def chat(host: str, screen: Screen) -> int:
    with trio.fail_after(20):
        return await Chat(url(host), screen.read_line, screen.write, lambda failures: 0.01).run()


@pytest.mark.parametrize(
    ("base", "session_id", "there"),
    [
        ("http://h:1", None, "ws://h:1/api/v1/pipelines/a%2Fb/ws/connect?session_type=group"),
        (
            "https://h/chat/",
            "x",
            "wss://h/chat/api/v1/pipelines/a%2Fb/ws/connect?session_type=group&session_id=x",
        ),
        ("ws://h", None, "ws://h/api/v1/pipelines/a%2Fb/ws/connect?session_type=group"),
    ],
)
def test_the_address_of_the_socket_follows_from_the_server_s(
    base: str, session_id: str | None, there: str
) -> None:
    """Behind a proxy the server may live below a path."""
    assert websocket_url(base, "a/b", "group", session_id) == there


def test_backoff_grows_and_is_bounded() -> None:
    """A server that comes back must not be run over."""
    assert all(0.5 * min(30, 2**n) <= backoff(n) <= min(30, 2**n) for n in (*range(10), 2000))


async def test_a_line_is_answered_below_it() -> None:
    """The whole point."""
    screen = Screen(("connected", "hello"), ("you said hello\n", "/quit"))
    async with serving(echo) as (host, clients):
        status = await chat(host, screen)

    assert status == 0
    assert screen.text == "(connected; Ctrl-D or /quit leaves)\nbot: you said hello\n"
    assert clients[0].path == f"/api/v1/pipelines/{BUILT_IN}/ws/connect?session_type=person"


async def test_the_end_of_input_leaves_in_good_order() -> None:
    """The server sees a `disconnect`, not a lost connection."""
    last: list[Any] = []

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        last.append(await socket.receive())
        await socket.connection.aclose(1000)

    async with serving(talk) as (host, _):
        assert await chat(host, Screen(("connected", None))) == 0

    assert last == [{"type": "disconnect"}]


@pytest.mark.parametrize(
    ("code", "said"), [(1012, "the server restarts"), (4408, "connection lost (4408 slow)")]
)
async def test_a_lost_socket_is_replaced_and_said_so(code: int, said: str) -> None:
    """Servers restart and networks come and go; the person should know, and not have to care."""

    async def leave(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.connection.aclose(code, "slow")

    screen = Screen(("reconnecting)\n(connected", "hello"), ("you said hello\n", None))
    async with serving(leave, echo) as (host, clients):
        assert await chat(host, screen) == 0

    assert f"({said}; reconnecting)" in screen.text
    assert len(clients) == 2


async def test_a_running_reply_goes_on_after_a_lost_socket() -> None:
    """Nothing of it is written twice."""

    async def begin(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.send(type="response", data={"id": 2, "content": "Once", "is_final": False})
        await socket.connection.aclose(1012)

    async def end(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.reply("Once upon", " a time")
        await socket.receive()
        await socket.connection.aclose(1000)

    screen = Screen((" a time\n", None))
    async with serving(begin, end) as (host, _):
        assert await chat(host, screen) == 0

    assert screen.text.count("Once") == 1
    assert "bot …  upon a time\n" in screen.text


async def test_what_was_not_acknowledged_is_said_again() -> None:
    """With its name, so that a server that has it already does not take it twice; and from where one was."""
    heard: list[Any] = []

    async def lose(socket: FakeSocket) -> None:
        await socket.greet(cursor="e.4")
        heard.append(await socket.receive())
        await socket.send(type="user_message", data={"id": 1, "seq": 5, "content": "hello"})
        await socket.connection.aclose(1011)

    async def take(socket: FakeSocket) -> None:
        await socket.greet(cursor="e.5", resumed=True)
        heard.append(await socket.receive())
        name = heard[-1]["client_msg_id"]
        await socket.send(type="ack", client_msg_id=name, id=1, seq=5, duplicate=True)
        await socket.connection.aclose(1011)

    async def end(socket: FakeSocket) -> None:
        await socket.greet(cursor="e.5", resumed=True)
        await socket.send(type="broadcast", message="third")
        heard.append(await socket.receive())
        await socket.connection.aclose(1000)

    screen = Screen(("(connected", "hello"), ("* third", None))
    async with serving(lose, take, end) as (host, clients):
        assert await chat(host, screen) == 0

    assert heard[0]["message"] == [{"type": "Plain", "text": "hello"}]
    assert heard[1:] == [heard[0], {"type": "disconnect"}]
    assert [client.path.partition("&")[2] for client in clients] == ["", "cursor=e.5", "cursor=e.5"]


async def test_an_older_server_is_not_told_twice() -> None:
    """It would take it for two; the person is told instead."""
    heard: list[Any] = []

    async def lose(socket: FakeSocket) -> None:
        await socket.greet()
        heard.append(await socket.receive())
        await socket.connection.aclose(1011)

    async def end(socket: FakeSocket) -> None:
        await socket.greet()
        heard.append(await socket.receive())
        await socket.connection.aclose(1000)

    screen = Screen(("(connected", "hello"), ("reconnecting)\n(connected", None))
    async with serving(lose, end, level=1) as (host, _):
        assert await chat(host, screen) == 0

    assert [frame["type"] for frame in heard] == ["message", "disconnect"]


async def test_what_is_put_off_is_said_again_until_it_is_taken() -> None:
    """By the same name: it may have been stored after all."""
    heard: list[Any] = []

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        for _ in range(2):
            heard.append(await socket.receive())
            name = heard[-1]["client_msg_id"]
            await socket.send(type="error", message="Busy", code="busy", retry=True, client_msg_id=name)
        heard.append(await socket.receive())
        await socket.send(type="ack", client_msg_id=name, id=1, seq=1, duplicate=False)
        await socket.reply("at last")
        heard.append(await socket.receive())
        await socket.connection.aclose(1000)

    screen = Screen(("(connected", "hello"), ("at last\n", None))
    async with serving(talk) as (host, _):
        assert await chat(host, screen) == 0

    assert heard == [heard[0]] * 3 + [{"type": "disconnect"}]
    assert screen.text.endswith("(Busy; trying again)\nbot: at last\n")


async def test_commands_are_about_one_s_newest_message() -> None:
    """Which is known by its ack."""
    heard: list[Any] = []

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        name = (await socket.receive())["client_msg_id"]
        await socket.send(type="ack", client_msg_id=name, id=7, seq=1, duplicate=False)
        await socket.send(type="broadcast", message="acked")
        for _ in range(4):
            heard.append(await socket.receive())
        await socket.connection.aclose(1000)

    typed = [("acked", "/edit goodbye"), ("", "/regenerate"), ("", "/stop"), ("", None)]
    screen = Screen(("(connected", "/recall"), ("no message of yours", "hello"), *typed)
    async with serving(talk) as (host, _):
        assert await chat(host, screen) == 0

    assert [(frame["type"], frame.get("id")) for frame in heard] == [
        ("edit", 7),
        ("regenerate", 7),
        ("stop", None),
        ("disconnect", None),
    ]


async def test_the_server_says_when_to_come_again() -> None:
    """It scatters its clients over the moments after a restart; no backoff of ours on top."""

    async def leave(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.connection.aclose(1012, "the server is restarting, reconnect_ms=1")

    def wait(failures: int) -> float:
        raise AssertionError("the server has said when")

    screen = Screen(("reconnecting)\n(connected", "hello"), ("you said hello\n", None))
    async with serving(leave, echo) as (host, _):
        with trio.fail_after(20):
            assert await Chat(url(host), screen.read_line, screen.write, wait).run() == 0


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        (None, None),
        (CloseReason(1012, "the server is restarting, reconnect_ms=2500"), 2.5),
        (CloseReason(1012, "the server is restarting"), None),
        (CloseReason(1006, None), None),
        (CloseReason(1012, "reconnect_ms=-5"), None),
        (CloseReason(1012, "reconnect_ms=99999999999"), 99.999),
    ],
)
def test_a_hint_is_read_from_the_close_s_reason(reason: CloseReason | None, seconds: float | None) -> None:
    """And nobody can send us away for a year by it."""
    assert hinted(reason) == seconds


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404])
async def test_a_final_refusal_ends_the_chat(code: int) -> None:
    """Asking again for a pipeline that isn't there would never end."""

    async def refuse(socket: FakeSocket) -> None:
        await socket.send(type="error", message="Pipeline not found")
        await socket.connection.aclose(code)

    screen = Screen()
    async with serving(refuse) as (host, clients):
        assert await chat(host, screen) == 1

    assert screen.text == f"! Pipeline not found\n(the server closed the connection ({code}))\n"
    assert len(clients) == 1


async def test_a_server_that_is_not_there_is_said_in_one_line() -> None:
    """The commonest mistake gets no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    screen = Screen()

    assert await chat(host, screen) == 1
    assert screen.text == f"(ws://{host} can't be reached: Connection refused)\n"


async def test_a_goodbye_that_nobody_answers_does_not_hold_up() -> None:
    """Ctrl-D means now."""

    async def deaf(socket: FakeSocket) -> None:
        await socket.greet()
        await trio.sleep_forever()

    async with serving(deaf) as (host, _):
        assert await chat(host, Screen(("connected", None))) == 0


async def test_asking_once_prints_the_reply_to_us_alone() -> None:
    """In a shared conversation others are answered, too."""

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.receive()
        await socket.reply("not", " yours", id_=1, asker="other")
        await socket.reply("yo", "urs", id_=3)
        await socket.receive()

    written: list[str] = []
    async with serving(talk) as (host, _):
        assert await ask_once(url(host), "hi", written.append, pytest.fail) == 0

    assert written == ["yo", "urs", "\n"]


async def test_asking_once_fails_when_the_reply_does() -> None:
    """Scripts look at the exit status."""

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.receive()
        await socket.reply("Sorry.", finish_reason="error")
        await socket.receive()

    async with serving(talk) as (host, _):
        assert await ask_once(url(host), "hi", lambda text: None, pytest.fail) == 1


async def test_asking_once_fails_when_the_message_is_refused() -> None:
    """There will be no reply to wait for; another's refusal is no business of ours."""

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        name = (await socket.receive())["client_msg_id"]
        await socket.send(type="error", message="No", code="busy", retry=True, client_msg_id="another")
        await socket.send(type="error", message="Busy", code="busy", retry=True, client_msg_id=name)
        await socket.receive()

    complaints: list[str] = []
    async with serving(talk) as (host, _):
        assert await ask_once(url(host), "hi", pytest.fail, complaints.append) == 1

    assert complaints == ["No", "Busy"]


async def test_asking_once_fails_when_the_socket_closes_first() -> None:
    """And says why, on its own line."""

    async def talk(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.receive()
        await socket.send(type="response", data={"id": 2, "content": "Wh", "is_final": False})
        await socket.connection.aclose(1013, "full")

    written: list[str] = []
    complaints: list[str] = []
    async with serving(talk) as (host, _):
        assert await ask_once(url(host), "hi", written.append, complaints.append) == 1

    assert ("".join(written), complaints) == ("Wh\n", ["the connection was closed (1013 full)"])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "refused: HTTP 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "refused: HTTP 200"),
        (b"SSH-2.0-x\r\n", "does not answer as a WebSocket server"),
        (b"", "does not answer as a WebSocket server"),
    ],
)
async def test_a_server_of_another_kind_is_said_in_one_line(
    answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's port answers in somebody else's way."""
    monkeypatch.setattr("server.cli.websocket.ANSWER_WITHIN", 0.5)

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)

    complaints: list[str] = []
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        host = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        with trio.fail_after(20):
            assert await ask_once(url(host), "hi", pytest.fail, complaints.append) == 1
        nursery.cancel_scope.cancel()

    assert complaints == [f"ws://{host} {said}"]


async def test_lines_come_as_they_are_written() -> None:
    """However the bytes arrive, the last one also without an end."""
    reading, writing = os.pipe()
    try:
        lines = Lines(reading)
        os.write(writing, "eins\r\nzw\xe4i\nd".encode())
        assert [await lines.read(), await lines.read()] == ["eins", "zwäi"]
        os.write(writing, b"rei\xff")
        os.close(writing)
        assert [await lines.read(), await lines.read(), await lines.read()] == ["drei\ufffd", None, None]
    finally:
        os.close(reading)


async def python(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(60):
        return await trio.run_process(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=stdin,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


async def test_the_command_asks_once() -> None:
    """As a person types it, with nothing replaced."""
    async with serving(echo) as (host, _):
        done = await python("-m", "server", "chat", "--url", f"http://{host}", "--message", "hello")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"you said hello\n", b"")


async def test_the_command_ends_while_its_terminal_is_still_read() -> None:
    """A thread is left behind in the read; Python must be able to end without it."""

    async def refuse(socket: FakeSocket) -> None:
        await socket.connection.aclose(4404)

    async with serving(refuse) as (host, _), trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(
                trio.run_process,
                [sys.executable, "-m", "server", "chat", "--url", f"http://{host}"],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                check=False,
            )
        )
        with trio.fail_after(60):
            said = b"".join([piece async for piece in process.stderr])
            await process.wait()
        await process.stdin.aclose()

    assert (process.returncode, said) == (1, b"")


async def test_the_example_tells_everything_in_single_mode() -> None:
    """It shows newcomers the whole of the protocol."""
    async with serving(echo) as (host, _):
        done = await python(
            "examples/test_websocket_client.py", BUILT_IN, "--host", host, "--message", "hello"
        )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "connected as connection-1 to p (person)",
        "message 1: hello",
        "reply 2: you said ",
        "reply 2 (final): you said hello",
        "pong t",
        "got: you said hello",
    ]


async def test_the_example_counts_its_connections_in_multi_mode() -> None:
    """Each gets its own reply, and one that doesn't makes the whole fail."""

    async def leave(socket: FakeSocket) -> None:
        await socket.greet()
        await socket.connection.aclose(1011)

    example = "examples/test_websocket_client.py"
    async with serving(echo) as (host, _):
        good = await python(example, BUILT_IN, "--host", host, "--multi", "5", "--session-type", "group")
    async with serving(leave, echo) as (host, _):
        bad = await python(example, BUILT_IN, "--host", host, "--multi", "3")

    said = good.stdout.decode().splitlines()
    assert good.returncode == 0
    assert {line for line in said if "got:" in line} == {
        f"[{n}] got: you said Hello from connection {n}" for n in range(1, 6)
    }
    assert said[-1] == "5 of 5 connections got their final reply"
    assert bad.returncode == 1
    assert bad.stdout.decode().splitlines()[-1] == "2 of 3 connections got their final reply"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Bug reports need it."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("triologue 0.")


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["chat", "--url", "h:1"], ["chat", "--session-type", "x"]]
)
def test_a_wrong_command_line_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the usage, and the status that shells expect."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: triologue" in capsys.readouterr().err
