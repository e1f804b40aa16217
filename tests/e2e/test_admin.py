"""Looking inside a real server process: what it shows, to whom, and that looking leaves nothing behind."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from .client import connect
from .running import ECHO, SCRIPT, WAYS, Triologue, running

API = "/api/v1/admin"


async def get(triologue: Triologue, path: str) -> Any:
    status, answer = await trio.to_thread.run_sync(lambda: triologue.json("GET", f"{API}/{path}"))
    assert status == 200, answer
    return answer["data"]


async def post_trace(triologue: Triologue, seconds: float) -> tuple[int, dict[str, str], bytes]:
    return await trio.to_thread.run_sync(
        lambda: triologue.call("POST", f"{API}/traces?seconds={seconds}"), abandon_on_cancel=True
    )


def raw(triologue: Triologue, *lines: str) -> socket.socket:
    """A socket on which a request with these *lines* has been sent."""
    sock = socket.create_connection(("127.0.0.1", triologue.port), timeout=20)
    sock.sendall("\r\n".join((*lines, "", "")).encode())
    return sock


def answer_on(sock: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    content = b""
    with sock:
        while more := sock.recv(65536):
            content += more
    return content


async def begin_trace(triologue: Triologue) -> socket.socket:
    """The socket of somebody who waits for a trace of a minute, which is being recorded."""
    sock = raw(triologue, f"POST {API}/traces?seconds=60 HTTP/1.1", "Host: localhost", "Content-Length: 0")
    while True:
        tasks = (await get(triologue, "stacks"))["tasks"]
        if any(frame["function"] == "record" for task in tasks for frame in task["stack"]):
            return sock


async def until_gone(triologue: Triologue, address: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = await get(triologue, f"actors/{address}")
        if "gone" in found:
            return found


async def test_the_tree_of_a_server_is_told(triologue: Triologue, session: str) -> None:
    """From the root down to the socket and its conversation."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.say("a private word")
        await client.until_final()
        connection_id = client.connected["connection_id"]
        _, headers, content = await trio.to_thread.run_sync(lambda: triologue.call("GET", f"{API}/actors"))
    data = json.loads(content)["data"]

    actors = {actor["address"]: actor for actor in data["actors"]}
    assert actors["triologue"]["kind"] == "Root"
    assert {"triologue/registry", "triologue/pipelines", "triologue/conversations"} <= set(actors)
    (connection,) = (actor for address, actor in actors.items() if address.endswith(connection_id))
    assert (connection["kind"], connection["state"]) == ("Connection", "idle")
    assert connection["counts"]["Deliver"] >= 3
    assert all(actor["state"] in ("idle", "handling", "waiting") for actor in actors.values())
    assert list(actors).index("triologue/connections") < list(actors).index(connection["address"])
    assert b"private" not in content
    assert headers["cache-control"] == "no-store"


async def test_an_actor_is_told_while_it_lives_and_when_it_is_gone(
    triologue: Triologue, session: str
) -> None:
    """By the address that the list gave."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.say("hello")
        await client.until_final()
        data = await get(triologue, "actors?prefix=triologue/connections/")
        name = client.connected["connection_id"]
        (address,) = (a["address"] for a in data["actors"] if a["address"].endswith(name))
        living = await get(triologue, f"actors/{address}")
    gone = (await until_gone(triologue, address))["gone"]

    assert living["address"] == gone["address"] == address
    assert "Deliver" in {message["kind"] for message in living["recent"]}
    assert living["attributes"]
    assert gone["handled"] >= living["handled"]


async def test_a_message_tells_the_request_that_it_came_of(triologue: Triologue) -> None:
    """By its method and path; what else the request said is nobody's business."""
    path = f"/api/v1/pipelines/{ECHO}/ws/broadcast"
    status, _ = await trio.to_thread.run_sync(
        lambda: triologue.json("POST", f"{path}?secret=hunter2", {"message": "hello"})
    )
    data = await get(triologue, "actors/triologue/registry")

    assert status == 200
    (message,) = (message for message in data["recent"] if message["kind"] == "Broadcast")
    assert message["origin"]["name"] == f"POST {path}"
    assert (message["cause"], message["sender"]) == (0, "")


async def test_the_tasks_are_told_with_their_actors(triologue: Triologue, session: str) -> None:
    """Trio's tree, to be joined with the actors'; with stacks, the line each task waits at."""
    async with connect(triologue.socket_url(ECHO, session)):
        tree = (await get(triologue, "tasks?stacks=1"))["root"]
        flat = await get(triologue, "stacks")

    found = {}
    pending = [tree]
    while pending:
        task = pending.pop()
        found[task["name"]] = task
        pending += task["children"]
    assert found["actor triologue/registry"]["actor"] == "triologue/registry"
    assert found["actor triologue/registry"]["stack"][-1]["code"]
    assert set(found) & {task["name"] for task in flat["tasks"]}
    assert "MainThread" in {thread["name"] for thread in flat["threads"]}


async def test_a_trace_shows_a_conversation(triologue: Triologue, session: str) -> None:
    """What a client brought about while it was recorded; afterwards nothing is attached."""
    async with connect(triologue.socket_url(ECHO, session)) as client, trio.open_nursery() as nursery:

        async def talk() -> None:
            while True:
                await client.say("a private word")
                await client.until_final()

        nursery.start_soon(talk)
        status, headers, content = await post_trace(triologue, 0.5)
        nursery.cancel_scope.cancel()

    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    names = {event["name"] for event in json.loads(content)["traceEvents"]}
    assert {"Say", "Deliver"} <= names
    assert b"private" not in content


