"""Many runs, in several processes: which seeds break a law, and how soon a planted fault is found."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

from attrs import frozen

from .plants import PLANTS
from .run import SEED, simulate

BATCHES = 20
MOST_SEEDS = 200
# Of the batches, each planted fault must be caught in so many.
GOAL = 0.95


@frozen
class Outcome:
    """What came of one seed; `trouble` is empty if all laws held."""

    seed: int
    counts: Counter[str]
    trouble: str = ""


def run_one(seed: int) -> Outcome:
    """That seed, without planted faults."""
    try:
        journal = simulate(seed)
    except Exception:
        return Outcome(seed, Counter(), traceback.format_exc())
    trouble = "\n".join(str(finding) for finding in journal.findings)
    return Outcome(seed, journal.counts, trouble)


def sweep(seeds: Iterable[int], jobs: int) -> int:
    """Run them all; 1 if any broke a law."""
    begun, counts, failed, number = time.monotonic(), Counter[str](), list[Outcome](), 0
    for outcome in _outcomes(seeds, jobs):
        number += 1
        counts.update(outcome.counts)
        if outcome.trouble:
            failed.append(outcome)
            print(f"{SEED}={outcome.seed}\n  " + outcome.trouble.replace("\n", "\n  "), flush=True)
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{number} seeds, {number / minutes:.0f} a minute with {jobs} processes; {len(failed)} failed")
    width = max(map(len, counts), default=0)
    for what in sorted(counts):
        print(f"  {what:<{width}}  {counts[what]}")
    return 1 if failed else 0


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(run_one, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run_one, seeds, chunksize=10)


def seeds_until_caught(name: str, first: int) -> int | None:
    """How many seeds from *first* it takes until the checker finds that planted fault."""
    for number in range(MOST_SEEDS):
        if is_caught(name, first + number):
            return number + 1
    return None


def is_caught(name: str, seed: int) -> bool:
    """Whether a law is broken in that seed's run with the plant, and none without."""
    return bool(simulate(seed, PLANTS[name]).findings) and not simulate(seed).findings


def plant(first: int, jobs: int) -> int:
    """Plant each fault in twenty batches of seeds; 1 if too few of them catch it."""
    missed = False
    starts = [first + batch * MOST_SEEDS for batch in range(BATCHES)]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for name in PLANTS:
            needed = pool.map(partial(seeds_until_caught, name), starts, chunksize=1)
            caught = sorted(number for number in needed if number is not None)
            missed |= len(caught) < GOAL * BATCHES
            middle = caught[len(caught) // 2] if caught else "—"
            print(
                f"{name:<28} caught in {len(caught)} of {BATCHES} batches; "
                f"seeds needed: {middle} (median), {caught[-1] if caught else '—'} (most)",
                flush=True,
            )
    return 1 if missed else 0
