"""HTTP upstreams as the models see them: one POST, retried until it is answered.

This is where httpx lives, with `answer` beside it. Everything that leaves the two, errors and log lines
included, names an upstream by scheme, host and port only: paths, queries, users and headers may be secrets.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import count
from urllib.parse import urlsplit

import httpx
import structlog
import trio
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from .answer import Answer
from .errors import (
    PipelineError,
    UpstreamBusy,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamUnavailable,
)
from .retries import backoff, retry_after

Sleep = Callable[[float], Awaitable[None]]

_RETRIED = frozenset({429, 500, 502, 503, 504})
_HANG_UP_GRACE = 1.0
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_log: FilteringBoundLogger = structlog.get_logger(__name__)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# httpx logs whole URLs at INFO, httpcore response headers at DEBUG.
# A filter outlives a later change of levels.
for _name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
    logging.getLogger(_name).addFilter(_is_warning)


def refusal(status: int, origin: str) -> PipelineError:
    """The error that says that *origin* answered with *status*."""
    if status == 429:
        return UpstreamBusy(f"{origin} answered HTTP 429")
    if status >= 500:
        return UpstreamUnavailable(f"{origin} answered HTTP {status}")
    return UpstreamRefused(status)


class Upstream:
    """One address that answers POSTs with JSON bodies.

    Connections are made on first use and kept alive. Redirects are not followed, cookies not kept.

    Args:
        url: Where to post to. A user and password in it are sent as Basic authentication.
        path: Appended to the path of *url*.
        bearer: Sent as `Authorization: Bearer`.
        accept: The `Accept` header.
        connect_timeout, read_timeout: Seconds to connect, and between two bytes of the answer.
        retries: How often to try again while nothing of the answer has come.
        max_retry_wait: Seconds; an upstream that wants a longer pause is given up.
        sleep, roll, now: Time and dice.

    Attributes:
        origin: Scheme, host and port.

    Raises:
        ValueError: *url* is no HTTP URL, or *bearer* no header value. The text holds neither.
    """

    def __init__(
        self,
        url: str,
        *,
        path: str = "",
        bearer: str | None = None,
        accept: str,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retries: int = 2,
        max_retry_wait: float = 10.0,
        sleep: Sleep = trio.sleep,
        roll: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        parsed = _parsed(url)
        self.origin = f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
        target, _, query = parsed.raw_path.decode("ascii").partition("?")
        target = target.rstrip("/").removesuffix(path) + path if path else target
        self._url = parsed.copy_with(
            userinfo=b"", raw_path=(f"{target}?{query}" if query else target).encode(), fragment=None
        )
        # httpx masks `Authorization` wherever it prints headers.
        self._headers = httpx.Headers(
            {
                "Accept": accept,
                # Compressed answers could be small on the wire and huge in memory.
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "triologue",
                **_authorization(parsed, bearer),
            }
        )
        if retries < 0:
            raise ValueError(f"retries must not be negative, as {retries} is")
        if connect_timeout <= 0 or read_timeout <= 0:
            raise ValueError("time limits must be positive numbers of seconds")
        self._timeout = httpx.Timeout(
            connect=connect_timeout, read=read_timeout, write=read_timeout, pool=None
        )
        self._retries = retries
        self._max_retry_wait = max_retry_wait
        self._sleep = sleep
        self._roll = roll
        self._now = now
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[Answer]:
        """Post *body*; inside the block the upstream's answer (HTTP 2xx) can be read.

        Leaving the block early closes the connection at once; after the whole answer it is kept alive.

        Raises:
            UpstreamUnavailable, UpstreamBusy: No answer, also after retries, or not soon enough.
            UpstreamRefused: A redirect, or HTTP 4xx.
            UpstreamGarbled: Something other than HTTP, or a compressed body.
        """
        response = await self._answered(body)
        try:
            yield Answer(response, self.origin)
        finally:
            with trio.move_on_after(_HANG_UP_GRACE, shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close idle connections. No answer is being read any more."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _answered(self, body: bytes) -> httpx.Response:
        for attempt in count():
            outcome = await self._attempt(body)
            if isinstance(outcome, httpx.Response):
                return outcome
            wait = backoff(attempt, self._roll(), most=self._max_retry_wait)
            if outcome.after is not None:
                wait = max(wait, outcome.after)
            if not outcome.again or attempt >= self._retries or wait > self._max_retry_wait:
                # Raised out here, so that no httpx error, which knows URL and headers, hangs on as context.
                raise outcome.error
            _log.info("trying again", error=outcome.error, seconds=round(wait, 1))
            await self._sleep(wait)
        raise RuntimeError("unreachable")  # pragma: no cover

    async def _attempt(self, body: bytes) -> httpx.Response | _Failure:
        if self._client is None:
            self._client = self._new_client()
        request = self._client.build_request("POST", self._url, headers=self._headers, content=body)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            return self._failed(error)
        status = response.status_code
        if response.is_success and response.headers.get("content-encoding", "identity") == "identity":
            return response
        after = retry_after(response.headers.get("retry-after"), self._now())
        # The body of a refusal is never read: it may be endless, and its text could not be shown anyway.
        await response.aclose()
        if response.is_success:
            return _Failure(UpstreamGarbled(f"{self.origin} sent a compressed answer unasked"))
        return _Failure(refusal(status, self.origin), again=status in _RETRIED, after=after)

    def _failed(self, error: httpx.HTTPError) -> _Failure:
        kind = type(error).__name__
        if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
            return _Failure(UpstreamGarbled(f"{self.origin} does not speak HTTP ({kind})"))
        return _Failure(
            UpstreamUnavailable(f"{self.origin} does not answer ({kind})"),
            again=isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError),
        )

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=self._timeout,
            # How many replies run at once is the pipeline's decision.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0),
            follow_redirects=False,
            # What the upstream wants remembered about one conversation is not told to it in another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )


@frozen
class _Failure:
    error: PipelineError
    again: bool = False
    after: float | None = None


def _parsed(url: str) -> httpx.URL:
    parsed = None
    with contextlib.suppress(httpx.InvalidURL, TypeError, ValueError):
        # httpx takes an unclosed bracket for a part of the host's name.
        urlsplit(url)
        parsed = httpx.URL(url)
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the upstream's address must begin with http:// or https:// and name a host")
    return parsed


def _authorization(url: httpx.URL, bearer: str | None) -> Mapping[str, str]:
    if bearer is not None:
        # Keys often come from files, and then with a line end.
        bearer = bearer.strip()
        if url.userinfo:
            raise ValueError("give the upstream a key, or a user in its address, not both")
        if not _HEADER_VALUE.fullmatch(bearer):
            raise ValueError("the upstream's key is empty, or holds characters that no HTTP header can carry")
        return {"Authorization": f"Bearer {bearer}"}
    if url.userinfo:
        user = f"{url.username}:{url.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(user).decode()}"}
    return {}
