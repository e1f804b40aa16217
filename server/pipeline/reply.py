"""One reply being written: pulls text from the model, and tells it to the conversation, within its time.

What comes is told at once, but not more often than its teller allows, so that a fast model does not make a
frame of every word for every member; or, where it is to, not a write of every frame.
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

from actors import Actor, ActorError, ActorRef, MailboxFull, RecipientStopped
from server.chat import Turn
from server.messages import ConversationMessage, ReplyChunk, ReplyFailed, ReplyFinished

from .errors import PipelineError, ReplyTimedOut
from .loop_turns import loop_turns
from .port import Finish, Model
from .reply_text import ReplyText, whole
from .teller import Teller

log: FilteringBoundLogger = structlog.get_logger(__name__)

# The longest reply, in code points, whatever its model; a longer one ends as `length`.
LONGEST = 2**20
# A model that yields without waiting lets others run after so many pieces, or seconds.
TURN_PIECES, TURN_SECONDS = 16, 0.004
# So many pieces that are to be told in frames of their own are told together.
TOGETHER = 128


class ReplyMessage:
    """What a reply tells itself."""


@frozen
class Listen(ReplyMessage):
    """Time to look whether the model is silent: has nothing come since that moment?

    Or, if it is the *last* moment, whether it has come to its end.
    """

    since: float
    last: bool


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
        teller: Teller,
    ) -> None:
        self._model = model
        self._turn = turn
        self._id = reply_id
        self._reply_to = reply_to
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._teller = teller
        self._apart = teller.interval == 0
        self._untold: list[str] = []
        self._is_held = False
        self.tells_at = -inf
        """The teller does not tell the next chunk before this moment."""
        self._heard_at = inf
        self._pulling = trio.CancelScope()
        self._late = ""

    async def started(self) -> None:
        self._ends_at = self.now() + self._total_timeout
        self._listen()
        self.start_task(self._write, name="write")

    async def handle(self, message: ReplyMessage) -> None:
        match message:
            case Listen(last=True):
                self._give_up(f"took longer than {self._total_timeout:g} s")
            case Listen() if message.since == self._heard_at < inf:
                self._give_up(f"was silent for {self._idle_timeout:g} s")
            case Listen():
                self._listen()

    def _give_up(self, late: str) -> None:
        self._late = late
        self._pulling.cancel()

    def _listen(self) -> None:
        """Look at it again when the model would have been silent for too long, or its time is up."""
        now, since = self.now(), self._heard_at
        silent_at = (since if since < inf else now) + self._idle_timeout
        last = self._ends_at <= silent_at
        self.after(min(self._ends_at, silent_at) - now, Listen(since, last))

    # -- telling

    def tell(self, now: float) -> bool:
        """Tell what was not told yet; false if the conversation has no room for it now."""
        untold = self._untold
        if untold:
            apart = self._apart and 1 < len(untold) <= TOGETHER
            pieces = tuple(untold) if apart else ()
            try:
                self._reply_to.tell_nowait(ReplyChunk(self._id, "".join(untold), pieces))
            except MailboxFull:
                if len(untold) >= TOGETHER:
                    untold[:] = ["".join(untold)]
                return False
            except RecipientStopped:
                self.stop()
            untold.clear()
            self.tells_at = self._teller.rest_after(now)
        self._is_held = False
        return True

    def _tell_soon(self) -> None:
        """Tell what was not told yet, now or as soon as the teller, or the conversation, allows."""
        if self._heard_at < self.tells_at or not self.tell(trio.current_time()):
            self._is_held = True
            self._teller.hold(self)

    def _tell_held(self) -> None:
        """Tell what has become too much to be held back for longer."""
        self.tell(trio.current_time())
        self._is_held = True  # the teller still has it in its list

    def _rest(self) -> str:
        """What is left for the end to tell: joined, it needs no frame of its own."""
        if self._apart:
            self.tell(trio.current_time())
        text = "".join(self._untold)
        self._untold.clear()
        return text

    # -- writing

    async def _write(self) -> None:
        end: ReplyFinished | ReplyFailed
        try:
            with self._pulling:
                finish = await self._pull()
            if self._pulling.cancelled_caught:
                raise ReplyTimedOut(self._late)
            end = ReplyFinished(self._id, whole(finish.reason), _counts(finish.usage), self._rest())
        except PipelineError as error:
            log.warning("the pipeline failed", error=error)
            end = ReplyFailed(self._id, error.said, self._rest())
        except Exception:
            # A boundary: a model may be anybody's code.
            log.exception("the pipeline raised")
            end = ReplyFailed(self._id, PipelineError.said, self._rest())
        with suppress(ActorError):  # the conversation is gone: nobody waits for this reply any more
            await self._reply_to.tell(end)
        self.stop()

    async def _pull(self) -> Finish:
        # Two hundred replies at a time pass here once for each word: as little as may be is done.
        finish, text, untold = Finish(), ReplyText(LONGEST), self._untold
        stream, now = self._model.reply(self._turn), trio.current_time
        loop = loop_turns()
        try:
            async with aclosing(stream):
                self._heard_at = now()
                its_turn, its_end, left = loop.count, self._heard_at + TURN_SECONDS, TURN_PIECES
                async for piece in stream:
                    if its_turn != loop.count:
                        its_turn, heard_at = loop.count, loop.began
                        its_end, left = heard_at + TURN_SECONDS, TURN_PIECES
                    else:
                        heard_at = now()
                    if isinstance(piece, str):
                        if more := text.feed(piece):
                            self._heard_at = heard_at
                            untold.append(more)
                            if not self._is_held:
                                self._tell_soon()
                            elif self._apart and len(untold) >= TOGETHER:
                                self._tell_held()
                    elif isinstance(piece, Finish):
                        finish = piece
                        break
                    else:
                        raise PipelineError(f"{_name_of(stream)} yielded {type(piece).__name__}, not str")
                    if text.cut:
                        return Finish("length")
                    left -= 1
                    if left <= 0 or heard_at >= its_end:
                        # The model may be a loop that never waits; the server must not stand still for it.
                        await trio.lowlevel.checkpoint()
                        its_turn, its_end, left = loop.count, now() + TURN_SECONDS, TURN_PIECES
        finally:
            self._heard_at = inf
            if rest := text.close():
                self._untold.append(rest)
        return finish


def _name_of(stream: object) -> str:
    return getattr(stream, "__qualname__", type(stream).__qualname__)


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The plain counts in an upstream's usage; it may hold anything."""
    if usage is None:
        return None
    return {whole(key): value for key, value in usage.items() if type(value) is int and abs(value) < 2**53}
