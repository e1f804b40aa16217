"""Count the instructions of each operation, and show them beside their budgets.

python -m benchmarks.instructions              a table
python -m benchmarks.instructions --runs 3     and by how much the runs differ
python -m benchmarks.instructions --write      make what was counted the budgets of this Python
"""

from __future__ import annotations

import argparse

from . import budgets
from .counting import NoValgrind, instructions
from .scenarios import SCENARIOS


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    try:
        runs = [instructions() for _ in range(arguments.runs)]
    except NoValgrind as error:
        raise SystemExit(str(error)) from None
    try:
        allowed = budgets.load()
        budgets.check_build(allowed, runs[0])
    except budgets.NoBudgets as error:
        print(f"{error}\n")
        allowed = {}
    print("| | instructions | budget | | runs differ by |\n|---|---|---|---|---|")
    for name, scenario in SCENARIOS.items():
        counts = [run[name] for run in runs]
        budget = allowed.get(name)
        beside = f"{budget:,} | {counts[0] / budget - 1:+.1%}" if budget else "– | –"
        print(f"| {scenario.operation} | {counts[0]:,} | {beside} | {max(counts) / min(counts) - 1:.2%} |")
    if arguments.write:
        budgets.save(runs[0])


if __name__ == "__main__":
    main()
