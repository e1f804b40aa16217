"""What an upstream answers, read piece by piece, and let go of at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import httpx
import trio
from httpx_sse import EventSource, ServerSentEvent

from .errors import PipelineError, UpstreamBroke, UpstreamGarbled
from .event_stream import EventGauge

T = TypeVar("T")

EVENT_LIMIT = 2**20
"""The most bytes of one server-sent event."""


class Answer:
    """The answer to one POST, to be read once, by one of its methods.

    Attributes:
        status: 200 to 299.
        media_type: Of the body, in lower case and without parameters; empty if the upstream named none.
        charset: The parameter of the media type, if any.
    """

    def __init__(self, response: httpx.Response, origin: str) -> None:
        self.status = response.status_code
        self.media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.charset = response.charset_encoding
        self._response = response
        self._origin = origin
        self._body = self._read()

    def unreadable(self) -> PipelineError:
        """The error that says that nothing can be made of this answer's media type."""
        return UpstreamGarbled(f"{self._origin} answered HTTP {self.status} with an unknown content type")

    async def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamBroke: It ended too early.
            UpstreamGarbled: It has more than *limit* bytes.
        """
        body = bytearray()
        async with self.chunks() as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise UpstreamGarbled(f"{self._origin} sent an answer of more than {limit} bytes")
        return bytes(body)

    @contextlib.asynccontextmanager
    async def chunks(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body as it comes, in an iterator that raises `UpstreamBroke` where it breaks off."""
        async with self._reading(self._body) as chunks:
            yield chunks

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """The body's server-sent events as they come.

        The iterator raises `UpstreamBroke` where the stream breaks off, `UpstreamGarbled` at an endless
        event.
        """
        # Always UTF-8, whatever the upstream says. Source: WHATWG, "parsing an event stream".
        headers = {"Content-Type": "text/event-stream; charset=utf-8"}
        stream = httpx.Response(200, headers=headers, stream=_Gauged(self._body))
        async with self._reading(EventSource(stream).aiter_sse()) as events:
            yield events

    async def _read(self) -> AsyncIterator[bytes]:
        failure = None
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.HTTPError as error:
            failure = f"{self._origin} broke off its answer ({type(error).__name__})"
        if failure is not None:
            raise UpstreamBroke(failure)

    @contextlib.asynccontextmanager
    async def _reading(self, parts: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
        try:
            yield parts
        finally:
            # Nothing happens where the body was read to its end.
            await _hang_up(parts)
            await _hang_up(self._body)


async def _hang_up(parts: AsyncIterator[object]) -> None:
    # Below *parts* are up to ten nested async generators of httpx and httpcore. `aclose` reaches only the
    # outermost and leaves the others to the garbage collector, at its own time and with a warning for each.
    # So: ask for more, but cancelled. Where the next read would wait, they all end, from the inside out, and
    # httpcore closes the socket. (Closing it under them instead poisons httpcore's pool when the rest of the
    # body was already there: the pool asks a closed socket whether it is readable, again at each request.)
    with trio.CancelScope(shield=True) as scope, contextlib.suppress(PipelineError):
        scope.cancel()
        async for _ in parts:
            pass


class _Gauged(httpx.AsyncByteStream):
    """The body as the event parser may see it."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        gauge = EventGauge(EVENT_LIMIT)
        async for chunk in self._body:
            yield gauge.feed(chunk)
        yield gauge.close()
