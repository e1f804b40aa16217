"""How a program of ours is loaded: a third of a server's start would go to what nobody has asked for.

Everything that a server is made of is loaded before it says that it is ready, so that what is missing is told
then, and no request waits for an import.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def loading() -> Iterator[None]:
    """For the imports of a program. What they make stays to its end, and is not looked at by the collector.

    It would look at all of it again and again, while there is more and more, and find little.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            # Without a last look: that takes as long as a tenth of all imports, for 3 MB of leftovers.
            gc.freeze()
            gc.enable()


@contextmanager
def loading_server() -> Iterator[None]:
    """The same for those of a server, which logs."""
    with loading():
        _load_structlog()
        yield


def _load_structlog() -> None:
    """Without rich, which structlog takes if it is there, for tracebacks that our log lines don't have."""
    modules: dict[str, Any] = sys.modules
    if "rich" in modules:
        return
    modules["rich"] = None  # `import rich` finds none
    try:
        import structlog  # noqa: F401
    finally:
        del modules["rich"]