async def test_one_trace_at_a_time(triologue: Triologue) -> None:
    """And the next one as soon as the client of the first is gone, however that happened."""
    with trio.fail_after(20):
        first = await begin_trace(triologue)
        status, _, content = await post_trace(triologue, 0.1)
        assert (status, json.loads(content)["error"]) == (409, "conflict")
        first.close()
        while (await post_trace(triologue, 0.1))[0] != 200:
            pass


@pytest.mark.parametrize("way", WAYS)
async def test_a_trace_does_not_hold_up_the_end(way: str, tmp_path: Path) -> None:
    """Whoever wanted it is told, and the server is gone in time."""
    with running(way, tmp_path) as server, trio.fail_after(30):
        tracing = await begin_trace(server)
        server.process.send_signal(signal.SIGTERM)
        content = await trio.to_thread.run_sync(answer_on, tracing)
        assert await trio.to_thread.run_sync(server.wait_exit) == 0
        assert "Traceback" not in server.output

    head, _, body = content.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["error"] == "restarting"


async def test_prometheus_reads_the_numbers(triologue: Triologue, session: str) -> None:
    """Connections, messages by class, the process; counters that only grow."""

    async def scrape() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        status, headers, content = await trio.to_thread.run_sync(lambda: triologue.call("GET", "/metrics"))
        assert status == 200
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(content.decode()))
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}

    async with connect(triologue.socket_url(ECHO, session)) as client:
        before = await scrape()
        await client.say("hello")
        await client.until_final()
        after = await scrape()

    handled = "triologue_messages_handled_total", (("actor", "Connection"), ("message", "Deliver"))
    assert before["triologue_connections", ()] >= 1
    assert after[handled] > before.get(handled, 0)
    assert all(after[key] >= value for key, value in before.items() if key[0].endswith("_total"))
    assert after["process_resident_memory_bytes", ()] > 2**20
    assert not any("triologue/" in value for _, labels in after for _, value in labels)


def test_a_running_server_is_alive_and_ready(triologue: Triologue) -> None:
    """What a supervisor of processes asks."""
    for path in ("/healthz", "/readyz"):
        assert triologue.call("GET", path)[0::2] == (200, b"ok")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:80"},
        {"Host": "user@127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
    ],
)
@pytest.mark.parametrize("path", [f"{API}/actors", f"{API}/stacks", "/metrics", "/healthz"])
def test_strangers_may_not_look(triologue: Triologue, path: str, headers: dict[str, str]) -> None:
    """Pages of others, names that were rebound, and what a proxy passes on."""
    status, answered, content = triologue.call("GET", path, headers=headers)
    assert (status, json.loads(content)["error"]) == (403, "forbidden")
    assert answered["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /metrics HTTP/1.0",),
        ("GET /metrics HTTP/1.0", "Host: localhost"),
        ("GET http://evil.example/metrics HTTP/1.1", "Host: localhost", "Connection: close"),
        ("GET http://localhost/metrics HTTP/1.1", "Host: localhost", "Connection: close"),
        ("GET /metrics HTTP/1.1", "Host:", "Connection: close"),
        ("GET /metrics HTTP/1.1", "Host: evil.example", "Connection: close"),
        ("HEAD /metrics HTTP/1.1", "Host: evil.example", "Connection: close"),
        ("OPTIONS /metrics HTTP/1.1", "Host: evil.example", "Connection: close"),
    ],
)
def test_odd_requests_are_refused(triologue: Triologue, lines: tuple[str, ...]) -> None:
    """As a proxy or an attacker writes them."""
    assert answer_on(raw(triologue, *lines)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("evil.example", "localhost"), ()])
def test_a_request_of_no_one_host_is_no_request(triologue: Triologue, hosts: tuple[str, ...]) -> None:
    """RFC 9112, 3.2: refused before anybody asks for whom it is."""
    lines = (f"Host: {host}" for host in hosts)
    content = answer_on(raw(triologue, "GET /metrics HTTP/1.1", *lines, "Connection: close"))
    assert content.startswith(b"HTTP/1.1 400 ")


async def test_a_public_server_shows_nothing(tmp_path: Path) -> None:
    """Not even to this machine: until there are credentials, nobody knows who asks."""
    server = Triologue("serve", tmp_path, bind="0.0.0.0:0")
    try:
        port = int(
            (await trio.to_thread.run_sync(server.wait_output, r"Running on http://0\.0\.0\.0:(\d+)"))[1]
        )
        for path in (f"{API}/actors", "/metrics", "/healthz", "/readyz"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                assert sock.recv(65536).startswith(b"HTTP/1.1 403 ")
    finally:
        server.kill()


async def test_what_hangs_can_be_looked_at(triologue: Triologue, session: str, tmp_path: Path) -> None:
    """The routes ask no actor anything: a reply that is stuck shows, with the line where it is."""
    gate = tmp_path / "gate"
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say(f"gate {gate}")
        await client.until(lambda frame: frame["type"] == "response")
        data = await get(triologue, f"actors?prefix=triologue/pipelines/{SCRIPT}/")
        (reply,) = data["actors"]
        tasks = (await get(triologue, "stacks"))["tasks"]
        gate.touch()
        await client.until_final()

    assert reply["kind"] == "Reply"
    lines = [frame["file"] for task in tasks if task["actor"] == reply["address"] for frame in task["stack"]]
    assert any(file.endswith("reply.py") for file in lines)
