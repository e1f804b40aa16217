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
from .reply_text import settled, whole
from .teller import Teller

log: FilteringBoundLogger = structlog.get_logger(__name__)

# The longest reply, whatever its model; a longer one ends as `length`. In code points as they come: a letter
# in two halves is two.
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
        said = "".join(untold)
        text, half = settled(said)
        if text:
            try:
                self._reply_to.tell_nowait(ReplyChunk(self._id, text, self._pieces(text, said)))
            except MailboxFull:
                if len(untold) >= TOGETHER:
                    untold[:] = [said]
                return False
            except RecipientStopped:
                self.stop()
            untold[:] = [half] if half else []
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
        self._is_held = True  # the teller still has it

    def _pieces(self, text: str, said: str) -> tuple[str, ...]:
        """What was not told yet, piece by piece, if it is to be told apart: *said*, to be told as *text*."""
        untold = self._untold
        # Where the text had to be made fit, the pieces are not.
        return tuple(untold) if self._apart and len(untold) <= TOGETHER and text == said else ()

    def _last_words(self) -> tuple[str, tuple[str, ...]]:
        """What is left for the end to tell, and of which pieces it is, if they are to be told apart."""
        now = trio.current_time()
        if self._apart and self.tells_at <= now:
            self.tell(now)
        said = "".join(self._untold)
        text = whole(said)
        pieces = self._pieces(text, said)
        self._untold.clear()
        return text, pieces

    # -- writing

    async def _write(self) -> None:
        end: ReplyFinished | ReplyFailed
        try:
            with self._pulling:
                finish = await self._pull()
            if self._pulling.cancelled_caught:
                raise ReplyTimedOut(self._late)
            end = ReplyFinished(self._id, whole(finish.reason), _counts(finish.usage), *self._last_words())
        except PipelineError as error:
            log.warning("the pipeline failed", error=error)
            end = ReplyFailed(self._id, error.said, *self._last_words())
        except Exception:
            # A boundary: a model may be anybody's code.
            log.exception("the pipeline raised")
            end = ReplyFailed(self._id, PipelineError.said, *self._last_words())
        with suppress(ActorError):  # the conversation is gone: nobody waits for this reply any more
            await self._reply_to.tell(end)
        self.stop()

    async def _pull(self) -> Finish:
        # Two hundred replies at a time pass here once for each word: as little as may be is done.
        finish, untold, room, apart = Finish(), self._untold, LONGEST, self._apart
        stream, now = self._model.reply(self._turn), trio.current_time
        loop = loop_turns()
        try:
            async with aclosing(stream):
                self._heard_at = since = now()
                turn, left = loop.count, TURN_PIECES
                async for piece in stream:
                    if turn != loop.count:
                        turn, left = loop.count, TURN_PIECES
                        heard_at = since = loop.began
                    else:
                        heard_at = now()
                        if heard_at >= since + TURN_SECONDS:
                            left = 0
                    left -= 1
                    if not isinstance(piece, str):
                        if isinstance(piece, Finish):
                            finish = piece
                            break
                        raise PipelineError(f"{_name_of(stream)} yielded {type(piece).__name__}, not str")
                    if piece:
                        self._heard_at = heard_at
                        room -= len(piece)
                        if room < 0:
                            if cut := piece[:room]:
                                untold.append(cut)
                            return Finish("length")
                        untold.append(piece)
                        if not self._is_held:
                            self._tell_soon()
                        elif apart and len(untold) >= TOGETHER:
                            self._tell_held()
                    if left <= 0:
                        # The model may be a loop that never waits; the server must not stand still for it.
                        await trio.lowlevel.checkpoint()
                        turn, left, since = loop.count, TURN_PIECES, now()
        finally:
            self._heard_at = inf
        return finish


def _name_of(stream: object) -> str:
    return getattr(stream, "__qualname__", type(stream).__qualname__)


def _counts(usage: Mapping[str, Any] | None) -> dict[str, int] | None:
    """The plain counts in an upstream's usage; it may hold anything."""
    if usage is None:
        return None
    return {whole(key): value for key, value in usage.items() if type(value) is int and abs(value) < 2**53}
