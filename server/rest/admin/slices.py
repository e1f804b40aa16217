"""Large answers, made slice by slice: ten thousand actors are megabytes of JSON, and others want a turn.

orjson keeps the interpreter's lock while it writes, so that a thread would hold the loop up as much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import orjson
import trio
from quart import Response

T = TypeVar("T")

# About a millisecond's work.
SLICE = 100


def dumps(value: Any) -> bytes:
    """*value* as JSON; what UTF-8 can't say, such as half of a surrogate pair in an error, becomes `?`."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, default=_loaded).encode("utf-8", "replace")


def _loaded(fragment: object) -> Any:
    if isinstance(fragment, orjson.Fragment):
        return orjson.loads(fragment.contents)
    raise TypeError(f"{type(fragment).__name__} has no JSON")


def slices(items: Iterable[T], size: int = SLICE) -> Iterator[list[T]]:
    """*items* in lists of *size*, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class Writer:
    """A JSON text in the making."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, text: bytes) -> None:
        self.parts.append(text)

    async def write_array(self, items: Iterable[T], shape: Callable[[T], Any]) -> None:
        """An array of what *shape* makes of each of *items*, with turns for others in between."""
        self.write(b"[")
        separator = b""
        for batch in slices(items):
            self.write(separator + dumps([shape(item) for item in batch])[1:-1])
            separator = b","
            await trio.lowlevel.checkpoint()
        self.write(b"]")


def answer(parts: list[bytes]) -> Response:
    """A success whose JSON is *parts*, sent one by one: a peer has its time to take each."""
    response = Response(_Parts(parts), content_type="application/json")
    response.content_length = sum(map(len, parts))
    return response


class _Parts:
    """An asynchronous iterator: to Quart any other is a matter for asyncio."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = iter(parts)

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> bytes:
        for part in self._parts:
            return part
        raise StopAsyncIteration


def ok_whole(data: Any) -> Response:
    """A success with *data*, which is small, but whose texts may come from anywhere."""
    return answer([dumps({"code": 0, "msg": "ok", "data": data})])


def ok_sliced(writer: Writer) -> Response:
    """A success whose `data` is what *writer* wrote."""
    return answer([b'{"code":0,"msg":"ok","data":', *writer.parts, b"}"])
