"""The tables of a run, as Markdown: ours beside its goals, then who did what at each kind of work."""

from __future__ import annotations

from collections.abc import Sequence

from .goals import goals_table
from .results import Results
from .spread import paired, spread
from .work import Metric, Work
from .workloads import WORKLOADS

FRAME = Metric("frame_bytes", "bytes a frame")


def render(results: Results) -> str:
    """Every table of *results*: first how ours stands beside its goals, then each kind of work."""
    measured = results.works()
    mine = our_names(results)
    parts = [_about(results), *(goals_table(results, name) for name in mine)]
    parts += [_table(results, work, mine) for work in WORKLOADS if work.name in measured]
    return "\n\n".join(parts)


def our_names(results: Results) -> list[str]:
    """Which of the contestants are ours."""
    commits = results.about["commits"]
    assert isinstance(commits, dict)
    return list(commits)


def _about(results: Results) -> str:
    return "<br>\n".join(f"{name}: {_inline(value)}" for name, value in results.about.items() if value)


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(results: Results, work: Work, mine: Sequence[str]) -> str:
    contestants = results.contestants(work.name)
    mine = [name for name in mine if name in contestants]
    sized = any(results.of(work.name, name, "frame_bytes") for name in contestants)
    titles = [f"{name} ÷ it" for name in mine] if len(contestants) > 1 else []
    metrics = [*work.metrics, *([FRAME] if sized else [])]
    titles = [metric.title for metric in metrics] + titles
    lines = [
        f"### `{work.name}`: {work.title}\n",
        "| | " + " | ".join(titles) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for name in contestants:
        cells = [cell(results, work.name, name, metric) for metric in metrics]
        if len(contestants) > 1:
            cells += [_ratio(results, work, ours, name) for ours in mine]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(results: Results, work: str, contestant: str, metric: Metric) -> str:
    """What stands in a table."""
    values = results.of(work, contestant, metric.key)
    return spread(list(values.values())).text(metric.digits) if values else "–"


def _ratio(results: Results, work: Work, ours: str, name: str) -> str:
    key = work.metrics[0].key
    ratio = paired(results.of(work.name, ours, key), results.of(work.name, name, key))
    return "–" if ratio is None or ours == name else ratio.text(2)
