"""The model behind a plain HTTP endpoint: the turn goes out as JSON, text comes back in some form."""

from __future__ import annotations

import codecs
import contextlib
import json
import random
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

import trio

from server.chat import Turn

from .answer import Answer
from .errors import UpstreamBroke, UpstreamGarbled
from .history import newest
from .port import Finish
from .reply_text import ReplyText
from .upstream import Sleep, Upstream
from .webhook_json import turn_as_json

# Python's registry of codecs also holds compressors and string escapes, which nobody should choose for us.
_CHARSETS = frozenset(
    {"ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb2312", "gbk", "gb18030", "big5"}
    | {"euc_jp", "shift_jis", "iso2022_jp", "euc_kr", "koi8-r", "koi8-u"}
    | {f"iso8859-{part}" for part in range(1, 17)}
    | {f"cp{page}" for page in (874, 932, 936, 949, 950, *range(1250, 1259))}
)


class WebhookModel:
    """Answers with what an HTTP endpoint says.

    Args:
        url: Where the turn is posted.
        secret: Sent as `Authorization: Bearer`.
        history: How many earlier messages go along.
        connect_timeout: Seconds to get a connection.
        read_timeout: Seconds between two bytes of the answer.
        retries: How often a failed request is repeated while nothing of the answer has come.
        max_reply_size: Code points; a longer reply is cut there, and ends as `length`.
        max_retry_wait: Seconds; an endpoint that asks for a longer pause is given up at once.
        sleep, roll, now: Time and dice.

    Raises:
        ValueError: An argument makes no sense. The text holds neither the address nor the secret.
    """

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        history: int = 20,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retries: int = 2,
        max_reply_size: int = 2**20,
        max_retry_wait: float = 10.0,
        sleep: Sleep = trio.sleep,
        roll: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if history < 0 or max_reply_size < 0:
            raise ValueError("history and max_reply_size must not be negative")
        self._history = history
        self._max_reply_size = max_reply_size
        self._upstream = Upstream(
            url,
            bearer=secret,
            accept="text/event-stream, text/plain, application/json",
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries=retries,
            max_retry_wait=max_retry_wait,
            sleep=sleep,
            roll=roll,
            now=now,
        )

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Stream the endpoint's answer, closed by a `Finish`.

        Raises:
            PipelineError: Which one says what the endpoint did.
        """
        text = ReplyText(self._max_reply_size)
        body = json.dumps(turn_as_json(turn, newest(turn.history, self._history))).encode("ascii")
        async with self._upstream.post(body) as answer:
            if answer.status == 204:
                pass
            elif answer.media_type == "text/plain":
                decoder = self._decoder(answer.charset)
                async with answer.chunks() as chunks:
                    async for chunk in chunks:
                        if piece := text.feed(decoder.decode(chunk)):
                            yield piece
                        if text.cut:
                            break
                if piece := text.feed(decoder.decode(b"", final=True)):
                    yield piece
            elif answer.media_type == "text/event-stream":
                async with answer.events() as events:
                    async for event in events:
                        if event.event == "error":
                            raise UpstreamBroke(f"{self._upstream.origin} reported an error")
                        if event.data.strip() == "[DONE]":
                            break
                        if piece := text.feed(event.data):
                            yield piece
                        if text.cut:
                            break
            elif answer.media_type == "application/json":
                if piece := text.feed(await self._whole(answer)):
                    yield piece
            else:
                raise answer.unreadable()
        if piece := text.close():
            yield piece
        yield Finish("length" if text.cut else "stop")

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._upstream.aclose()

    def _decoder(self, charset: str | None) -> codecs.IncrementalDecoder:
        name = None
        with contextlib.suppress(LookupError, ValueError):
            name = codecs.lookup(charset or "utf-8").name
        if name not in _CHARSETS:
            raise UpstreamGarbled(f"{self._upstream.origin} sent text in an unknown charset")
        return codecs.getincrementaldecoder(name)(errors="replace")

    async def _whole(self, answer: Answer) -> str:
        # No character of the text takes more than six bytes, or twelve for the rarest.
        body = await answer.read(2**16 + 6 * self._max_reply_size)
        value = None
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(body)
        if isinstance(value, dict):
            value = value.get("text")
        if not isinstance(value, str):
            raise UpstreamGarbled(f"{self._upstream.origin} sent JSON without a text")
        return value
