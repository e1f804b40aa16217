"""P1, P2 and P3 under `kill -9`. The long form: `python -m tests.e2e.lasting kills --cycles 300`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .lasting import kill_trial, report
from .running import WAYS

CYCLES = int(os.environ.get("TRIOLOGUE_TRIALS", "3"))


@pytest.mark.timeout(120 + 20 * CYCLES)
@pytest.mark.parametrize("way", WAYS)
async def test_nothing_that_was_acknowledged_is_lost_or_done_twice_by_kill_9(
    way: str, tmp_path: Path
) -> None:
    """Twenty writers who try again what they don't know; every reader sees one sequence without holes."""
    recorder = await kill_trial(tmp_path, way=way, cycles=CYCLES, writers=20, seed=CYCLES)

    assert recorder.faults == [], report(recorder, 0)
    assert len(recorder.acks) > 20 * CYCLES
    assert recorder.counts["resumes"] > 0
    assert recorder.counts["conflicts"] > 0
    assert recorder.counts["duplicates"] > 0
