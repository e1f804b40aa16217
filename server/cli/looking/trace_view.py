"""A trace in a few lines, and the way of all that came of one origin, as `triologue trace` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .recording import Handling, Recording
from .terminal import ALARM, QUIET, WARN, brief, duration, short, words

MOST = 5


def summary_view(recording: Recording, name: str) -> RenderableType:
    """What the trace in the file *name* has in it: how much, what took longest, and where to begin."""
    handled = [one for one in recording.handled if one.took is not None]
    actors = {one.actor for one in recording.handled}
    longest = sorted(handled, key=lambda one: one.took or 0.0, reverse=True)[:MOST]
    steps = sorted(recording.long_steps, key=lambda step: step.took, reverse=True)[:MOST]
    table = _table()
    for one in longest:
        table.add_row(
            words(duration_of(one.took)),
            words((one.kind, "bold"), short(one.actor), (f"at {one.at:.3f} s", QUIET)),
            words(f"#{one.origin} {one.origin_name}"),
        )
    held = _table()
    for step in steps:
        held.add_row(
            words((duration(step.took), WARN)),
            words((step.where, "bold"), step.task),
            words((f"at {step.at:.3f} s", QUIET), (f"seen {step.seen}", QUIET)),
        )
    return Group(
        words(
            (name, "bold"),
            f"· {duration(recording.seconds)} · {recording.events} events · {len(actors)} actors",
            f"· {len(handled)} messages handled",
            (f"· {recording.dropped} dropped", WARN if recording.dropped else ""),
        ),
        *_under("longest handling", table),
        *_under("long steps, in which nobody else ran", held),
        *_under("origins with the longest ways", _origins(recording)),
        Text(),
        words(f"open it in ui.perfetto.dev, or follow an origin: triologue trace {name} --follow NUMBER"),
    )


def path_view(path: Sequence[Handling]) -> RenderableType:
    """Every message of a *path*, in order of time, further in than the one that it came of."""
    first = path[0]
    depths: dict[int, int] = {}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=QUIET)
    for name, right in _COLUMNS:
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for one in path:
        depth = depths[one.message] = depths.get(one.cause, -1) + 1
        table.add_row(
            words(f"{(one.at - first.at) * 1000:.2f} ms"),
            words(duration_of(one.waited)),
            words(duration_of(one.took) if one.took is not None else ("not handled", WARN)),
            Text("  " * min(depth, _DEEPEST)) + words((one.kind, "bold"), (f"#{one.message}", QUIET)),
            words((f"#{one.cause}" if one.cause else "", QUIET)),
            words(
                short(one.sender) if one.sender else ("outside", QUIET),
                ("→", QUIET),
                short(one.actor),
                (one.error, ALARM) if one.error is not None else None,
            ),
        )
    title = words(
        (f"#{first.origin} {first.origin_name}", "bold"),
        *(f"· {name}={value}" for name, value in first.labels.items()),
        f"· {len(path)} messages · {duration_of(_span(path))}",
    )
    return Group(title, table)


def duration_of(seconds: float | None) -> str:
    """*seconds* of a message's way: finer than those that a clock on the wall shows."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else duration(seconds)


_COLUMNS = (
    ("at", True),
    ("waited", True),
    ("took", True),
    ("message", False),
    ("because of", False),
    ("way", False),
)
_DEEPEST = 8


def _origins(recording: Recording) -> Table:
    ways: dict[int, list[Handling]] = {}
    for one in recording.handled:
        ways.setdefault(one.origin, []).append(one)
    found = sorted(ways.values(), key=_span, reverse=True)
    table = _table()
    for way in found[:MOST]:
        labels = ", ".join(f"{name}={brief(str(value))}" for name, value in way[0].labels.items())
        table.add_row(
            words(duration_of(_span(way))),
            words((f"#{way[0].origin}", "bold"), way[0].origin_name, f"({len(way)} messages)"),
            words((labels, QUIET)),
        )
    return table


def _span(way: Sequence[Handling]) -> float:
    return max(one.end for one in way) - way[0].at


def _table() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=8)
    return table


def _under(title: str, table: Table) -> list[RenderableType]:
    return [Text(), words((title, QUIET)), table] if table.row_count else []
