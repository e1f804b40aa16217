"""The server's admin routes, asked over HTTP. The command line's only use of httpx, imported when needed."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import trio
from attrs import frozen

from .terminal import clean, printing

API = "/api/v1/admin"
ANSWER_WITHIN = 10.0
"""Seconds for a whole answer; a server whose loop is held gives none."""
LARGEST_ANSWER = 2**28


class Unanswered(Exception):
    """The server gave no usable answer. Its text is one line without control characters or passwords."""


class Unreachable(Unanswered):
    """Nobody listens, or nothing comes back: it may be another matter in a moment."""


@frozen
class Admin:
    """A running server's admin routes. `host` is how the server is told to people."""

    host: str
    _base: str
    _client: httpx.AsyncClient

    async def get(self, path: str, **query: str) -> Any:
        """The `data` of the answer to GET *path*, below the admin routes, with *query*.

        Raises:
            Unanswered: There is none.
        """
        content = bytearray()
        with trio.move_on_after(ANSWER_WITHIN):
            async with self._answer("GET", path, query, wait=ANSWER_WITHIN) as response:
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > LARGEST_ANSWER:
                        raise Unanswered(f"{self.host} answers more than {LARGEST_ANSWER >> 20} MiB")
            return self._data(bytes(content))
        raise Unreachable(f"{self.host} does not answer within {ANSWER_WITHIN:.0f} s")

    async def actors(self) -> Any:
        """The answer to GET actors, of all that there are: untold, the server stops at 10,000."""
        return await self.get("actors", limit="999999")

    async def record(self, seconds: float, file: IO[bytes]) -> None:
        """Have the server record for so many *seconds*, and write the trace to *file* as it comes.

        Raises:
            Unanswered: There is none, or not all of it.
        """
        query = {"seconds": f"{seconds:g}"}
        async with self._answer("POST", "traces", query, wait=seconds + 60) as response:
            async for piece in response.aiter_bytes():
                # To a local file, on which nothing else waits here.
                file.write(piece)

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, query: dict[str, str], *, wait: float
    ) -> AsyncIterator[httpx.Response]:
        url = f"{self._base}{API}/{path}"
        timeout = httpx.Timeout(ANSWER_WITHIN, read=wait)
        try:
            async with self._client.stream(method, url, params=query, timeout=timeout) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refusal(response.status_code, await self._beginning(response))
                yield response
        except httpx.TimeoutException:
            raise Unreachable(f"{self.host} does not answer within {wait:.0f} s") from None
        except httpx.ConnectError as error:
            raise Unreachable(f"{self.host} can't be reached: {_because(error)}") from None
        except httpx.NetworkError as error:
            raise Unreachable(f"{self.host} closed the connection: {_because(error)}") from None
        except httpx.RemoteProtocolError as error:
            # Also what a server that is being ended leaves behind.
            raise Unreachable(f"{self.host} answers no proper HTTP: {clean(str(error))}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unanswered(f"{self.host} can't be asked: {clean(str(error))}") from None

    async def _beginning(self, response: httpx.Response) -> bytes:
        content = b""
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > 2**16:
                break
        return content

    def _refusal(self, status: int, content: bytes) -> Unanswered:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        match body:
            case {"msg": str(said)}:
                return Unanswered(f"{self.host} refuses (HTTP {status}): {clean(said)}")
            case _:
                return Unanswered(f"{self.host} refuses (HTTP {status})")

    def _data(self, content: bytes) -> Any:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or "data" not in body:
            raise Unanswered(f"{self.host} does not answer as Triologue does")
        return body["data"]


@asynccontextmanager
async def open_admin(url: str) -> AsyncIterator[Admin]:
    """The admin routes of the server at *url*: http, https, ws or wss; a path is kept."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    base = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    host = f"{scheme}://{parts.netloc.rpartition('@')[2]}"
    # No proxy may come between: the routes answer to this machine alone.
    async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False) as client:
        yield Admin(clean(host), base, client)


def look(url: str, work: Callable[[Admin], Awaitable[int]]) -> int:
    """The status that *work* returns; 1, and a line on standard error, if the server can't be asked."""
    return printing(lambda: trio.run(_look, url, work))


async def _look(url: str, work: Callable[[Admin], Awaitable[int]]) -> int:
    try:
        async with open_admin(url) as admin:
            return await work(admin)
    except Unanswered as error:
        complain(str(error))
        return 1


def complain(text: str) -> None:
    """Say on standard error why there is nothing on standard output."""
    print(f"triologue: {clean(text)}", file=sys.stderr)


def _because(error: BaseException) -> str:
    """What the system said, which httpx, anyio and trio wrap."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "strerror", None) is None:
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
    said = str(getattr(cause, "strerror", None) or error or type(error).__name__)
    return clean(said.rpartition("): ")[2])
