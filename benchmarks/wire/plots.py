"""A run's figures as pictures (SVG); needs the extra `bench`.

python -m benchmarks.wire.plots [--wire wire.json] [--growth growth.json] [--directory DIRECTORY]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .generator import BUILD
from .growths import GROWTHS, Growth
from .results import Results
from .spread import spread
from .tables import our_names
from .work import Metric, Work
from .workloads import WORKLOADS

OURS, PEER, INK = "#0b6e99", "#b8bfc6", "#333333"
LINES = ("#0b6e99", "#c2571a", "#3d8b40", "#7a4f9a", "#8a6d1d")


def wire(results: Results) -> Figure:
    """A panel for each kind of work in which we have peers, and one for handshakes."""
    panels = [
        (work, metric)
        for work in WORKLOADS
        for metric in work.metrics[: 2 if work.name == "idle" else 1]
        if len(results.contestants(work.name)) > len(our_names(results))
    ]
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(12, 2.3 * rows), layout="constrained")
    for axes, (work, metric) in zip(_axes(figure, rows, columns), panels, strict=False):
        _bars(axes, results, work, metric)
    return figure


def growth(results: Results, name: str) -> Figure:
    """A panel for each thing that grows: the cost of one unit, as a multiple of that at the smallest size."""
    measured = [each for each in GROWTHS if each.works()[0].name in results.works()]
    figure = Figure(figsize=(12, 3.2 * -(-len(measured) // 2)), layout="constrained")
    for axes, each in zip(_axes(figure, -(-len(measured) // 2), 2), measured, strict=False):
        _lines(axes, results, each, name)
    return figure


def _axes(figure: Figure, rows: int, columns: int) -> list[Axes]:
    found: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in found:
        axes.set_axis_off()  # those that stay empty; the others turn it on again
    return found


def _bars(axes: Axes, results: Results, work: Work, metric: Metric) -> None:
    axes.set_axis_on()
    names = [name for name in results.contestants(work.name) if results.of(work.name, name, metric.key)]
    spreads = [spread(list(results.of(work.name, name, metric.key).values())) for name in names]
    mine = our_names(results)
    axes.locator_params(axis="x", nbins=4)
    axes.barh(
        names,
        [each.median for each in spreads],
        xerr=(
            [each.median - each.lowest for each in spreads],
            [each.highest - each.median for each in spreads],
        ),
        color=[OURS if name in mine else PEER for name in names],
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    axes.invert_yaxis()
    axes.set_title(fill(work.title, 44), fontsize=9, loc="left")
    axes.set_xlabel(f"{metric.title} ({'less' if metric.less_is_better else 'more'} is better)", fontsize=8)
    _plain(axes)


def _lines(axes: Axes, results: Results, growth: Growth, name: str) -> None:
    axes.set_axis_on()
    for metric, color in zip(growth.metrics, LINES, strict=False):
        medians = [_median(results, work.name, name, metric) for work in growth.works()]
        seen = [(size, value) for size, value in zip(growth.sizes, medians, strict=True) if value]
        if seen:
            base = seen[0][1]
            axes.plot(
                [size for size, _ in seen],
                [value / base for _, value in seen],
                marker="o",
                color=color,
                label=metric.title,
            )
    axes.axhline(1, color=PEER, linewidth=1, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.4), max(high, 2.5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: "")
    axes.set_title(growth.title, fontsize=9, loc="left")
    axes.set_xlabel(growth.unit, fontsize=8)
    axes.set_ylabel(f"× at {growth.sizes[0]:,}", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    _plain(axes)


def _median(results: Results, work: str, name: str, metric: Metric) -> float:
    values = results.of(work, name, metric.key)
    return spread(list(values.values())).median if values else 0.0


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    # No date and no random names, so that the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
    print(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wire", type=Path, default=BUILD / "results" / "wire.json")
    parser.add_argument("--growth", type=Path, default=BUILD / "results" / "growth.json")
    parser.add_argument("--directory", type=Path, default=BUILD / "results")
    asked = parser.parse_args(arguments)
    matplotlib.rcParams.update({"svg.hashsalt": "wire", "font.family": "sans-serif"})
    if asked.wire.exists():
        _save(wire(Results.load(asked.wire)), asked.directory / "performance-wire.svg")
    if asked.growth.exists():
        results = Results.load(asked.growth)
        for name in our_names(results):
            of_whom = "" if name == "triologue" else f"-{name}"
            _save(growth(results, name), asked.directory / f"performance-growth{of_whom}.svg")


if __name__ == "__main__":
    main()
