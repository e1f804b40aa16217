"""`python -m tests.simulation --seeds 1000`: many runs, and what they exercised.

`SIMULATION_SEED=7 python -m tests.simulation` repeats one and prints its journal.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys

from .run import given_seed, simulate
from .sweep import plant, sweep


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes")
    parser.add_argument("--planted", action="store_true", help="plant faults, and see that they are found")
    options = parser.parse_args()
    seed = given_seed()
    if seed is not None:
        return show(seed)
    if options.planted:
        return plant(options.first, options.jobs)
    return sweep(range(options.first, options.first + options.seeds), options.jobs)


def show(seed: int) -> int:
    """Print the journal of one run; 1 if it broke a law."""
    journal = simulate(seed)
    print("\n".join(journal.lines))
    print(f"\n{len(journal.findings)} laws broken" if journal.findings else "\nall laws held")
    return 1 if journal.findings else 0


if __name__ == "__main__":
    sys.exit(main())
