"""The runtime is of use without the chat server: an example of something else runs, on trio and attrs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# Runs the example with simulated time, where `server` can't be imported, and tells what else was.
RUN = """
import sys
before = set(sys.modules)

class NoServer:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "server":
            raise ImportError("there is no chat server here")

sys.meta_path.insert(0, NoServer())
sys.path.insert(0, sys.argv[1])

import runpy, trio
import actors
after = set(sys.modules)
from trio.testing import MockClock  # brings pytest, if it is there
mine = set(sys.modules) - after
run = trio.run
trio.run = lambda main: run(main, clock=MockClock(autojump_threshold=0))
runpy.run_path(sys.argv[1] + "/examples/bank.py", run_name="__main__")

new = {name.partition(".")[0] for name in set(sys.modules) - before - mine} - set(sys.stdlib_module_names)
print("imported:", *sorted(new - {"__mp_main__"}))
"""

SAID = """\
ann → bob: 30: done
bob → ann: 999: refused: bob has 50
bob → eve: 1: no such account
ann → bob: 13: bob's account crashed; the money is back
bob → ann: 40: done
bank/accounts/ann was closed
bank               0 handled, 0 restarts
bank/registry      16 handled, 0 restarts
bank/accounts      0 handled, 0 restarts
bank/clerk         7 handled, 0 restarts
bank/accounts/bob  5 handled, 1 restarts
books: {'ann': 121, 'bob': 11}
"""


@pytest.fixture(scope="module")
def said() -> str:
    command = [sys.executable, "-X", "utf8", "-c", RUN, str(REPOSITORY)]
    done = subprocess.run(
        command, capture_output=True, encoding="utf8", check=False, cwd=REPOSITORY / "docs", timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_the_example_does_what_it_says(said: str) -> None:
    """It is read by those who want to write their own."""
    assert said.partition("imported:")[0] == SAID


def test_the_runtime_needs_trio_and_attrs_alone(said: str) -> None:
    """And what they need; above all, no chat server."""
    imported = set(said.partition("imported:")[2].split()) - {"actors"}
    needed = needs({"trio", "attrs"})
    of = packages_distributions()
    foreign = {name for name in imported if not {canonical(one) for one in of.get(name, [name])} & needed}

    assert "trio" in imported
    assert foreign == set()


def needs(distributions: set[str]) -> set[str]:
    """*distributions*, what they require, what that requires, …; extras apart."""
    found, to_see = set[str](), set(distributions)
    while to_see:
        found.add(name := to_see.pop())
        try:
            required = requires(name) or []
        except PackageNotFoundError:
            continue  # of another platform
        names = {re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line}
        to_see |= {canonical(name) for name in names} - found
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
