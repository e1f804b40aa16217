"""The tables of earlier runs, as Markdown.

python -m benchmarks.wire.report RESULTS.json [MORE.json …]     of run, growth and fairness alike
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .fairness import CASES, render_fairness
from .growth import render_growth
from .results import Results
from .tables import render
from .workloads import WORKLOADS


def page(results: Results) -> str:
    """Every table that *results* has figures for."""
    measured = set(results.works())
    if measured & {work.name for work in WORKLOADS}:
        return render(results)
    return render_fairness(results) if measured & CASES.keys() else render_growth(results)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    print("\n\n".join(page(Results.load(path)) for path in parser.parse_args().results))


if __name__ == "__main__":
    main()
