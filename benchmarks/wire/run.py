"""Measure our server and its peers at every kind of work.

    python -m benchmarks.wire.run                                    everything, five rounds
    python -m benchmarks.wire.run --short                            two rounds, without what takes long
    python -m benchmarks.wire.run --work ping1 --work delta --among picows --rounds 3
    python -m benchmarks.wire.run --server DIRECTORY --python PYTHON     Triologue as it lies there
    python -m benchmarks.wire.run --server before=DIRECTORY --server after=DIRECTORY   two of them, in one run
    python -m benchmarks.wire.run --python PYTHON --python other=PYTHON --work delta    in two interpreters

The raw figures are written to --output after each measurement; the report is printed at the end.
"""

from __future__ import annotations

import argparse

from . import peers
from .contestants import Contestant, all_peers
from .generator import BUILD
from .runner import arguments_parser, measure
from .tables import render
from .workloads import WORKLOADS

_LONG = {"delta-default", "cumulative-default", "idle", "idle-own"}


def main() -> None:
    """What the command line asks for."""
    arguments = _arguments()
    works = [work for work in WORKLOADS if work.name in arguments.work]
    print(render(measure(arguments, works, _peers(arguments.among))))


def _peers(names: list[str] | None) -> list[Contestant]:
    if names == ["nobody"]:
        return []
    peers.install()
    return [each for each in all_peers() if names is None or each.name in names]


def _arguments() -> argparse.Namespace:
    parser = arguments_parser(__doc__, BUILD / "results" / "wire.json", rounds=5)
    names = [work.name for work in WORKLOADS]
    parser.add_argument("--work", action="append", choices=names, help="repeatable")
    parser.add_argument("--among", action="append", metavar="PEER", help="repeatable; `nobody`: no peers")
    parser.add_argument("--short", action="store_true", help="two rounds, without what takes long")
    if parser.parse_args().short:
        parser.set_defaults(rounds=2)
        names = [name for name in names if name not in _LONG]
    arguments = parser.parse_args()
    arguments.work = arguments.work or names
    return arguments


if __name__ == "__main__":
    main()
