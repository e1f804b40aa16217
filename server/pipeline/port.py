"""What a pipeline's model must offer, and how it says that it failed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from attrs import frozen

from server.chat import FinishReason, Turn


@frozen
class Finish:
    """How a reply ended, yielded last by a model that knows more than "it ended".

    Attributes:
        reason: The upstream's word for it: `stop`, `length`, `content_filter` …
        usage: The upstream's token counts, as it gave them.
    """

    reason: FinishReason = "stop"
    usage: Mapping[str, Any] | None = None


class Model(Protocol):
    """Answers turns. One instance serves every conversation of its pipeline, several at a time."""

    def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Stream the answer to *turn* as pieces of new text, perhaps closed by one `Finish`.

        A character may be cut in two, and a piece may be empty: the caller joins and replaces. What yields
        for long without waiting is made to wait.
        Must be an async generator: it is closed with `aclose` when the reply is stopped or timed out, and
        must then let go of its upstream at once. Time limits are the caller's.

        Raises:
            PipelineError: The answer can't be had, or broke off; what was yielded so far stays.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. No reply is running any more."""
        ...
