"""The model behind any OpenAI-compatible API: `POST {base_url}/chat/completions`, streamed."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import trio
from httpx_sse import ServerSentEvent

from server.chat import Turn

from .answer import Answer
from .errors import UpstreamBroke
from .openai_answer import Completion
from .openai_request import chat_messages
from .port import Finish
from .pull import pull
from .reply_text import ReplyText
from .upstream import Sleep, Upstream

_OURS = frozenset({"model", "messages", "stream", "stream_options"})
_LINGER = 0.5
"""Seconds that token counts, `[DONE]` and the end of the body may come after the last word."""


class OpenAIModel:
    """Answers with what an OpenAI-compatible upstream says.

    Args:
        base_url: Up to and without `/chat/completions`; a query string (`?api-version=…`) is kept.
        model: The upstream's name for its model.
        api_key: Sent as `Authorization: Bearer`.
        system_prompt: Goes before everything else.
        history: How many earlier messages go along.
        vision: Whether pictures are sent as pictures, not as `[Image]`.
        connect_timeout: Seconds to get a connection.
        read_timeout: Seconds between two bytes of the answer.
        retries: How often a failed request is repeated while nothing of the answer has come.
        parameters: Further fields of the request's body, such as `temperature`.
        include_usage: Ask for token counts; not every server knows the question.
        max_reply_size: Code points; a longer reply is cut there, and ends as `length`.
        max_retry_wait: Seconds; an upstream that asks for a longer pause is given up at once.
        sleep, roll, now: Time and dice.

    Raises:
        ValueError: An argument makes no sense. The text holds neither the address nor the key.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        system_prompt: str | None = None,
        history: int = 20,
        vision: bool = False,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retries: int = 2,
        parameters: Mapping[str, Any] | None = None,
        include_usage: bool = False,
        max_reply_size: int = 2**20,
        max_retry_wait: float = 10.0,
        sleep: Sleep = trio.sleep,
        roll: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if history < 0 or max_reply_size < 0:
            raise ValueError("history and max_reply_size must not be negative")
        parameters = dict(parameters or {})
        if taken := sorted(_OURS & parameters.keys()):
            raise ValueError(f"parameters must not hold {', '.join(taken)}")
        self._fixed: dict[str, Any] = {**parameters, "model": model, "stream": True}
        if include_usage:
            self._fixed["stream_options"] = {"include_usage": True}
        try:
            json.dumps(self._fixed)
        except (TypeError, ValueError):
            raise ValueError("parameters must be JSON values") from None
        self._system_prompt = system_prompt
        self._history = history
        self._vision = vision
        self._max_reply_size = max_reply_size
        self._upstream = Upstream(
            base_url,
            path="/chat/completions",
            bearer=api_key,
            accept="text/event-stream, application/json",
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries=retries,
            max_retry_wait=max_retry_wait,
            sleep=sleep,
            roll=roll,
            now=now,
        )

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Stream the upstream's answer, closed by a `Finish`.

        Raises:
            PipelineError: Which one says what the upstream did.
        """
        text = ReplyText(self._max_reply_size)
        completion = Completion(self._upstream.origin)
        async with self._upstream.post(self._body(turn)) as answer:
            if answer.media_type == "text/event-stream":
                async with answer.events() as events:
                    async for delta in _Deltas(events, completion, self._upstream.origin):
                        if piece := text.feed(delta):
                            yield piece
                        if text.cut:
                            break
            elif answer.media_type == "application/json":
                if piece := text.feed(await self._whole(answer, completion)):
                    yield piece
            else:
                raise answer.unreadable()
        if piece := text.close():
            yield piece
        yield Finish("length" if text.cut else completion.reason or "stop", completion.usage)

    async def aclose(self) -> None:
        """Close idle connections."""
        await self._upstream.aclose()

    def _body(self, turn: Turn) -> bytes:
        messages = chat_messages(
            turn, system_prompt=self._system_prompt, history=self._history, vision=self._vision
        )
        # ASCII: escapes carry whatever a client may have got into a text.
        return json.dumps({**self._fixed, "messages": messages}).encode("ascii")

    async def _whole(self, answer: Answer, completion: Completion) -> str:
        # No character of the text takes more than six bytes, or twelve for the rarest.
        return completion.feed_whole(await answer.read(2**16 + 6 * self._max_reply_size))


class _Deltas:
    """The texts in a stream of chunks, until the answer is complete.

    Raises:
        UpstreamBroke: The stream ended before.
    """

    def __init__(self, events: AsyncIterator[ServerSentEvent], completion: Completion, origin: str) -> None:
        self._events = events
        self._completion = completion
        self._origin = origin
        self._deadline: float | None = None

    def __aiter__(self) -> _Deltas:
        return self

    async def __anext__(self) -> str:
        event = await (self._trailer() if self._completion.complete else pull(self._events))
        if event is not None:
            return self._completion.feed(event.data)
        if not self._completion.complete:
            raise UpstreamBroke(f"{self._origin} ended its stream before its answer")
        raise StopAsyncIteration

    async def _trailer(self) -> ServerSentEvent | None:
        # The answer is had. What may still come is worth a moment: token counts, and an end of the body that
        # lets the connection be used again. It is not worth an error.
        if self._deadline is None:
            self._deadline = trio.current_time() + _LINGER
        try:
            with trio.CancelScope(deadline=self._deadline):
                return await pull(self._events)
        except UpstreamBroke:
            pass
        return None
