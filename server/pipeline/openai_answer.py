"""What an OpenAI-compatible upstream answers, read without I/O: streamed chunks, or one whole completion.

Source: OpenAI API reference, "The chat completion chunk object"; and what other servers make of it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import PipelineError, UpstreamBroke, UpstreamGarbled
from .upstream import refusal

_REASON = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MOST_COUNTS = 32


class Completion:
    """One answer as it comes in.

    Args:
        origin: The upstream's name in errors.

    Attributes:
        reason: The upstream's `finish_reason`; `None` until it gave one.
        usage: Its token counts, if it gave any.
        done: Whether `[DONE]` came.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self.reason: str | None = None
        self.usage: Mapping[str, Any] | None = None
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether the upstream said that it has said everything."""
        return self.done or self.reason is not None

    def feed(self, data: str) -> str:
        """The new text in one event's *data*; empty for chunks that bring none.

        Raises:
            UpstreamGarbled: *data* is no chunk.
            PipelineError: It reports an error.
        """
        if self.done or not data.strip():
            return ""
        if data.strip() == "[DONE]":
            self.done = True
            return ""
        return self._text(_json_object(data, self._origin), "delta")

    def feed_whole(self, body: bytes) -> str:
        """The text of an answer that is not a stream.

        Raises:
            UpstreamGarbled: *body* is no completion.
            PipelineError: It reports an error.
        """
        answer = _json_object(body, self._origin)
        text = self._text(answer, "message")
        if not answer["choices"]:
            raise self._garbled("no choices")
        self.done = True
        return text

    def _text(self, answer: dict[str, Any], part: str) -> str:
        if answer.get("error") is not None:
            raise self._reported(answer["error"])
        usage = answer.get("usage")
        if isinstance(usage, dict):
            self.usage = _counts(usage)
        choices = answer.get("choices")
        if not isinstance(choices, list):
            raise self._garbled("no list of choices")
        for choice in choices:
            if not isinstance(choice, dict):
                raise self._garbled("a choice that is no object")
            # With `n` > 1 the others are alternatives, which nobody asked for.
            if choice.get("index", 0) in (0, None):
                return self._of_choice(choice, part)
        return ""

    def _of_choice(self, choice: dict[str, Any], part: str) -> str:
        reason = choice.get("finish_reason")
        if reason is not None:
            if not isinstance(reason, str):
                raise self._garbled("a finish reason that is no text")
            # Clients are shown it, so it must look like a word of a protocol. Some servers send "" meanwhile.
            if reason:
                self.reason = reason if _REASON.fullmatch(reason) else "stop"
        delta = choice.get(part)
        if delta is None:
            return ""
        if not isinstance(delta, dict):
            raise self._garbled(f"a {part} that is no object")
        content = delta.get("content")
        if content is None:
            return ""
        if not isinstance(content, str):
            raise self._garbled("content that is no text")
        return content

    def _garbled(self, what: str) -> PipelineError:
        return UpstreamGarbled(f"{self._origin} sent {what}")

    def _reported(self, error: object) -> PipelineError:
        # Its text is the upstream's, and may quote the request. A status is safe to show.
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and 400 <= code <= 599:
            return refusal(code, self._origin)
        return UpstreamBroke(f"{self._origin} reported an error instead of an answer")


def _json_object(data: str | bytes, origin: str) -> dict[str, Any]:
    value = None
    # Bad UTF-8, bad JSON, numbers and depths that are meant to hurt.
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(data)
    if not isinstance(value, dict):
        raise UpstreamGarbled(f"{origin} sent something other than a JSON object")
    return value


def _counts(usage: Mapping[Any, Any]) -> dict[str, Any]:
    """The numbers of *usage* and of the objects in it; what else an upstream puts there goes no further."""
    counts: dict[str, Any] = {}
    for name, value in list(usage.items())[:_MOST_COUNTS]:
        if not _REASON.fullmatch(name):
            continue
        if isinstance(value, dict):
            counts[name] = {
                inner: number
                for inner, number in list(value.items())[:_MOST_COUNTS]
                if _REASON.fullmatch(inner) and _is_count(number)
            }
        elif _is_count(value):
            counts[name] = value
    return counts


def _is_count(value: object) -> bool:
    # Also false for NaN. 2**53 is what every JSON reader can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 2**53
