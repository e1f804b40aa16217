"""One reply being written: pulls text from the model, and tells it to the conversation, within its time.

Two tasks: one writes, as fast as the model gives; one tells, at most every `chunk_interval`, so that a fast
model does not make a frame of every word for every member.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Never

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorError, ActorRef
from server.chat import Turn
from server.messages import ConversationMessage, ReplyChunk, ReplyFailed, ReplyFinished

from .errors import PipelineError, ReplyTimedOut
from .port import Finish, Model
from .pull import pull
from .reply_text import ReplyText, whole

log: FilteringBoundLogger = structlog.get_logger(__name__)

# The longest reply, in code points, whatever its model; a longer one ends as `length`.
LONGEST = 2**20


class Reply(Actor[Never]):
    """Answers one turn and ends. Has no messages; stopping it closes the model's stream at once."""

    def __init__(
        self,
        *,
        model: Model,
        turn: Turn,
        reply_id: int,
        reply_to: ActorRef[ConversationMessage],
        idle_timeout: float,
        total_timeout: float,
        chunk_interval: float,
    ) -> None:
        self._model = model
        self._turn = turn
        self._id = reply_id
        self._reply_to = reply_to
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._chunk_interval = chunk_interval
        self._untold: list[str] = []
        self._news = trio.Event()
        self._ended = trio.Event()
        self._end: ConversationMessage | None = None

    async def started(self) -> None:
        self.start_task(self._write, name="write")
        self.start_task(self._tell, name="tell")

    async def handle(self, message: Never) -> None:
        raise AssertionError("a reply has no messages")

    # -- telling

    async def _tell(self) -> None:
        with suppress(ActorError):  # the conversation is gone: nobody waits for this reply any more
            while self._end is None:
                await self._news.wait()
                self._news = trio.Event()
                await self._tell_news()
                with trio.move_on_after(self._chunk_interval):
                    await self._ended.wait()
            await self._tell_news()
            await self._reply_to.tell(self._end)
        self.stop()

    async def _tell_news(self) -> None:
        if self._untold:
            text = "".join(self._untold)
            self._untold.clear()
            await self._reply_to.tell(ReplyChunk(self._id, text))

    # -- writing

    async def _write(self) -> None:
        try:
            finish = await self._in_time()
            self._end = ReplyFinished(self._id, whole(finish.reason), _counts(finish.usage))
        except PipelineError as error:
            log.warning("the pipeline failed", error=error)
            self._end = ReplyFailed(self._id, error.said)
        except Exception:
            # A boundary: a model may be anybody's code.
            log.exception("the pipeline raised")
            self._end = ReplyFailed(self._id, PipelineError.said)
        self._ended.set()
        self._news.set()

    async def _in_time(self) -> Finish:
        with trio.move_on_after(self._total_timeout):
            return await self._pull()
        raise ReplyTimedOut(f"took longer than {self._total_timeout:g} s")

    async def _pull(self) -> Finish:
        finish, text = Finish(), ReplyText(LONGEST)
        stream = self._model.reply(self._turn)
        try:
            async with aclosing(stream):
                while (piece := await self._next(stream)) is not None:
                    if isinstance(piece, Finish):
                        finish = piece
                    else:
                        self._add(text.feed(piece))
                    if text.cut:
                        return Finish("length", finish.usage)
        finally:
            self._add(text.close())
        return finish

    def _add(self, text: str) -> None:
        if text:
            self._untold.append(text)
            self._news.set()

    async def _next(self, stream: AsyncGenerator[str | Finish, None]) -> str | Finish | None:
        with trio.move_on_after(self._idle_timeout):
            return await pull(stream)
        raise ReplyTimedOut(f"was silent for {self._idle_timeout:g} s")


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The plain counts in an upstream's usage; it may hold anything."""
    if usage is None:
        return None
    return {whole(key): value for key, value in usage.items() if type(value) is int and abs(value) < 2**53}
