"""The live table: rates between two looks, what stands first, and that it fits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from server.cli.looking.answers import Actors
from server.cli.looking.rates import SORTS, Row, rows, sort
from server.cli.looking.terminal import short
from server.cli.looking.top_view import KEYS, Look, top_view

from .looking_answers import HOST, UUID, actor, actors, coloured, message, plain, wait


def look(found: Sequence[Row], **more: object) -> Look:
    return Look(found, HOST, "12:00:00", **more)  # type: ignore[arg-type]


def table(found: Actors, **options: object) -> list[str]:
    """The lines of the table, by name, without what is above it."""
    view = top_view(look(rows(None, found, 1.0)), by="name", **options)  # type: ignore[arg-type]
    return plain(view).splitlines()[2:]


def one(before: Actors | None, after: Actors, seconds: float) -> tuple[float, float]:
    (row,) = rows(before, after, seconds)
    return row.messages, row.busy


def test_rates_are_those_since_the_last_look() -> None:
    """Not those of the actor's whole life."""
    before, after = actors(actor("t", handled=10, busy=1.0)), actors(actor("t", handled=30, busy=1.5))

    assert one(before, after, 2.0) == (10.0, 0.25)


def test_a_handling_under_way_counts_as_busy() -> None:
    """A handler that hangs is busy, although it has handled nothing."""
    before = actors(actor("t", busy=4.0, handling=message(seconds=3.0)))
    after = actors(actor("t", busy=5.0, handling=message(seconds=4.0)))

    assert one(before, after, 1.0) == (0.0, 1.0)


def test_nobody_is_more_than_busy() -> None:
    """Two clocks are read one after the other."""
    assert one(actors(actor("t", busy=1.0)), actors(actor("t", busy=2.1)), 1.0)[1] == 1.0


def test_a_server_that_began_anew_counts_from_nothing() -> None:
    """Its actors have the same addresses; no rate is negative."""
    before, after = actors(actor("t", handled=900, busy=50.0)), actors(actor("t", handled=4, busy=0.5))

    assert one(before, after, 2.0) == (2.0, 0.25)


def test_at_the_first_look_nothing_has_happened() -> None:
    """There is nothing to compare with."""
    assert one(None, actors(actor("t", handled=900)), 1.0) == (0.0, 0.0)
    assert one(actors(), actors(actor("t", handled=900)), 1.0) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("by", "order"),
    [("mailbox", "cab"), ("busy", "acb"), ("age", "bca"), ("handled", "acb"), ("name", "abc")],
)
def test_what_is_looked_for_stands_first(by: str, order: str) -> None:
    """Full mailboxes, busy actors, old messages, many messages, or the names."""
    before = actors(actor("a"), actor("b"), actor("c"))
    after = actors(
        actor("a", busy=0.9, handled=99, queued=2),
        actor("b", handling=message(age=60.0, seconds=0.0)),
        actor("c", queued=90, oldest=3.0, handled=13, busy=0.2),
    )

    assert "".join(row.actor.address for row in sort(rows(before, after, 1.0), by)) == order


def test_every_key_has_its_order() -> None:
    """The footer promises it."""
    assert set(KEYS.values()) == set(SORTS)


def test_an_actor_has_a_line() -> None:
    """With whom it waits for, and without the middle of its UUID."""
    address = f"triologue/conversations/{UUID.format(5)}/person/shared#1"
    found = actors(
        actor(
            address,
            "Conversation",
            state="waiting",
            handling=message("Say"),
            queued=3,
            oldest=0.2,
            waits=[wait(address, "triologue/pipelines/x")],
            restarts=1,
            expired=2,
        )
    )
    names, line = table(found)

    assert names.split() == [
        "actor▾",
        "kind",
        "state",
        "for",
        "mailbox",
        "peak",
        "msg/s",
        "busy",
        "message",
        "age",
        "restarts",
        "lost",
    ]
    assert line.split() == [
        "conversations/3f2c9a1b…0005/person/shared#1",
        *[
            "Conversation",
            "waiting",
            "1.2",
            "s",
            "3/256",
            "3",
            "0",
            "0%",
            "Say",
            "→",
            "pipelines/x",
            "400",
            "ms",
            "1",
            "2",
        ],
    ]


def test_only_as_many_rows_as_there_is_room() -> None:
    """A screen does not scroll; how many are left out is told."""
    found = actors(*(actor(f"t/{number:03}") for number in range(500)))
    lines = plain(top_view(look(rows(None, found, 1.0)), by="name", height=24, keys=True)).splitlines()

    assert len(lines) == 24
    assert lines[-1].startswith("… 480 more ")
    assert lines[-1].endswith("q quits")


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns that matter less are left out; of an address its end stays."""
    address = f"triologue/conversations/{UUID.format(5)}/person/shared#1"
    found = actors(actor(address, "Conversation", handling=message("Say")), actor("t/日本語" * 20))
    view = top_view(look(rows(None, found, 1.0), trouble="no answer for 9 s"), by="name", width=width)
    lines = plain(view, width).splitlines()

    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 5
    assert "mailbox" in lines[2]
    assert "#1 " in "".join(lines[3:])


def test_a_server_that_is_gone_is_told_with_what_was_last_seen() -> None:
    """It may come back; what it did last is what one wants to see."""
    found = rows(None, actors(actor("t/registry")), 1.0)
    lines = plain(
        top_view(look(found, trouble="server gone, retrying (3.0 s): refused"), by="busy")
    ).splitlines()

    assert lines[0] == f"triologue top · {HOST} · 12:00:00 · server gone, retrying (3.0 s): refused"
    assert lines[3].startswith("registry ")


def test_the_header_counts_all() -> None:
    """Also those for which there is no room."""
    before, after = actors(actor("a"), actor("b")), actors(actor("a", handled=22, restarts=3), actor("b"))
    shown = look(rows(before, after, 1.0), dead_letters=4, holds=5)
    lines = plain(top_view(shown, by="busy", height=5)).splitlines()

    assert lines[1] == "2 actors · 10 msg/s · 4 dead letters · 3 restarts · 5 loop holds"


def test_the_root_keeps_its_name() -> None:
    """Below it, it goes without saying."""
    assert (short("triologue"), short("triologue/registry")) == ("triologue", "registry")


def test_nothing_of_others_reaches_the_terminal_as_an_order() -> None:
    """As in the tree."""
    evil = "\x1b]0;pwned\x07[red]x[/]\n\u202e\x9b31m"
    found = actors(actor(f"t/{evil}", evil, state=evil, handling=message(evil), waits=[wait("", evil)]))
    view = top_view(Look(rows(None, found, 1.0), evil, evil, trouble=evil), by="name")
    text = coloured(view, width=400)

    assert "[red]x[/]" in text
    assert not {"\x07", "\u202e", "\x9b"} & set(text)
    assert "\x1b]" not in text
    assert len(text.splitlines()) == 4
