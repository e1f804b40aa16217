"""The tables of a run, as Markdown.

python -m benchmarks.wire.report RESULTS.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .results import Results
from .spread import paired, spread
from .work import Work
from .workloads import WORKLOADS


def render(results: Results) -> str:
    """Every table of *results*."""
    measured = results.works()
    return "\n".join(_table(results, work) for work in WORKLOADS if work.name in measured)


def our_names(results: Results) -> list[str]:
    """Which of the contestants are ours."""
    commits = results.about["commits"]
    assert isinstance(commits, dict)
    return list(commits)


def _table(results: Results, work: Work) -> str:
    contestants = results.contestants(work.name)
    first = work.metrics[0]
    mine = [name for name in our_names(results) if name in contestants]
    titles = [metric.title for metric in work.metrics] + [f"{name} ÷ it" for name in mine] + ["bytes a frame"]
    lines = [
        f"\n### `{work.name}`: {work.title}\n",
        "| | " + " | ".join(titles) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for name in contestants:
        cells = []
        for metric in work.metrics:
            values = results.of(work.name, name, metric.key)
            cells.append(spread(list(values.values())).text(metric.digits) if values else "–")
        for ours in mine:
            ratio = paired(results.of(work.name, ours, first.key), results.of(work.name, name, first.key))
            cells.append("–" if ratio is None or ours == name else ratio.text(2))
        sizes = results.of(work.name, name, "frame_bytes")
        cells.append(spread(list(sizes.values())).text() if sizes else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    print(render(Results.load(parser.parse_args().results)))


if __name__ == "__main__":
    main()
