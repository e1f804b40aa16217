"""The model that is a function: any Python async generator in an importable module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import reduce
from importlib import import_module
from time import perf_counter
from typing import Any

import trio

from server.chat import Turn

from .errors import PipelineError
from .port import Finish

# A function that yields without waiting lets others run after so many pieces, or seconds.
TURN_PIECES = 16
TURN_SECONDS = 0.004


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
        self._name = function
        if path is not None and path not in sys.path:
            sys.path.insert(0, path)
        self._function = _found(function)

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Stream what the function yields.

        Raises:
            PipelineError: It yielded something other than text.
            Exception: Whatever the function raises.
        """
        async with aclosing(self._function(turn)) as pieces:
            turn_ends, left = 0.0, 0
            async for piece in pieces:
                # The function may be a loop that never waits; the server must not stand still for it.
                left -= 1
                if left <= 0 or perf_counter() >= turn_ends:
                    await trio.lowlevel.checkpoint()
                    turn_ends, left = perf_counter() + TURN_SECONDS, TURN_PIECES
                if isinstance(piece, str):
                    yield piece
                elif isinstance(piece, Finish):
                    yield piece
                    return
                else:
                    raise PipelineError(f"{self._name} yielded {type(piece).__name__}, not str")

    async def aclose(self) -> None:
        """Do nothing: what the function holds is its own."""


def _found(name: str) -> Callable[[Turn], AsyncGenerator[object, None]]:
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
    found: Callable[[Turn], AsyncGenerator[object, None]] = function
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
