"""History by REST: pages that add up, whether the conversation is live or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from .crowd import Conversation
from .level2 import entered, query
from .running import ECHO, Triologue, running

TALK = Conversation(ECHO, "group", "talk")
MESSAGES = 24


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    """A server that never heard the conversation: it was said to the one before."""
    folder = tmp_path_factory.mktemp("history")
    with running("serve", folder) as server:
        trio.run(talk, server)
    with running("serve", folder) as server:
        yield server


async def talk(server: Triologue) -> None:
    async with entered(TALK.url(server), seconds=60) as client:
        for number in range(MESSAGES // 2):
            await client.post(f"number {number}", str(number))
            await client.end_of()


def page(server: Triologue, **fields: int) -> list[int]:
    """The ids on a page."""
    asked = query(session_id="talk", **{name: str(value) for name, value in fields.items()})
    status, answer = server.json("GET", f"/api/v1/pipelines/{ECHO}/ws/messages/group?{asked}")
    assert status == 200
    data: Any = answer["data"]
    return [message["id"] for message in data["messages"]]


def test_all_of_it_comes_oldest_first(triologue: Triologue) -> None:
    """After a restart, without anybody in the conversation."""
    assert page(triologue) == list(range(1, MESSAGES + 1))


@pytest.mark.parametrize("limit", [1, 2, 7, 23, 24, 25, 1000])
def test_pages_in_both_directions_add_up(triologue: Triologue, limit: int) -> None:
    """Nothing twice, nothing left out, whatever the size of a page."""
    forwards: list[int] = []
    while found := page(triologue, limit=limit, after=forwards[-1] if forwards else 0):
        assert len(found) <= limit
        forwards += found
    backwards: list[int] = []
    while found := page(triologue, limit=limit, before=backwards[0] if backwards else MESSAGES + 1):
        assert len(found) <= limit
        backwards = found + backwards

    assert forwards == backwards == list(range(1, MESSAGES + 1))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"limit": 3}, [22, 23, 24]),
        ({"before": 4}, [1, 2, 3]),
        ({"before": 20, "limit": 2}, [18, 19]),
        ({"after": 20, "limit": 2}, [21, 22]),
        ({"after": 22}, [23, 24]),
        ({"after": 5, "before": 10}, [6, 7, 8, 9]),
        ({"after": 5, "before": 10, "limit": 2}, [8, 9]),
        ({"after": 24}, []),
        ({"before": 1}, []),
        ({"after": 10, "before": 11}, []),
        ({"after": 11, "before": 10}, []),
        ({"before": 10**15 - 1, "limit": 1}, [24]),
    ],
)
def test_before_and_after_leave_out_their_own(
    triologue: Triologue, fields: dict[str, int], expected: list[int]
) -> None:
    """The newest of a stretch; with `after` alone the oldest, so that one can go on from where one is."""
    assert page(triologue, **fields) == expected


def test_a_conversation_that_never_was_has_no_history_and_gets_none(triologue: Triologue) -> None:
    """Asking makes nothing."""
    path = f"/api/v1/pipelines/{ECHO}/ws/messages/person?session_id=never"
    for _ in range(2):
        status, answer = triologue.json("GET", path)
        data: Any = answer["data"]
        assert (status, data["messages"]) == (200, [])


def test_the_files_are_the_owners_own(triologue: Triologue) -> None:
    """Whatever the umask: what people said is nobody else's to read."""
    data = triologue.folder / "data"
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in data.iterdir() if file.is_file()}

    assert {"triologue.db", "mark"} <= set(modes)
    assert {name: mode for name, mode in modes.items() if mode != "0o600"} == {}
    assert Path(data).stat().st_mode & 0o077 == 0
