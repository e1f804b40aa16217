"""The document's four REST routes, their envelope and their failures, against a real process."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import trio

from .client import connect
from .running import ECHO, OTHER, SCRIPT, Triologue

API = "/api/v1/pipelines"
BAD_TYPE = "session_type must be person or group"


async def fetch(triologue: Triologue, method: str, path: str, body: object = None) -> tuple[int, Any]:
    return await trio.to_thread.run_sync(lambda: triologue.json(method, path, body))


async def test_history_has_the_newest_hundred_oldest_first(triologue: Triologue, session: str) -> None:
    """The document's history; what is older is gone."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        for number in range(60):
            await client.say(f"message {number}")
            await client.until_final()
        status, answer = await fetch(triologue, "GET", f"{API}/{ECHO}/ws/messages/person?{session}")

    assert (status, answer["code"], answer["msg"]) == (200, 0, "ok")
    messages = answer["data"]["messages"]
    assert [message["id"] for message in messages] == list(range(21, 121))
    assert [message["role"] for message in messages] == ["user", "assistant"] * 50
    assert messages[-1]["content"] == "message 59"
    assert all(message["is_final"] is True for message in messages)


def test_the_history_of_nobody_is_empty(triologue: Triologue) -> None:
    """Asking for a conversation does not begin it."""
    path = f"{API}/{ECHO}/ws/messages/group?session_id={uuid.uuid4()}"
    assert triologue.json("GET", path) == (200, {"code": 0, "msg": "ok", "data": {"messages": []}})


async def test_a_reset_forgets_history_but_not_the_ids(triologue: Triologue, session: str) -> None:
    """An id is never used twice within a conversation."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.say("before")
        await client.until_final()
        status, answer = await fetch(triologue, "POST", f"{API}/{ECHO}/ws/reset/person?{session}")
        _, history = await fetch(triologue, "GET", f"{API}/{ECHO}/ws/messages/person?{session}")
        await client.say("after")
        assert (await client.until_final())[0]["data"]["id"] == 3

    assert (status, answer["data"]) == (200, {"message": "Session reset successfully"})
    assert history["data"]["messages"] == []


async def test_a_reset_stops_the_running_reply_first(triologue: Triologue, session: str) -> None:
    """Who asked sees an end, and the next message is answered as usual."""
    async with connect(triologue.socket_url(SCRIPT, session)) as client:
        await client.say("hang")
        await client.until(lambda frame: frame["type"] == "response")
        await fetch(triologue, "POST", f"{API}/{SCRIPT}/ws/reset/person?{session}")
        stopped = (await client.until_final())[-1]["data"]
        await client.say("say on")
        assert (await client.until_final())[-1]["data"]["content"] == "on "

    assert (stopped["content"], stopped["finish_reason"]) == ("so far", "stopped")


async def test_statistics_count_the_server_and_list_the_pipeline(triologue: Triologue) -> None:
    """The registry's counts, in the document's shape."""
    async with (
        connect(triologue.socket_url(OTHER, "session_type=person")) as person,
        connect(triologue.socket_url(OTHER, "session_type=group")),
        connect(triologue.socket_url(SCRIPT, "session_type=group")),
    ):
        await person.ping()
        status, answer = await fetch(triologue, "GET", f"{API}/{OTHER}/ws/connections")

    stats, connections = answer["data"]["stats"], answer["data"]["connections"]
    assert status == 200
    assert set(stats) == {
        "total_connections",
        "pipelines",
        "connections_by_pipeline",
        "connections_by_session_type",
    }
    assert stats["connections_by_pipeline"][OTHER] == 2
    assert stats["connections_by_pipeline"][SCRIPT] == 1
    assert stats["pipelines"] == len(stats["connections_by_pipeline"])
    assert stats["total_connections"] == sum(stats["connections_by_pipeline"].values())
    assert stats["connections_by_session_type"]["group"] >= 2
    assert len(connections) == 2
    mine = next(c for c in connections if c["connection_id"] == person.connected["connection_id"])
    assert set(mine) == {"connection_id", "session_type", "created_at", "last_active", "is_active"}
    assert mine["session_type"] == "person"
    assert mine["is_active"] is True
    assert mine["created_at"] <= mine["last_active"]


async def test_whoever_leaves_is_not_counted_any_more(triologue: Triologue) -> None:
    """However the socket ends."""
    url = triologue.socket_url(OTHER, "session_type=group")
    async with connect(url) as polite:
        await polite.send({"type": "disconnect"})
        await polite.until_closed()
    async with connect(url) as rude:
        await trio.aclose_forcefully(rude.socket._stream)
    with trio.fail_after(10):
        while True:
            _, answer = await fetch(triologue, "GET", f"{API}/{OTHER}/ws/connections")
            if not answer["data"]["connections"]:
                break


@pytest.mark.parametrize(
    ("method", "path", "status", "error", "text"),
    [
        ("GET", f"{API}/{uuid.uuid4()}/ws/messages/person", 404, "not_found", "Pipeline not found"),
        ("POST", f"{API}/nonsense/ws/reset/person", 404, "not_found", "Pipeline not found"),
        ("GET", f"{API}/nonsense/ws/messages/crowd", 404, "not_found", "Pipeline not found"),
        ("GET", f"{API}/{uuid.uuid4()}/ws/connections", 404, "not_found", "Pipeline not found"),
        ("POST", f"{API}/{uuid.uuid4()}/ws/broadcast", 404, "not_found", "Pipeline not found"),
        ("GET", f"{API}/{ECHO}/ws/messages/crowd", 400, "bad_request", BAD_TYPE),
        ("POST", f"{API}/{ECHO}/ws/reset/crowd", 400, "bad_request", BAD_TYPE),
        ("GET", "/api/v1/nothing", 404, "not_found", "Not Found"),
        ("GET", "/nothing.html", 404, "not_found", "Not Found"),
        ("DELETE", f"{API}/{ECHO}/ws/connections", 405, "method_not_allowed", "Method Not Allowed"),
        ("GET", f"{API}/{ECHO}/ws/broadcast", 405, "method_not_allowed", "Method Not Allowed"),
    ],
)
def test_failures_have_an_envelope_and_a_true_status(
    triologue: Triologue, method: str, path: str, status: int, error: str, text: str
) -> None:
    """Unknown routes and methods too."""
    assert triologue.json(method, path) == (status, {"code": -1, "msg": text, "error": error})


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b'{"message":""}', b'{"message":null}', b"\xff"])
def test_a_broadcast_needs_a_message(triologue: Triologue, body: bytes) -> None:
    """The document's error for a missing or empty one."""
    status, _, content = triologue.call("POST", f"{API}/{ECHO}/ws/broadcast", raw=body)
    assert (status, json.loads(content)["msg"]) == (400, "message is required")


