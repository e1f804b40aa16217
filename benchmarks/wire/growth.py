"""How cost grows: our server with more sockets, longer histories, more pipelines, larger groups.

    python -m benchmarks.wire.growth [--of sockets] [--rounds 3]

Our server alone. Each size has a fresh server; the order of the sizes is reversed each round.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from .contestants import ROOT, ours
from .generator import BUILD, LoadFailed
from .growths import GROWTHS, Growth
from .process import keep_off_the_server
from .results import Measurement, Results, about_this_run
from .run import add_server_arguments
from .spread import spread
from .work import Pace


def main() -> None:
    """What the command line asks for."""
    arguments = _arguments()
    keep_off_the_server()
    servers = arguments.server or {"triologue": ROOT}
    contestants = [ours(name, directory, arguments.python) for name, directory in servers.items()]
    pace = Pace(seconds=arguments.seconds, warm_up=arguments.warm_up)
    about = about_this_run(servers, rounds=arguments.rounds, seconds=pace.seconds, warm_up=pace.warm_up)
    results = Results(about)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.rounds):
        for growth in GROWTHS:
            if arguments.of and growth.name not in arguments.of:
                continue
            for size in growth.sizes if number % 2 == 0 else reversed(growth.sizes):
                for contestant in contestants:
                    began = time.monotonic()
                    try:
                        figures = growth.measure(contestant, size, pace)
                    except (LoadFailed, RuntimeError, subprocess.SubprocessError) as error:
                        print(f"{growth.name} {size} {contestant.name}: {error}", file=sys.stderr)
                        continue
                    figures["size"] = size
                    results.measurements.append(
                        Measurement(work_of(growth, size), contestant.name, number, figures)
                    )
                    results.save(arguments.output)
                    shown = ", ".join(f"{each.title} {figures[each.key]:.2f}" for each in growth.metrics)
                    took = time.monotonic() - began
                    print(
                        f"round {number + 1} {size} {growth.unit}, {contestant.name}: {shown} [{took:.0f} s]",
                        file=sys.stderr,
                    )
    print(render_growth(results))


def work_of(growth: Growth, size: int) -> str:
    """What *growth* at *size* is called in results."""
    return f"{growth.name} {size}"


def render_growth(results: Results) -> str:
    """A table for everything that grew, and each of our servers."""
    names = dict.fromkeys(each.contestant for each in results.measurements)
    measured = results.works()
    return "\n\n".join(
        _table(results, growth, name)
        for growth in GROWTHS
        if any(work_of(growth, size) in measured for size in growth.sizes)
        for name in names
    )


def _table(results: Results, growth: Growth, name: str) -> str:
    lines = [
        f"### {growth.title} ({name})\n",
        f"| {growth.unit} | " + " | ".join(metric.title for metric in growth.metrics) + " |",
        "|---" * (len(growth.metrics) + 1) + "|",
    ]
    for size in growth.sizes:
        cells = []
        for metric in growth.metrics:
            values = results.of(work_of(growth, size), name, metric.key)
            cells.append(spread(list(values.values())).text(metric.digits) if values else "–")
        lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--of", action="append", choices=[growth.name for growth in GROWTHS], help="repeatable"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=BUILD / "results" / "growth.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
