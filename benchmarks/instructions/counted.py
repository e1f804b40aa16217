"""What runs under valgrind: every scenario twice, each time in a process of its own.

`python -m benchmarks.instructions.counted SCENARIO…` prints a line for each: its name, how many operations it
did, and the process in which it did them. They are forked from one that has loaded everything and is warm, so
that only one pays for that, and all begin alike.
"""

from __future__ import annotations

import gc
import os
import sys

from actors.testing import run_seeded

from .scenarios import SCENARIOS, Scenario

SEED = 1


async def _warm_up(scenario: Scenario) -> None:
    async with scenario.prepare() as operate:
        await operate(scenario.count)


async def _count(scenario: Scenario, times: int) -> None:
    async with scenario.prepare() as operate:
        await operate(scenario.count * times)
        os._exit(0)  # what it takes to end is nobody's concern


def _fork(scenario: Scenario, times: int) -> int:
    """The process that did it."""
    pid = os.fork()
    if pid == 0:
        try:
            run_seeded(_count, scenario, times, seed=SEED)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit(f"{scenario.operation}: it failed")
    return pid


def main() -> None:
    # Its work depends on all that lives; how much there is to collect is for other tests.
    gc.disable()
    chosen = {name: SCENARIOS[name] for name in sys.argv[1:]}
    for scenario in chosen.values():
        run_seeded(_warm_up, scenario, seed=SEED)
    for name, scenario in chosen.items():
        for times in (1, 2):
            print(name, scenario.count * times, _fork(scenario, times), flush=True)


if __name__ == "__main__":
    main()
