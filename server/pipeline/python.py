"""The model that is a function: any Python async generator in an importable module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Callable
from functools import reduce
from importlib import import_module
from typing import Any

from server.chat import Turn

from .port import Finish


class PythonModel:
    """Answers with what a Python function yields.

    Args:
        function: `module:function`, an async generator function that takes a `Turn` and yields text, and
            perhaps a `Finish` at the end. Imported here and now.
        path: A folder in which to look for the module first.

    Raises:
        ValueError: There is no such function, or it is no async generator function.
    """

    def __init__(self, function: str, path: str | None = None) -> None:
        if path is not None and path not in sys.path:
            sys.path.insert(0, path)
        self._function = _found(function)

    def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """What the function yields, and raises; anything but text and a `Finish` fails the reply."""
        return self._function(turn)

    async def aclose(self) -> None:
        """Do nothing: what the function holds is its own."""


def _found(name: str) -> Callable[[Turn], AsyncGenerator[str | Finish, None]]:
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute) or module_name.startswith("."):
        raise ValueError(f"function must be written module:function, not {name!r}")
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # the module is the user's, and may fail in any way
        raise ValueError(f"cannot import {module_name!r}: {_one_line(error)}") from error
    try:
        function: Any = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise ValueError(f"module {module_name!r} has no {attribute!r}") from None
    if not inspect.isasyncgenfunction(function):
        raise ValueError(f"{name!r} is not an async generator function (async def with yield)")
    found: Callable[[Turn], AsyncGenerator[str | Finish, None]] = function
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
