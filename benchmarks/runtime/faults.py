"""Five faults of triotp, and what our own runtime does instead: made to happen, not read from the code.

    python -m benchmarks.runtime.faults

Every fault is a process of its own for each contestant, with a time limit, and says what it saw. The table
goes to the standard output.
"""

from __future__ import annotations

import subprocess

from . import peers

LIMIT = 30.0
"""Seconds after which a process that has not said anything is ended."""

FAULTS = {
    "late_answer": "An answer comes after its caller gave up (0.1 s; the work takes 0.5 s)",
    "dying_server": "The server crashes in the middle of a call; triotp's caller set no time-out, ours 60 s",
    "busy_server": "The server is busy for 2 s; a call may take 0.1 s",
    "many_failures": "Eight children crash three times each; their supervisor may restart 3 a minute",
    "shutdown": "A supervisor of eight is stopped, ten times",
}


def main() -> None:
    """Let every fault happen to everybody."""
    contestants = [*peers.triotp("faults_triotp"), peers.ours(module="faults_actors")]
    print("| fault | " + " | ".join(one.name for one in contestants) + " |")
    print("|---" * (len(contestants) + 1) + "|")
    for fault, title in FAULTS.items():
        print(f"| {title} | " + " | ".join(observe(one, fault) for one in contestants) + " |", flush=True)


def observe(one: peers.Contestant, fault: str) -> str:
    """What *one* did, in its own words or, if it did not say, in ours."""
    try:
        done = subprocess.run(
            one.command(fault),
            env=one.environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"**hung**: ended after {LIMIT:g} s"
    if done.returncode:
        return f"**failed**: {done.stderr.strip().splitlines()[-1]}"
    return done.stdout.strip()


if __name__ == "__main__":
    main()
