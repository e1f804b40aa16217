"""The last resort at a server's end, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROLOGUE = "import time; from server.deadline import Deadline; deadline = Deadline(0.05); "


def run(program: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + program], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(600)",
        "import trio; trio.run(trio.sleep_forever)",
        "import trio; trio.run(trio.to_thread.run_sync, time.sleep, 600)",
    ],
)
def test_a_process_that_hangs_is_ended(hang: str) -> None:
    """In a loop, in a thread, in C: whoever deploys was promised an end, and hears why it was no good one."""
    status, said = run(f"deadline.begin(); deadline.begin(); {hang}")

    assert (status, said.count("\n")) == (75, 1)
    assert said.startswith("The server did not end in time")


def test_a_process_that_ends_in_time_is_left_alone() -> None:
    """Also if it takes a little longer for its last steps."""
    assert run("deadline.begin(); deadline.met(); time.sleep(0.2)") == (0, "")


def test_nothing_happens_before_the_end_begins() -> None:
    """A server may run for years."""
    assert run("time.sleep(0.2)") == (0, "")
