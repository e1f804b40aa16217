"""An HTTP/1.1 upstream on a real socket that does exactly what a test tells it to.

A test hands in one async function for each request that it expects. Written against RFC 9112 only, with
nothing of the client's own library in it, so that both can't be wrong together.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from attrs import define, field, frozen

Script = Callable[["Exchange"], Awaitable[None]]


@frozen
class Request:
    """What the client asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Exchange:
    """One request, and the means to answer it, well or badly."""

    request: Request
    connection: int
    _stream: trio.SocketStream

    async def raw(self, data: bytes) -> None:
        """Send *data* as it is."""
        await self._stream.send_all(data)

    async def head(self, status: int = 200, *, chunked: bool = True, **headers: str) -> None:
        """Send a response's head; the names of *headers* are written with underscores."""
        if chunked:
            headers["Transfer_Encoding"] = "chunked"
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        await self.raw(f"HTTP/1.1 {status} Some Reason\r\n{''.join(lines)}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body."""
        if data:
            await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        """End a chunked body."""
        await self.raw(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole response."""
        await self.head(status, chunked=False, Content_Length=str(len(body)), **headers)
        await self.raw(body)

    async def stream(self, *chunks: bytes, content_type: str = "text/event-stream") -> None:
        """Send a whole chunked response, one chunk for each of *chunks*."""
        await self.head(Content_Type=content_type)
        for chunk in chunks:
            await self.chunk(chunk)
        await self.end()

    async def cut(self) -> None:
        """Close the connection, whatever was promised."""
        await self._stream.aclose()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        try:
            while await self._stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


@define
class FakeUpstream:
    """Plays one script for each request, in the order of their arrival; then it hangs up on everybody."""

    port: int
    requests: list[Request] = field(factory=list)
    connections: int = 0
    _scripts: list[Script] = field(factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plays(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        connection = self.connections
        buffer = bytearray()
        try:
            while (request := await _request(stream, buffer)) is not None and self._scripts:
                self.requests.append(request)
                await self._scripts.pop(0)(Exchange(request, connection, stream))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The client went away, or the script closed the connection. Tests look at the client.
            pass
        finally:
            await stream.aclose()


async def _request(stream: trio.SocketStream, buffer: bytearray) -> Request | None:
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if not await _more(stream, buffer):
            return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = end + 4 + int(headers.get("content-length", "0"))
    while len(buffer) < size:
        if not await _more(stream, buffer):
            return None
    body = bytes(buffer[end + 4 : size])
    del buffer[:size]
    return Request(method, target, headers, body)


async def _more(stream: trio.SocketStream, buffer: bytearray) -> bool:
    try:
        data = await stream.receive_some()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    buffer += data
    return bool(data)


def sse(*datas: str | dict[str, Any], end: str = "\n") -> bytes:
    """An event stream with one event for each of *datas*."""
    events = [data if isinstance(data, str) else json.dumps(data) for data in datas]
    return "".join(f"data: {data}{end}{end}" for data in events).encode()


def delta(content: Any, finish: Any = None, **extra: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}],
        **extra,
    }
