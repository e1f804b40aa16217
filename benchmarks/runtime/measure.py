"""What the three contestants share: the messages, the sizes, the stopwatch and the command line.

It must run in the interpreters of all of them, so it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

TIMEOUT = 10.0
"""Seconds that a request may take, where the library can be told."""
ASKERS = 64
"""How many ask at the same time in `ask 64`."""

SIZES = {
    "tell": 50_000,
    "tell_nowait": 100_000,
    "ask": 10_000,
    "ask_untimed": 10_000,
    "ask64": 20_000,
    "ask64_untimed": 20_000,
    "ask64_futures": 20_000,
    "spawn": 1_000,
    "restart": 500,
}
"""Operations of one measurement, chosen to take between a tenth of a second and a few."""


@dataclass(slots=True)
class Add:
    """A message that wants no answer."""

    number: int


@dataclass(slots=True)
class Get:
    """A message whose answer is *number*."""

    number: int


@dataclass(slots=True)
class Crash:
    """A message that its receiver does not survive."""


class Boom(Exception):
    """What a `Crash` raises."""


@dataclass(slots=True)
class Lap:
    """What *operations* took, in seconds: by the clock on the wall, and of the processor in all threads."""

    operations: int
    wall: float
    cpu: float


class Stopwatch:
    """Runs from its making; `lap` tells what it took since then, or since the last lap."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, operations: int) -> Lap:
        """What *operations* took."""
        wall, cpu = time.perf_counter(), time.process_time()
        lap = Lap(operations, wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return lap


Laps = dict[str, Lap]
Case = Callable[[int], Laps]


def main(cases: dict[str, Case]) -> None:
    """Run the case that the command line names, with as many operations as it says, and print its laps.

    `python -m benchmarks.runtime.peer_actors tell 50000` prints one line of JSON.
    """
    # Crashes are what `restart` measures. Everybody reports them, nobody writes them to a terminal.
    logging.getLogger().addHandler(logging.NullHandler())
    name, operations = sys.argv[1], int(sys.argv[2])
    laps = cases[name](operations)
    print(json.dumps({lap: [took.operations, took.wall, took.cpu] for lap, took in laps.items()}))
