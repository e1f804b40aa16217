"""The orderly end of the server, asked for by HTTP."""

from __future__ import annotations

import pytest

from .asking import API, LOCAL, house


async def test_a_drain_begins_at_once_and_is_answered_at_once() -> None:
    """Whoever deploys waits for the process's end, not for this answer."""
    async with house() as home:
        answer = await home.ask(f"{API}/drain", "POST")

    assert (answer.status, answer.json) == (202, {"code": 0, "msg": "ok", "data": {"draining": True}})
    assert len(home.drains) == 1


async def test_a_second_drain_is_answered_like_the_first() -> None:
    """A script that is not sure asks again."""
    async with house() as home:
        first, second = [await home.ask(f"{API}/drain", "POST") for _ in range(2)]

    assert (first.status, first.body) == (second.status, second.body)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {**LOCAL, "origin": "https://evil.example"},
        {**LOCAL, "origin": "http://localhost:3000"},
        {**LOCAL, "sec-fetch-site": "cross-site"},
        {**LOCAL, "x-forwarded-for": "203.0.113.9"},
        {**LOCAL, "content-type": "text/plain"},
    ],
    ids=str,
)
async def test_a_stranger_ends_nothing(headers: dict[str, str]) -> None:
    """The guard comes before the route: refused is not done."""
    async with house() as home:
        answer = await home.ask(f"{API}/drain", "POST", headers=headers)

    assert answer.status == 403
    assert home.drains == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_a_post_drains(method: str) -> None:
    """A link that is followed, or fetched ahead, must not end a server."""
    async with house() as home:
        answer = await home.ask(f"{API}/drain", method)

    assert answer.status == (405 if method != "OPTIONS" else 200)
    assert home.drains == []
