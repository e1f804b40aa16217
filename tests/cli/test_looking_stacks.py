"""The stacks of all tasks: equal ones once, the threads' below them."""

from __future__ import annotations

from typing import Any

from server.cli.looking.answers import Stacks, check
from server.cli.looking.stacks_view import stacks_view
from server.cli.looking.terminal import pattern

from .looking_answers import HOST, UUID, Json, coloured, frame, plain, task

MAILBOX = (
    frame("/srv/app/actors/cell.py", 120, "Cell.run", "await self._live()"),
    frame("/srv/app/actors/mailbox.py", 9, "Mailbox.get", "await self._bell.receive()"),
)


def stacks(*tasks: Json, threads: list[Any] | None = None) -> Stacks:
    return check(HOST, {"tasks": list(tasks), "threads": threads or []}, Stacks)


def test_five_hundred_idle_connections_are_one_group() -> None:
    """What hundreds of tasks do is told once, before what a single one does."""
    idle = [task(f"actor t/connections/{UUID.format(n)}", stack=MAILBOX) for n in range(500)]
    odd = task("actor t/registry", stack=(frame("/srv/app/server/registry/actor.py", 7, "Registry.handle"),))
    lines = plain(stacks_view(stacks(odd, *idle), HOST)).splitlines()

    assert lines == [
        f"{HOST} · 501 tasks in 2 places · 0 threads",
        "",
        "500 tasks: 500 × actor t/connections/*",
        "    app/actors/cell.py:120 Cell.run await self._live()",
        "    app/actors/mailbox.py:9 Mailbox.get await self._bell.receive()",
        "",
        "1 task: actor t/registry",
        "    server/registry/actor.py:7 Registry.handle await trio.sleep(1)",
    ]


def test_a_few_tasks_are_told_by_their_names() -> None:
    """Two at the same place are worth knowing apart."""
    lines = plain(
        stacks_view(stacks(task("actor t/a1", stack=MAILBOX), task("x", stack=MAILBOX)), HOST)
    ).splitlines()

    assert lines[2] == "2 tasks: actor t/a1, x"


def test_names_of_many_kinds_are_cut_short() -> None:
    """The commonest first."""
    names = ["a", "b 1", "b 2", "c", "d"]
    lines = plain(stacks_view(stacks(*(task(name, stack=MAILBOX) for name in names)), HOST)).splitlines()

    assert lines[2] == "5 tasks: 2 × b *, 1 × a, 1 × c, …"


def test_what_tells_tasks_of_a_kind_apart_is_left_out() -> None:
    """Numbers and ids; but not the version of the API."""
    assert (
        pattern("websocket /api/v1/pipelines/3f2c-9/ws/connect") == "websocket /api/v1/pipelines/*/ws/connect"
    )
    assert pattern("listener connection 127.0.0.1:5000") == "listener connection *"
    assert pattern("actor t/a/x-v1/reply-1: timer Tick") == "actor t/a/*/* timer Tick"


def test_threads_and_gaps_are_told() -> None:
    """A stack may be too deep to be told whole, or be none of Python's."""
    gap = frame("", 0, "… 7 frames left out", "")
    threads = [{"name": "MainThread", "stack": [gap]}, {"name": "idle", "stack": []}]
    lines = plain(stacks_view(stacks(threads=threads), HOST)).splitlines()

    assert lines == [
        f"{HOST} · 0 tasks in 0 places · 2 threads",
        "",
        "thread MainThread",
        "    … 7 frames left out",
        "",
        "thread idle",
        "    (nothing of Python's)",
    ]


def test_nothing_of_others_reaches_the_terminal_as_an_order() -> None:
    """Source lines and names of tasks may hold anything."""
    evil = "\x1b]0;pwned\x07[red]x[/]\n\x9b31m"
    stack = (frame(evil, 1, evil, evil),)
    text = coloured(stacks_view(stacks(task(evil, stack=stack), threads=[{"name": evil, "stack": []}]), evil))

    assert "[red]x[/]" in text
    assert "\x1b]" not in text
    assert not {"\x07", "\x9b"} & set(text)
