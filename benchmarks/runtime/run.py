"""Measure all contestants in turn, again and again, and print who took how long.

    python -m benchmarks.runtime.run [--rounds 7] [--json FILE] [--only tell] [--also NAME=DIRECTORY]

One measurement is one process of its own. In every round each contestant has its turn in each case, right
after the others, so that a machine that is busy for a while is busy for all. All of it runs on one core:
Python runs one thread at a time anyway, and Pykka's threads lose up to half of their speed on two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from . import peers
from .measure import SIZES, Lap, Laps

LIMIT = 120.0
"""Seconds after which a measurement has failed."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what to compare, and the lap that each library has to show for it."""

    title: str
    ours: str
    triotp: str
    pykka: str


ROWS = [
    Row("tell", "tell", "tell", "tell"),
    Row("tell without a wait", "tell_nowait", "tell", "tell"),
    Row("ask", "ask", "ask", "ask"),
    Row("ask, peers without a time-out", "ask", "ask_untimed", "ask_untimed"),
    Row("ask, 64 askers", "ask64", "ask64", "ask64"),
    Row("ask, 64 askers, peers without a time-out", "ask64", "ask64_untimed", "ask64_untimed"),
    Row("ask, 64 open; Pykka: one asker, futures", "ask64", "ask64", "ask64_futures"),
    Row("spawn until started", "spawn", "spawn", "spawn"),
    Row("stop", "stop", "stop", "stop"),
    Row("restart until it answers", "restart", "restart", "restart"),
]

CASES = {
    "peer_actors": ["tell", "tell_nowait", "ask", "ask64", "spawn", "restart"],
    "peer_triotp": ["tell", "ask", "ask_untimed", "ask64", "ask64_untimed", "spawn", "restart"],
    "peer_pykka": [
        *("tell", "ask", "ask_untimed", "ask64", "ask64_untimed", "ask64_futures", "spawn", "restart"),
    ],
}

Rounds = dict[str, list[Lap]]
"""The laps of one contestant by their name, one a round."""


def main() -> None:
    """What the command line asks for."""
    arguments = _arguments()
    if not arguments.all_cores:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    contestants = [
        peers.ours(),
        *(peers.ours(name, Path(directory).resolve()) for name, directory in arguments.also),
        *peers.triotp(),
        peers.pykka(),
    ]
    measured: dict[str, Rounds] = {one.name: {} for one in contestants}
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        for case in SIZES:
            if arguments.only and case.removesuffix("_untimed") not in arguments.only:
                continue
            # Whoever is first this time is last the next.
            for one in contestants if number % 2 else reversed(contestants):
                if case in CASES[one.module]:
                    for name, lap in _measure(one, case).items():
                        measured[one.name].setdefault(name, []).append(lap)
    print(report(contestants, measured))
    _save(arguments.json, len(os.sched_getaffinity(0)), measured)


def report(contestants: list[peers.Contestant], measured: dict[str, Rounds]) -> str:
    """Markdown: processor time, the clock's, and how much faster ours is than each of the others."""
    ours = contestants[0]
    tables = []
    for what, title in (("cpu", "Microseconds of CPU"), ("wall", "Microseconds by the clock")):
        lines = [
            f"### {title} for each operation: median (lowest–highest)",
            "",
            "| | " + " | ".join(one.name for one in contestants) + " |",
            "|---" * (len(contestants) + 1) + "|",
        ]
        for row in ROWS:
            cells = []
            base = _times(measured[ours.name], row.ours, what)
            for one in contestants:
                times = _times(measured[one.name], _lap_of(one, row), what)
                cell = f"{median(times):.1f} ({min(times):.1f}–{max(times):.1f})" if times else "–"
                if one is not ours and times and base:
                    cell += f" **{median(a / b for a, b in zip(times, base, strict=True)):.2f}×**"
                cells.append(cell)
            if base:
                lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(
        [*tables, "In bold: its time ÷ ours, the median of the rounds. Above 1, ours is faster."]
    )


def _lap_of(one: peers.Contestant, row: Row) -> str:
    return {"peer_actors": row.ours, "peer_triotp": row.triotp, "peer_pykka": row.pykka}[one.module]


def _times(rounds: Rounds, name: str, what: str) -> list[float]:
    return [getattr(lap, what) / lap.operations * 1e6 for lap in rounds.get(name, [])]


def _measure(one: peers.Contestant, case: str) -> Laps:
    done = subprocess.run(
        one.command(case, str(SIZES[case])),
        env=one.environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{one.name} failed at {case}:\n{done.stderr}")
    return {name: Lap(*took) for name, took in json.loads(done.stdout.splitlines()[-1]).items()}


def _save(path: Path, cores: int, measured: dict[str, Rounds]) -> None:
    result = {
        "python": platform.python_version(),
        "trio": version("trio"),
        "pykka": version("pykka"),
        "triotp": peers.TRIOTP.partition("==")[2],
        "cores": cores,
        "sizes": SIZES,
        "laps": {
            name: {
                lap: [{"operations": it.operations, "wall": it.wall, "cpu": it.cpu} for it in laps]
                for lap, laps in rounds.items()
            }
            for name, rounds in measured.items()
        },
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nEvery lap is in {path}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="at least 5, for a median that means something")
    parser.add_argument(
        "--json", type=Path, default=peers.ENVIRONMENTS / "runtime.json", help="for every lap"
    )
    parser.add_argument("--only", action="append", choices=list(SIZES), help="measure this case; repeatable")
    parser.add_argument("--all-cores", action="store_true", help="don't pin everything to one core")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=lambda text: text.split("=", 1),
        metavar="NAME=DIRECTORY",
        help="another version of ours: a directory that holds a package `actors`, and no `benchmarks`",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
