"""How cost grows: our server with more sockets, longer histories, more pipelines, larger groups.

    python -m benchmarks.wire.growth [--of sockets] [--rounds 3]

Our server alone, a fresh one for each size.
"""

from __future__ import annotations

from .generator import BUILD
from .growths import GROWTHS, Growth
from .results import Results
from .runner import arguments_parser, measure
from .tables import cell


def main() -> None:
    """What the command line asks for."""
    parser = arguments_parser(__doc__, BUILD / "results" / "growth.json")
    names = [growth.name for growth in GROWTHS]
    parser.add_argument("--of", action="append", choices=names, help="repeatable")
    arguments = parser.parse_args()
    chosen = [growth for growth in GROWTHS if growth.name in (arguments.of or names)]
    print(render_growth(measure(arguments, [work for growth in chosen for work in growth.works()])))


def render_growth(results: Results) -> str:
    """A table for everything that grew, and each of our servers."""
    measured = results.works()
    return "\n\n".join(
        _table(results, growth, name)
        for growth in GROWTHS
        if any(work.name in measured for work in growth.works())
        for name in results.contestants()
    )


def _table(results: Results, growth: Growth, name: str) -> str:
    lines = [
        f"### {growth.title} ({name})\n",
        f"| {growth.unit} | " + " | ".join(metric.title for metric in growth.metrics) + " |",
        "|---" * (len(growth.metrics) + 1) + "|",
    ]
    for work in growth.works():
        cells = [cell(results, work.name, name, metric) for metric in growth.metrics]
        lines.append(f"| {work.size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
