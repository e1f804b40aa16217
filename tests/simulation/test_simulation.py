"""A few hundred seeds of the simulated server, and the proof that its checker is awake.

`SIMULATION_SEED=7 python -m tests.simulation` prints what happened in that seed's run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest

from .plants import PLANTS
from .run import SEED, given_seed, simulate

# So much of a slow machine's time, in seconds: with less than that many seeds done, the others are left to
# `make simulate`.
BUDGET = 20.0
SEEDS = 300
# After so many of them, all of the following has happened.
ENOUGH = 100
MOST_SEEDS = 200

EXERCISED = (
    "ack duplicate",
    "close 1012",
    "crash of conversation",
    "crash of registry",
    "crash of storage",
    "drain",
    "error conflict",
    "final interrupted",
    "frame edited",
    "frame recalled",
    "gap malformed",
    "kill",
    "resumed",
    "socket ASGI",
    "socket straight",
    "socket: message in fragments",
    "socket: resumed write",
    "socket: short write",
    "socket: stall",
    "store refused",
    "store unknown",
)


def test_whatever_goes_wrong_the_laws_hold() -> None:
    """Crashes, a bad disk, restarts: nothing that was acked is lost, and nobody misses anything."""
    given = given_seed()
    counts, begun = Counter[str](), time.monotonic()
    for seed in [given] if given is not None else range(SEEDS):
        journal = simulate(seed)
        findings = "\n".join(str(finding) for finding in journal.findings)
        assert not findings, f"{SEED}={seed}\n{findings}"
        counts.update(journal.counts)
        counts["seeds"] += 1
        if time.monotonic() - begun > BUDGET:
            break
    if counts["seeds"] >= ENOUGH:
        assert [what for what in EXERCISED if not counts[what]] == []


def test_one_seed_is_one_run() -> None:
    """Else a failure could not be looked at twice."""
    for seed in (1, 2, 3):
        assert simulate(seed).lines == simulate(seed).lines


def test_a_seed_is_the_same_run_in_another_process() -> None:
    """Whatever ran before, and whatever order Python gives to sets."""
    seed = 5
    here = simulate(seed).lines
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, SEED: str(seed), "PYTHONUTF8": "1"}
        command = [sys.executable, "-m", "tests.simulation"]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert shown.stdout.split("\n")[: len(here)] == "\n".join(here).split("\n")[: len(here)]


def test_different_seeds_are_different_runs() -> None:
    """Else one would do."""
    journals = [simulate(seed).lines for seed in range(10, 15)]

    assert all(one != other for number, one in enumerate(journals) for other in journals[:number])


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """A checker that finds nothing may be asleep; `python -m tests.simulation --planted` asks more of it."""
    for seed in range(1000, 1000 + MOST_SEEDS):
        if simulate(seed, PLANTS[name]).findings:
            assert simulate(seed).findings == [], "found without the plant as well"
            return
    raise AssertionError(f"{MOST_SEEDS} seeds did not show it")
