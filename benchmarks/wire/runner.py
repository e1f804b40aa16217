"""Everybody's turn at everything, round after round, and the command line that all such runs share."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .contestants import ROOT, Contestant, ours
from .generator import LoadFailed
from .process import keep_off_the_server
from .results import Measurement, Results, about_this_run
from .work import Pace, Work

OURS = "triologue"
"""What ours is called, if nobody says otherwise."""


def measure(
    arguments: argparse.Namespace, works: Sequence[Work], peers: Sequence[Contestant] = ()
) -> Results:
    """What our servers and the *peers* did, as *arguments* of an `arguments_parser` ask.

    It is told as it comes, and written to the file that they name after each measurement. One that fails is
    told, and left out.
    """
    keep_off_the_server()
    servers: dict[str, Path] = arguments.server or {OURS: ROOT}
    pythons: dict[str, Path] = arguments.python or {OURS: Path(sys.executable)}
    contestants = [
        ours(_joined(server, python), directory, str(interpreter))
        for server, directory in servers.items()
        for python, interpreter in pythons.items()
    ]
    if len({one.name for one in contestants}) < len(contestants):
        raise SystemExit("two of our servers have the same name")
    contestants += peers
    pace = Pace(seconds=arguments.seconds, warm_up=arguments.warm_up)
    results = Results(
        about_this_run(servers, rounds=arguments.rounds, seconds=pace.seconds, warm_up=pace.warm_up)
    )
    output: Path = arguments.output
    output.parent.mkdir(parents=True, exist_ok=True)
    turns = [(work, contestant) for work in works for contestant in contestants]
    for number in range(arguments.rounds):
        # Who is first this time is last the next.
        for work, contestant in turns if number % 2 == 0 else reversed(turns):
            began = time.monotonic()
            about = f"round {number + 1} {work.name:<12} {contestant.name:<14}"
            try:
                figures = work.measure(contestant, pace)
            except (LoadFailed, RuntimeError, subprocess.SubprocessError) as error:
                print(f"{about} failed: {error}", file=sys.stderr)
                continue
            if figures is not None:
                results.measurements.append(Measurement(work.name, contestant.name, number, figures))
                results.save(output)
                shown = ", ".join(metric.told(figures) for metric in work.metrics if metric.key in figures)
                print(f"{about} {shown} [{time.monotonic() - began:.0f} s]", file=sys.stderr)
    return results


def arguments_parser(
    description: str | None, output: Path, *, rounds: int = 3, seconds: float = 1.2
) -> argparse.ArgumentParser:
    """For what `measure` heeds, with these defaults."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--server", action=_Named, metavar="[NAME=]DIRECTORY", help="a checkout of ours; repeatable"
    )
    parser.add_argument(
        "--python", action=_Named, metavar="[NAME=]PYTHON", help="what our servers run in; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="for each measurement")
    parser.add_argument("--warm-up", type=float, default=0.4)
    parser.add_argument("--output", type=Path, default=output, help="where the raw figures go")
    return parser


def _joined(server: str, python: str) -> str:
    return "-".join(name for name in (server, python) if name != OURS) or OURS


class _Named(argparse.Action):
    """Gathers paths by name; one without a name is `triologue`."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, value: object, option: object = None
    ) -> None:
        name, equals, path = str(value).rpartition("=")
        known = getattr(namespace, self.dest) or {}
        found = Path(shutil.which(path) or path)  # an interpreter may be a command's name
        # Not resolved: the python of an environment is a link to one that knows nothing of it.
        setattr(namespace, self.dest, {**known, name if equals else OURS: found.absolute()})
