"""One reply being written: pulls text from the model and tells it to the conversation, within its time."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Never

import trio

from actors import Actor, ActorRef
from server.chat import Turn
from server.messages import ConversationMessage, ReplyChunk, ReplyFailed, ReplyFinished

from .errors import PipelineError, ReplyTimedOut
from .port import Finish, Model

log = logging.getLogger(__name__)


class Reply(Actor[Never]):
    """Answers one turn and ends. Has no messages; stopping it closes the model's stream at once.

    An exception that is no `PipelineError` is the model's bug: this actor crashes, which the conversation
    notices as the actor's end.
    """

    def __init__(
        self,
        *,
        model: Model,
        turn: Turn,
        reply_id: int,
        reply_to: ActorRef[ConversationMessage],
        idle_timeout: float,
        total_timeout: float,
    ) -> None:
        self._model = model
        self._turn = turn
        self._id = reply_id
        self._reply_to = reply_to
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout

    async def started(self) -> None:
        self.start_task(self._write, name="write")

    async def handle(self, message: Never) -> None:
        raise AssertionError("a reply has no messages")

    async def _write(self) -> None:
        try:
            finish = await self._in_time()
        except PipelineError as error:
            log.warning("reply %s: %s: %s", self.ref.address, type(error).__name__, error)
            await self._reply_to.tell(ReplyFailed(self._id, error.said))
        else:
            usage = _counts(finish.usage)
            await self._reply_to.tell(ReplyFinished(self._id, sayable(finish.reason), usage))
        self.stop()

    async def _in_time(self) -> Finish:
        with trio.move_on_after(self._total_timeout):
            return await self._pass_on()
        raise ReplyTimedOut(f"took longer than {self._total_timeout:g} s")

    async def _pass_on(self) -> Finish:
        finish = Finish()
        stream = self._model.reply(self._turn)
        async with aclosing(stream):
            while True:
                piece = await self._next(stream)
                if piece is None:
                    return finish
                if isinstance(piece, Finish):
                    finish = piece
                elif piece:
                    await self._reply_to.tell(ReplyChunk(self._id, sayable(piece)))

    async def _next(self, stream: AsyncGenerator[str | Finish, None]) -> str | Finish | None:
        with trio.move_on_after(self._idle_timeout):
            return await anext(stream, None)
        raise ReplyTimedOut(f"was silent for {self._idle_timeout:g} s")


def sayable(text: str) -> str:
    """*text* with lone surrogates, which no frame can carry, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The plain counts in an upstream's usage; it may hold anything."""
    if usage is None:
        return None
    return {sayable(key): value for key, value in usage.items() if type(value) is int and abs(value) < 2**53}
