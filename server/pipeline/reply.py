"""One reply being written: pulls text from the model, and tells it to the conversation, within its time.

What comes is told at once, but at most every `chunk_interval`, so that a fast model does not make a frame of
every word for every member.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, suppress
from math import inf
from typing import Any

import structlog
import trio
from attrs import frozen
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


class ReplyMessage:
    """What a reply tells itself."""


@frozen
class TellNow(ReplyMessage):
    """Time to tell what was held back."""


@frozen
class WriterDone(ReplyMessage):
    """All is written; *end* is to be told after it."""

    end: ConversationMessage


@frozen
class Listen(ReplyMessage):
    """Time to look whether the model is silent."""


class Reply(Actor[ReplyMessage]):
    """Answers one turn and ends. Stopping it closes the model's stream at once."""

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
        self._tells_at = -inf
        self._tells_later = False
        # When the model was last heard of, while it is listened to.
        self._heard_at = inf
        self._listening = trio.CancelScope()

    async def started(self) -> None:
        self.after(self._idle_timeout, Listen())
        self.start_task(self._write, name="write")

    async def handle(self, message: ReplyMessage) -> None:
        match message:
            case TellNow():
                await self._tell()
                self._tells_later = False
            case WriterDone():
                await self._tell()
                with suppress(ActorError):
                    await self._reply_to.tell(message.end)
                self.stop()
            case Listen():
                silent_at = self._heard_at + self._idle_timeout
                if self.now() >= silent_at:
                    self._listening.cancel()
                else:
                    self.after(min(silent_at - self.now(), self._idle_timeout), Listen())

    # -- telling

    async def _tell(self) -> None:
        """Tell what was not told yet."""
        if self._untold:
            text = "".join(self._untold)
            self._untold.clear()
            self._tells_at = self.now() + self._chunk_interval
            try:
                await self._reply_to.tell(ReplyChunk(self._id, text))
            except ActorError:
                self.stop()  # the conversation is gone: nobody waits for this reply any more

    async def _tell_in_time(self, now: float) -> None:
        """Tell it, now or as soon as the interval allows; not while the actor is about to, for order."""
        if self._tells_later:
            return
        if now >= self._tells_at:
            await self._tell()
        else:
            self._tells_later = True
            self.after(self._tells_at - now, TellNow())

    # -- writing

    async def _write(self) -> None:
        end: ConversationMessage
        try:
            finish = await self._in_time()
            end = ReplyFinished(self._id, whole(finish.reason), _counts(finish.usage))
        except PipelineError as error:
            log.warning("the pipeline failed", error=error)
            end = ReplyFailed(self._id, error.said)
        except Exception:
            # A boundary: a model may be anybody's code.
            log.exception("the pipeline raised")
            end = ReplyFailed(self._id, PipelineError.said)
        self.after(0.0, WriterDone(end))

    async def _in_time(self) -> Finish:
        with trio.move_on_after(self._total_timeout):
            with self._listening:
                return await self._pull()
            raise ReplyTimedOut(f"was silent for {self._idle_timeout:g} s")
        raise ReplyTimedOut(f"took longer than {self._total_timeout:g} s")

    async def _pull(self) -> Finish:
        finish, text = Finish(), ReplyText(LONGEST)
        stream = self._model.reply(self._turn)
        try:
            async with aclosing(stream):
                self._heard_at = self.now()
                while (piece := await pull(stream)) is not None:
                    # What the model gave has to be told; meanwhile, nothing is expected of it.
                    now, self._heard_at = self.now(), inf
                    if isinstance(piece, Finish):
                        finish = piece
                    elif more := text.feed(piece):
                        self._untold.append(more)
                        await self._tell_in_time(now)
                    if text.cut:
                        return Finish("length", finish.usage)
                    self._heard_at = self.now()
        finally:
            self._heard_at = inf
            if rest := text.close():
                self._untold.append(rest)
        return finish


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The plain counts in an upstream's usage; it may hold anything."""
    if usage is None:
        return None
    return {whole(key): value for key, value in usage.items() if type(value) is int and abs(value) < 2**53}
