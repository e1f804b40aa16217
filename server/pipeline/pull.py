"""Taking the next item of a stream, so that one can see who waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def pull(stream: AsyncIterator[T]) -> T | None:
    """The next item of *stream*; `None` at its end.

    `anext(stream, None)` does the same, but what it puts around the stream hides it: a task's stack would end
    there, and a stuck upstream could not be found.
    """
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
