"""The trials in their long form, for the figures in docs/promises.md.

python -m tests.e2e.lasting kills --cycles 300
python -m tests.e2e.lasting resumes --cycles 100 --way hypercorn --seed 7
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import trio

from .recorder import Recorder
from .running import PIPELINES, WAYS
from .trials import TRIMMED, Trial, kills


async def kill_trial(
    folder: Path, *, way: str, cycles: int, writers: int, seed: int, settings: str = ""
) -> Recorder:
    """P1, P2, P3: SIGKILL at random moments under *writers* writers, who try everything again."""
    trial = Trial(folder, way, settings + PIPELINES, Random(seed))
    trial.people(writers, readers=max(2, writers // 5))
    return await kills(trial, cycles)


async def resume_trial(
    folder: Path, *, way: str, cycles: int, writers: int, seed: int, settings: str = ""
) -> Recorder:
    """P4: readers that come and go, some with bad cursors, over restarts and a history that is trimmed."""
    trial = Trial(folder, way, settings + TRIMMED + PIPELINES, Random(seed))
    trial.people(writers, readers=2 * writers, restless=40, forgetful=0.2)
    return await kills(trial, cycles, ends=("kill", "terminate"))


TRIALS = {"kills": kill_trial, "resumes": resume_trial}


@contextmanager
def in_file(folder: Path) -> Iterator[str]:
    """The default: SQLite in the data directory."""
    yield ""


@contextmanager
def sealed(folder: Path) -> Iterator[str]:
    """The same, encrypted."""
    keys = folder / "master-keys"
    subprocess.run(
        [sys.executable, "-m", "server", "keys", "new", str(keys)], check=True, capture_output=True
    )
    yield f'[encryption]\nkey_file = "{keys}"\n'


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server from the wheel."""
    from tests.conformance.places import Server

    server = Server()
    try:
        yield f'[storage]\nurl = "{server.new_database()}"\n'
    finally:
        server.close()


STORES = {"file": in_file, "sealed": sealed, "postgres": postgres}


def report(recorder: Recorder, seconds: float) -> str:
    """Figures, one a line."""
    lines = [f"{name:24} {count}" for name, count in sorted(recorder.counts.items())]
    lines.append(f"{'acknowledged messages':24} {len(recorder.acks)}")
    lines.append(f"{'seconds':24} {seconds:.0f}")
    kinds = Counter(fault.kind for fault in recorder.faults)
    lines.append(f"{'faults':24} {len(recorder.faults)} {dict(kinds) if kinds else ''}".rstrip())
    lines += [f"    {fault.kind}: {fault.text}" for fault in recorder.faults[:20]]
    return "\n".join(lines)


def main() -> int:
    """Run one trial and print its figures; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.lasting", description=__doc__)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--writers", type=int, default=20)
    parser.add_argument("--store", choices=STORES, default="file")
    parser.add_argument("--way", choices=WAYS, default="serve")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    given = ("cycles", "writers", "store", "way", "seed")
    print(chosen.trial, *(f"{name}={getattr(chosen, name)}" for name in given), flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name, STORES[chosen.store](Path(name)) as settings:
        trial = partial(
            TRIALS[chosen.trial],
            Path(name),
            way=chosen.way,
            cycles=chosen.cycles,
            writers=chosen.writers,
            seed=chosen.seed,
            settings=settings,
        )
        recorder = trio.run(trial)
    print(report(recorder, time.monotonic() - begun))
    return 1 if recorder.faults else 0


if __name__ == "__main__":
    sys.exit(main())
