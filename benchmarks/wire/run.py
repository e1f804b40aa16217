"""Measure all contestants at every kind of work, by turns, again and again.

    python -m benchmarks.wire.run                                    everything, five rounds
    python -m benchmarks.wire.run --short                            in a few minutes
    python -m benchmarks.wire.run --work ping1 --work delta --among picows --rounds 3
    python -m benchmarks.wire.run --server DIRECTORY --python PYTHON     Triologue as it lies there
    python -m benchmarks.wire.run --server before=DIRECTORY --server after=DIRECTORY   two of them, in one run

The raw figures are written to --output after each measurement; the report is printed at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import peers
from .contestants import ROOT, Contestant, all_peers, ours
from .generator import BUILD, LoadFailed
from .process import keep_off_the_server
from .results import Measurement, Results, about_this_run
from .tables import render
from .work import Pace, Work
from .workloads import WORKLOADS

_FULL = {"rounds": 5, "seconds": 3.0, "warm_up": 1.0}
_LONG = {"delta-default", "cumulative-default", "idle", "idle-own"}


def main() -> None:
    """What the command line asks for."""
    arguments = parse_arguments()
    keep_off_the_server()
    servers = arguments.server or {"triologue": ROOT}
    contestants = [ours(name, directory, arguments.python) for name, directory in servers.items()]
    if arguments.among != ["nobody"]:
        peers.install()
        contestants += [each for each in all_peers() if not arguments.among or each.name in arguments.among]
    works = [work for work in WORKLOADS if work.name in arguments.work]
    pace = Pace(seconds=arguments.seconds, warm_up=arguments.warm_up)
    results = Results(
        about_this_run(servers, rounds=arguments.rounds, seconds=pace.seconds, warm_up=pace.warm_up)
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    measure(results, works, contestants, arguments.rounds, pace, arguments.output)
    print(render(results))


def measure(
    results: Results,
    works: Sequence[Work],
    contestants: Sequence[Contestant],
    rounds: int,
    pace: Pace,
    output: Path,
) -> None:
    """Add to *results*, and write them to *output*, what *rounds* rounds find."""
    for number in range(rounds):
        for work in works:
            # Whoever is first this time is last the next.
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                began = time.monotonic()
                try:
                    figures = work.measure(contestant, pace)
                except (LoadFailed, RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"round {number + 1} {work.name} {contestant.name}: {error}", file=sys.stderr)
                    continue
                if figures is None:
                    continue
                results.measurements.append(Measurement(work.name, contestant.name, number, figures))
                results.save(output)
                shown = ", ".join(
                    f"{figures[metric.key]:,.{metric.digits}f} {metric.title}"
                    for metric in work.metrics
                    if metric.key in figures
                )
                took = time.monotonic() - began
                print(
                    f"round {number + 1} {work.name:<12} {contestant.name:<14} {shown} [{took:.0f} s]",
                    file=sys.stderr,
                )


def named_directory(text: str) -> tuple[str, Path]:
    """Of `[NAME=]DIRECTORY`."""
    name, equals, directory = text.rpartition("=")
    return name if equals else "triologue", Path(directory).resolve()


class _Servers(argparse.Action):
    """Gathers `--server` into a dictionary."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, value: object, option: object = None
    ) -> None:
        name, directory = named_directory(str(value))
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), name: directory})


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Which checkout of our server is measured, in which interpreter."""
    parser.add_argument(
        "--server", action=_Servers, metavar="[NAME=]DIRECTORY", help="a checkout; repeatable"
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter that our server runs in")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--work", action="append", choices=[work.name for work in WORKLOADS], help="repeatable"
    )
    parser.add_argument("--among", action="append", metavar="PEER", help="repeatable; `nobody`: no peers")
    parser.add_argument(
        "--short", action="store_true", help="two rounds of a second, without what takes long"
    )
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seconds", type=float, help="for each measurement; default: 3")
    parser.add_argument("--warm-up", type=float, help="default: 1")
    parser.add_argument("--output", type=Path, default=BUILD / "results" / "wire.json")
    arguments = parser.parse_args()
    defaults = {"rounds": 2, "seconds": 1.0, "warm_up": 0.5} if arguments.short else _FULL
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if not arguments.work:
        arguments.work = [work.name for work in WORKLOADS if not (arguments.short and work.name in _LONG)]
    return arguments


if __name__ == "__main__":
    main()
