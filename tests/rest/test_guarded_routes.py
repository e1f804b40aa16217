"""The guard in front of the routes: every one of them, however it is asked for."""

from __future__ import annotations

import pytest

from server.listener import Listener

from .asking import API, LOCAL, House, house, request

ROUTES = [
    ("GET", f"{API}/actors"),
    ("GET", f"{API}/actors/top"),
    ("GET", f"{API}/tasks"),
    ("GET", f"{API}/stacks"),
    ("POST", f"{API}/traces?seconds=0.1"),
    ("POST", f"{API}/drain"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]
BAD_HEADERS = [
    {"host": "evil.example"},
    {"host": "evil.example:8000"},
    {},
    {**LOCAL, "origin": "https://evil.example"},
    {**LOCAL, "origin": "null"},
    {**LOCAL, "origin": "http://localhost:3000"},
    # May use the other routes: it is on the list.
    {**LOCAL, "origin": "https://app.example"},
    {**LOCAL, "sec-fetch-site": "cross-site"},
    {**LOCAL, "sec-fetch-site": "same-site"},
    {**LOCAL, "x-forwarded-for": "203.0.113.9"},
    {**LOCAL, "via": "1.1 proxy"},
    {**LOCAL, "forwarded": "for=203.0.113.9"},
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", BAD_HEADERS, ids=str)
async def test_no_route_is_without_the_guard(method: str, path: str, headers: dict[str, str]) -> None:
    """Refused before anything is looked at, in the envelope, and not to be kept by anybody."""
    async with house() as home:
        answer = await home.ask(path, method, headers=headers)

    assert (answer.status, answer.json["error"]) == (403, "forbidden")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_answers_who_may(method: str, path: str) -> None:
    """A program, and the server's own page; nobody is to keep the answer."""
    async with house() as home:
        program = await home.ask(path, method)
        page = await home.ask(
            path,
            method,
            headers={**LOCAL, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
        )

    for answer in (program, page):
        assert answer.status in (200, 202)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("listener", [None, Listener(("0.0.0.0:8000",), False)], ids=["none", "public"])
async def test_nobody_may_unless_the_sockets_are_known_to_be_loopback_ones(
    method: str, path: str, listener: Listener | None
) -> None:
    """Under a server that does not tell, such as another than ours, it is as if they were public."""
    async with house() as home:
        answer = await request(home.app, method, path, LOCAL, listener=listener)
        # The other routes have their own rules.
        other = await request(home.app, "GET", "/api/v1/pipelines", LOCAL, listener=listener)

    assert (answer.status, answer.json["error"]) == (403, "forbidden")
    assert other.status == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH"])
@pytest.mark.parametrize(
    "path", [f"{API}/actors", f"{API}/traces", "/metrics", f"{API}/nothing", API, f"{API}/"]
)
async def test_other_methods_and_paths_are_guarded_too(method: str, path: str) -> None:
    """What is there is nobody's business either."""
    async with house() as home:
        refused = await home.ask(path, method, headers={"host": "evil.example"})
        answer = await home.ask(path, method)

    assert refused.status == 403
    assert answer.status in (200, 404, 405)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_preflight_is_refused_like_the_request_it_asks_for() -> None:
    """Though the page may use the other routes, and is told so there."""
    headers = {**LOCAL, "origin": "http://localhost:3000", "access-control-request-method": "POST"}
    async with house() as home:
        refused = await home.ask(f"{API}/traces?seconds=1", "OPTIONS", headers=headers)
        other = await home.ask("/api/v1/pipelines", "OPTIONS", headers=headers)

    assert refused.status == 403
    assert other.status == 204


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
async def test_a_form_of_another_site_records_nothing(content_type: str) -> None:
    """A browser old enough says nothing of where it came from but what it is."""
    async with house() as home:
        answer = await home.ask(
            f"{API}/traces?seconds=60", "POST", headers={**LOCAL, "content-type": content_type}
        )

    assert answer.status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/admin/%61ctors",
        "/api/v1/%61dmin/actors",
        "/%6Detrics",
        "/metrics?x=/",
        "/metrics%3F",
        "/metrics/",
        "//metrics",
        "/api/v1//admin/actors",
        "/api/v1/admin//actors",
        "/api/v1/./admin/actors",
        "/api/v1/x/../admin/actors",
        "/api/v1/admin/actors/",
        "/api/v1/ADMIN/actors",
        "http://127.0.0.1:8000/metrics",
        "http://evil.example/api/v1/admin/actors",
    ],
)
async def test_no_spelling_of_a_path_gets_around_the_guard(path: str) -> None:
    """Whatever it leads to, it leads nowhere inside."""
    async with house() as home:
        answer = await home.ask(path, headers={**LOCAL, "origin": "http://localhost:3000"})

    assert answer.status in (308, 400, 403, 404)
    assert b"top" not in answer.body
    assert b"process_" not in answer.body


async def test_two_hosts_are_one_too_many() -> None:
    """Our listener refuses such a request before; another server may not."""
    pairs = [("host", "127.0.0.1:8000"), ("host", "evil.example")]
    async with house() as home:
        for headers in (pairs, pairs[::-1]):
            answer = await request(home.app, "GET", "/metrics", headers, listener=home.listener)
            assert answer.status == 403


async def test_http_1_0_is_refused_with_and_without_a_host() -> None:
    """A proxy speaks it where nobody told it otherwise, and gives no other sign of being one."""
    async with house() as home:
        for headers in ({}, LOCAL):
            answer = await home.ask("/metrics", headers=headers, http_version="1.0")
            assert answer.status == 403


async def test_the_refusal_tells_what_was_in_the_way() -> None:
    """The operator behind a proxy, or with a public bind, is to know why."""

    async def said(home: House, headers: dict[str, str]) -> str:
        return str((await home.ask("/metrics", headers=headers)).json["msg"])

    async with house() as home:
        assert "proxy" in await said(home, {**LOCAL, "x-forwarded-for": "203.0.113.9"})
        assert "x-forwarded-for" in await said(home, {**LOCAL, "x-forwarded-for": "203.0.113.9"})
        assert "localhost" in await said(home, {"host": "chat.example.org"})
        assert "own pages" in await said(home, {**LOCAL, "origin": "https://evil.example"})
        home.listener.loopback_only = False
        assert "loopback" in await said(home, LOCAL)
