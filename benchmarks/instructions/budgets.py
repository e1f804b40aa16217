"""How many instructions each operation may take: a file with figures for each Python they were counted on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("budgets.json")

YARDSTICK = "yardstick"
TOLERANCE = 0.10
"""By which share an operation may exceed its budget: ten times what another environment changes."""
ALIKE = 0.03
"""By which share the yardstick may differ, for the budgets to mean anything."""


class NoBudgets(Exception):
    """There are none for this Python."""


def this_python() -> str:
    """What budgets are kept by: each minor version makes other code of the same source."""
    return "{}.{}".format(*sys.version_info)


def load() -> dict[str, int]:
    """This Python's.

    Raises:
        NoBudgets: Nobody counted on it yet.
    """
    budgets: dict[str, int] | None = _all().get(this_python())
    if budgets is None:
        raise NoBudgets(f"no budgets for Python {this_python()}: python -m benchmarks.instructions --write")
    return budgets


def check_build(budgets: dict[str, int], seen: dict[str, int]) -> None:
    """See that *budgets* were counted on a build of Python like the one that was *seen*.

    Raises:
        NoBudgets: They were not: another compiler, or other options.
    """
    share = seen[YARDSTICK] / budgets[YARDSTICK]
    if abs(share - 1) > ALIKE:
        raise NoBudgets(f"this build of Python takes {share:.2f} times the instructions for plain Python")


def save(counted: dict[str, int]) -> None:
    """Make *counted* this Python's budgets."""
    budgets = {**_all(), this_python(): counted}
    FILE.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n")


def _all() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found
