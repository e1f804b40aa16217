"""The live table of actors as `triologue top` shows it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .answers import Actor
from .rates import Row, Sort
from .terminal import ALARM, QUIET, STATES, WARN, clean, duration, fill_style, short, words

KEYS = {"m": "mailbox", "b": "busy", "a": "age", "h": "handled", "n": "name"}

# Lines that are no actor's: two above, the names of the columns, and one below.
_AROUND = 4


@frozen
class Look:
    """What is known of the server at one moment. `trouble`: why there is nothing newer, since so long."""

    rows: Sequence[Row]
    host: str
    time: str
    dead_letters: int = 0
    holds: int = 0
    trouble: str | None = None


def top_view(
    look: Look, *, by: Sort, width: int | None = None, height: int | None = None, keys: bool = False
) -> RenderableType:
    """The table of *look*, whose rows are sorted *by* something already, within *width* and *height*."""
    room = len(look.rows) if height is None else max(1, height - _AROUND)
    names = [f"{column.name}▾" if column.sort == by else column.name for column in _COLUMNS]
    cells = [_cells(row) for row in look.rows[:room]]
    widths = [max([cell_len(name), *(line[i].cell_len for line in cells)]) for i, name in enumerate(names)]
    columns, first = _fitting(widths, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="reverse")
    for i in columns:
        table.add_column(Text(names[i]), justify="right" if _COLUMNS[i].number else "left", no_wrap=True)
    for line in cells:
        line[0] = _end_of(line[0], first)
        table.add_row(*(line[i] for i in columns), style=QUIET if look.trouble is not None else None)
    return Group(*_header(look), table, *_footer(len(look.rows) - room, keys))


@frozen
class _Column:
    """`sort`: the order it shows; `rank`: the greater, the sooner it is left out of a narrow table."""

    name: str
    sort: str = ""
    number: bool = False
    rank: int = 0


_COLUMNS = (
    _Column("actor", "name"),
    _Column("kind", rank=9),
    _Column("state"),
    _Column("for", number=True, rank=5),
    _Column("mailbox", "mailbox", number=True),
    _Column("peak", number=True, rank=8),
    _Column("msg/s", "handled", number=True, rank=2),
    _Column("busy", "busy", number=True, rank=1),
    _Column("message", rank=4),
    _Column("age", "age", number=True, rank=3),
    _Column("restarts", number=True, rank=6),
    _Column("lost", number=True, rank=7),
)
_GAP = 2
_NARROWEST = 24  # columns for the actor, before others are left out


def _fitting(widths: list[int], width: int | None) -> tuple[list[int], int]:
    """Which columns fit into *width*, and how wide the first may be."""
    columns = list(range(len(widths)))
    if width is None:
        return columns, widths[0]
    while True:
        others = sum(widths[i] + _GAP for i in columns[1:])
        least = max((i for i in columns), key=lambda i: _COLUMNS[i].rank)
        if others + min(widths[0], _NARROWEST) <= width or _COLUMNS[least].rank == 0:
            return columns, max(8, min(widths[0], width - others))
        columns.remove(least)


def _end_of(line: Text, width: int) -> Text:
    """*line*, or its end if it is wider: what an address begins with, many have in common."""
    return line if line.cell_len <= width else Text(f"…{set_cell_size(line.plain[::-1], width - 1)[::-1]}")


def _message(actor: Actor) -> str:
    """The message at hand, and for whom its handling waits."""
    kind = actor.handling.kind if actor.handling else ""
    return clean(f"{kind} → {short(actor.waits[0].address)}" if actor.waits else kind, 40)


def _cells(row: Row) -> list[Text]:
    actor = row.actor
    return [
        words(short(actor.address)),
        words((actor.kind, QUIET)),
        words((actor.state, STATES.get(actor.state, ""))),
        words(duration(actor.since)),
        words((f"{actor.queued}/{actor.capacity}", fill_style(actor.queued, actor.capacity))),
        words((str(actor.peak), QUIET)),
        words(f"{row.messages:.1f}" if row.messages else ("0", QUIET)),
        words((f"{row.busy:.0%}", ALARM if row.busy >= 0.9 else WARN if row.busy >= 0.5 else "")),
        words(_message(actor)),
        words(duration(row.age) if row.age else None),
        words((str(actor.restarts), WARN if actor.restarts else QUIET)),
        words((str(actor.lost), WARN if actor.lost else QUIET)),
    ]


def _header(look: Look) -> list[Text]:
    restarts = sum(row.actor.restarts for row in look.rows)
    head = words(("triologue top", "bold"), f"· {look.host} · {look.time}")
    if look.trouble is not None:
        head = words(head, (f"· {look.trouble}", ALARM))
    counts = words(
        f"{len(look.rows)} actors",
        f"· {sum(row.messages for row in look.rows):.0f} msg/s",
        (f"· {look.dead_letters} dead letters", WARN if look.dead_letters else ""),
        (f"· {restarts} restarts", WARN if restarts else ""),
        (f"· {look.holds} loop holds", WARN if look.holds else ""),
    )
    for line in (head, counts):
        line.no_wrap, line.overflow = True, "ellipsis"
    return [head, counts]


def _footer(more: int, keys: bool) -> list[Text]:
    sorts = ", ".join(f"{key} {name}" for key, name in KEYS.items())
    parts = [f"… {more} more"] if more > 0 else []
    parts += [f"sort: {sorts}; q quits"] if keys else []
    line = words((" · ".join(parts), QUIET))
    line.no_wrap, line.overflow = True, "ellipsis"
    return [line] if line else []