def test_a_body_too_large_is_refused(triologue: Triologue) -> None:
    """No route needs more than a megabyte."""
    status, _, content = triologue.call("POST", f"{API}/{ECHO}/ws/broadcast", raw=b" " * (2**20 + 1))
    assert (status, json.loads(content)["error"]) == (413, "too_large")


def test_a_preflight_allows_what_clients_send(triologue: Triologue) -> None:
    """A page on another loopback port, while the server is bound to loopback."""
    status, headers, _ = triologue.call(
        "OPTIONS",
        f"{API}/{ECHO}/ws/broadcast",
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )

    assert status == 204
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "POST" in headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "x-api-key", "content-type"} <= allowed
    # Today's dashboard of LangBot adds these to every call, and could not call from another origin without.
    assert {"x-langbot-language", "x-workspace-id"} <= allowed


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_a_foreign_page_is_refused(triologue: Triologue, method: str) -> None:
    """The same rule as for WebSockets; without permission a browser hides the answer besides."""
    status, headers, _ = triologue.call(
        method,
        f"{API}/{ECHO}/ws/{'broadcast' if method == 'POST' else 'connections'}",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
    )

    assert status == 403
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::2]", "a b"])
def test_a_name_that_was_rebound_reads_nothing(triologue: Triologue, host: str) -> None:
    """Browsers send no origin with a page's own GET: DNS rebinding makes any page the server's own."""
    status, _, content = triologue.call("GET", API, headers={"Host": host})
    assert (status, json.loads(content)["error"]) == (421, "misdirected")


@pytest.mark.parametrize("host", ["a..b", ".", ".:80", "a" * 64, "localhost." + "b" * 64 + ":80"])
def test_a_host_that_no_url_has_is_the_senders_error(triologue: Triologue, host: str) -> None:
    """IDNA, by which the application looks at it, has no label that is empty or longer than 63 characters."""
    status, _, content = triologue.call("GET", API, headers={"Host": host})
    assert (status, json.loads(content)["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.1.2.3", "[::1]:80", "chat.localhost", f"{'a' * 63}.localhost:65535"],
)
def test_loopback_names_are_the_servers_own(triologue: Triologue, host: str) -> None:
    """Whatever a developer types."""
    assert triologue.call("GET", API, headers={"Host": host})[0] == 200


def test_the_pipelines_are_listed(triologue: Triologue) -> None:
    """What the chat page offers to choose from."""
    status, answer = triologue.json("GET", API)
    assert status == 200
    assert {"uuid": ECHO, "name": "echo"} in answer["data"]["pipelines"]  # type: ignore[index]
