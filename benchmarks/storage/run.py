"""Measure the contestants in turn, again and again, and print who wrote how much.

python -m benchmarks.storage.run [--directory DIRECTORY] [--rounds 9] [--writers 100] [--count 300]
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

from . import contestants
from .contestants import Lap, Recorded
from .workload import SCRIPTS


def main() -> None:
    """What the command line asks for."""
    arguments = _arguments()
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" SQLAlchemy {version('sqlalchemy')}, trio {version('trio')}, {os.cpu_count()} cores;"
        f" {arguments.writers} writers, {arguments.count} commits each, {arguments.rounds} rounds"
    )
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for name in arguments.only or SCRIPTS:
            print(f"\n## {name}\n\n{_report(_measure(Path(directory), name, arguments))}")


def _measure(directory: Path, name: str, arguments: argparse.Namespace) -> dict[str, list[Lap]]:
    script = SCRIPTS[name]
    size = arguments.writers, arguments.count
    recorded: Recorded = contestants.record(directory, script, *size)
    contenders = {
        "raw": lambda: contestants.raw(directory, recorded),
        "store": lambda: contestants.store(directory, recorded),
        "actor": lambda: contestants.actor(directory, script, *size),
    }
    laps: dict[str, list[Lap]] = {name: [] for name in contenders}
    for number in range(arguments.rounds):
        # Whoever is first this time is last the next.
        for each in contenders if number % 2 else reversed(contenders):
            laps[each].append(contenders[each]())
    return laps


def _report(laps: dict[str, list[Lap]]) -> str:
    lines = [
        "| | commits/s: median (lowest–highest) | share of raw | CPU µs a commit | commits a batch |"
        " wait p50 | p99 |",
        "|---" * 7 + "|",
    ]
    for name, rounds in laps.items():
        rates = [lap.commits / lap.wall for lap in rounds]
        shares = [raw.wall / lap.wall for raw, lap in zip(laps["raw"], rounds, strict=True)]
        cells = [
            name,
            f"{median(rates):,.0f} ({min(rates):,.0f}–{max(rates):,.0f})",
            f"{median(shares):.2f}",
            f"{median(lap.cpu / lap.commits for lap in rounds) * 1e6:.0f}",
            f"{median(lap.commits / lap.batches for lap in rounds):.0f}",
        ]
        if rounds[0].waits:
            cuts = [quantiles(lap.waits, n=100) for lap in rounds]
            cells += [f"{median(cut[place] for cut in cuts) * 1e3:.1f} ms" for place in (49, 98)]
        else:
            cells += ["–", "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", type=Path, help="on the disk to measure; by default the system's own")
    parser.add_argument("--rounds", type=int, default=9, help="at least 5, for a median that means something")
    parser.add_argument("--writers", type=int, default=100)
    parser.add_argument("--count", type=int, default=300, help="commits of each writer")
    parser.add_argument("--only", action="append", choices=list(SCRIPTS), help="repeatable")
    return parser.parse_args()


if __name__ == "__main__":
    main()
