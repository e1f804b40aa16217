"""Instructions for each operation, as valgrind counts them.

The tool is cachegrind without its caches: it counts what callgrind counts, three times as fast, since it
does not note who called whom. Of a scenario it counts two runs, of which one does twice as many operations:
what they differ by is the operations, and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .scenarios import SCENARIOS

# A run of everything takes half a minute; a machine that is busy with other things may take longer.
PATIENCE = 600.0


class NoValgrind(Exception):
    """Nobody counts here."""


def instructions(names: Sequence[str] = tuple(SCENARIOS)) -> dict[str, int]:
    """Instructions for each operation of the scenarios of these *names*.

    Raises:
        NoValgrind: It is not installed.
        RuntimeError: A scenario failed; the text is what it said.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NoValgrind("needs valgrind, which .ci/run installs")
    with tempfile.TemporaryDirectory(prefix="instructions-") as directory:
        command = [
            valgrind,
            "--tool=cachegrind",
            "--cache-sim=no",
            f"--cachegrind-out-file={directory}/%p",
            f"--log-file={directory}/log.%p",
            sys.executable,
            "-m",
            "benchmarks.instructions.counted",
            *names,
        ]
        # Hashes decide where things lie in sets and dictionaries, and so how long looking for them takes.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        totals: dict[str, list[tuple[int, int]]] = {}
        for line in done.stdout.splitlines():
            name, count, pid = line.split()
            totals.setdefault(name, []).append((int(count), _total(Path(directory, pid))))
    return {name: _for_each(*runs) for name, runs in totals.items()}


def _total(report: Path) -> int:
    found = re.search(r"^summary: (\d+)$", report.read_text(), re.MULTILINE)
    assert found is not None, report
    return int(found[1])


def _for_each(fewer: tuple[int, int], more: tuple[int, int]) -> int:
    return round((more[1] - fewer[1]) / (more[0] - fewer[0]))
