"""Loading a program without the garbage collector."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.loading import loading

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_the_collector_rests_while_something_is_loaded() -> None:
    """It would look at every module and class again and again, and find little."""
    with loading():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_the_collector_is_back_after_an_import_that_failed() -> None:
    """Whoever goes on without that module goes on with a collector."""
    with pytest.raises(ModuleNotFoundError), loading():
        raise ModuleNotFoundError

    assert gc.isenabled()


def test_what_was_loaded_is_not_looked_at_again() -> None:
    """A first collection of all that is there takes as long as a tenth of the imports."""
    before = gc.get_freeze_count()
    with loading():
        made = [[number] for number in range(1000)]

    assert gc.get_freeze_count() >= before + len(made)


def test_who_does_without_a_collector_goes_on_without() -> None:
    """Also whoever loads more while loading."""
    gc.disable()
    with loading():
        pass

    assert not gc.isenabled()


def test_rich_can_be_imported_beside_a_server() -> None:
    """Only structlog is to do without it: a pipeline's own code may not."""
    program = "import server.asgi, sys; assert 'rich' not in sys.modules; import rich.console"

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
