"""The reply that is being written: who writes it, what it says so far, and the clocks that run meanwhile.

Whether it is to end, and how, is decided in `replies`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef, Down, Timer
from server.chat import ConversationKey, OpenReply, SaveReply
from server.messages import (
    ConversationMessage,
    PipelineInfo,
    ReplyChunk,
    ReplyFailed,
    ReplyFinished,
    ReplyGone,
    ReplyGrew,
    TimeIsUp,
    WriteReply,
)

from .looking_back import LookingBack
from .state import ConversationState, Waiting, running

log: FilteringBoundLogger = structlog.get_logger(__name__)

# How long a pipeline may take to accept a turn, and a reply to end by itself after its total time-out.
PIPELINE_PATIENCE = 5.0

# How many moments in the time between two saves of a reply are those at which replies are saved.
MOMENTS = 4


@frozen
class SaveNow(ConversationMessage):
    """Time to make durable what a reply says so far."""

    reply_id: int


@frozen
class Unheard(ConversationMessage):
    """Nobody has listened for as long as the pipeline writes for nobody."""

    reply_id: int


class Owner(Protocol):
    """What replies need of the conversation's actor."""

    @property
    def ref(self) -> ActorRef[ConversationMessage]: ...
    def now(self) -> float: ...
    def after(self, seconds: float, message: ConversationMessage) -> Timer: ...
    def watch(self, ref: ActorRef[Any], tell: Callable[[Down], ConversationMessage]) -> None: ...
    def unwatch(self, ref: ActorRef[Any]) -> None: ...


class Writing:
    """Of one life's replies, the one that is being written, if any is.

    Args:
        owner: The conversation's actor.
        pipeline: Who writes; looked up anew for each reply.
        back: What pipelines may look back at.
        checkpoint: Seconds between two moments at which a running reply is made durable.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        key: ConversationKey,
        state: ConversationState,
        pipeline: Callable[[], PipelineInfo],
        back: LookingBack,
        checkpoint: float,
        now: Callable[[], datetime],
    ) -> None:
        self._owner = owner
        self._key = key
        self._state = state
        self._pipeline = pipeline
        self._back = back
        self._checkpoint = checkpoint
        self._now = now
        self._overdue: Timer | None = None
        self._unheard: Timer | None = None
        self._save: Timer | None = None

    @property
    def reply(self) -> OpenReply:
        """The reply, with its whole text so far."""
        reply = self._state.reply
        assert reply is not None
        return reply

    # -- who writes

    async def begin(self, waiting: Waiting) -> bool:
        """Have a pipeline answer what was *waiting*, from where the reply stands; false if none took it."""
        pipeline, reply = self._pipeline(), self.reply
        try:
            turn = await self._back.turn(waiting, reply.text)
            writer = await pipeline.ref.ask(
                WriteReply(turn, reply.id, self._owner.ref), timeout=PIPELINE_PATIENCE
            )
        except ActorError as error:
            log.error("no reply", conversation=self._key, error=error)
            return False
        self._state.writer = writer
        overdue = TimeIsUp(reply.id, "error")
        self._overdue = self._owner.after(pipeline.total_timeout + PIPELINE_PATIENCE, overdue)
        self._owner.watch(writer, partial(ReplyGone, reply.id))
        return True

    def retire(self) -> None:
        """Nothing more is heard of the reply's writer and clocks."""
        if self._state.writer is not None:
            self._owner.unwatch(self._state.writer)
            self._state.writer.stop("its reply ends")
            self._state.writer = None
        for timer in (self._overdue, self._unheard, self._save):
            if timer is not None:
                timer.cancel()
        self._overdue = self._unheard = self._save = None

    # -- for whom

    def note_heard(self) -> None:
        """Somebody listens."""
        if self._unheard is not None:
            self._unheard.cancel()
            self._unheard = None

    def note_unheard(self) -> bool:
        """Nobody listens: whether its pipeline wants to be stopped now; if later, `Unheard` comes then."""
        grace = self._pipeline().unheard
        if grace == 0:
            return True
        if grace is not None and self._unheard is None:
            self._unheard = self._owner.after(grace, Unheard(self.reply.id))
        return False

    # -- what it says

    @property
    def shown(self) -> ReplyGrew | None:
        """The reply as a newcomer is to see it; `None` if it says nothing yet, or comes whole."""
        reply = self.reply
        return self._grown(reply, self._state.told) if reply.stream and reply.text else None

    def grow(self, chunk: ReplyChunk) -> ReplyGrew | None:
        """Add to the reply; what the members are to be told of that."""
        reply = self.add(chunk.text)
        if self._save is None:
            self._save = self._owner.after(self._until_save(), SaveNow(reply.id))
        return self._news(chunk.pieces)

    @property
    def has_last_words(self) -> bool:
        """Whether something is left for its end to tell."""
        return self._state.told < len(self.reply.text)

    def take_last_words(self) -> ReplyGrew | None:
        """What is left for its end to tell, for the members to be told now; `None` if there is nothing."""
        state = self._state
        pieces, state.last_pieces = state.last_pieces, ()
        return self._news(pieces) if self.has_last_words else None

    def add(self, text: str) -> OpenReply:
        """The reply, which says *text* more from now on."""
        reply = self.reply
        if text:
            reply = self._state.reply = reply.saying(reply.text + text)
        return reply

    def finish(self, end: ReplyFinished | ReplyFailed) -> None:
        """Add what its writer says last; its end is to tell it."""
        if self.add(end.text).stream:
            self._state.last_pieces = end.pieces

    def _news(self, pieces: tuple[str, ...]) -> ReplyGrew | None:
        state, reply = self._state, self.reply
        if not reply.stream:
            return None
        told, state.told = state.told, len(reply.text)
        return self._grown(reply, told, pieces) if state.members else None

    def _grown(self, reply: OpenReply, told: int, pieces: tuple[str, ...] = ()) -> ReplyGrew:
        shown = self._state.running
        if shown is None or shown.id != reply.id:
            shown = self._state.running = running(reply)
        return ReplyGrew(self._key.session_type, shown, reply.text, told, pieces)

    # -- what of that is durable

    def saving(self) -> SaveReply:
        """The command that makes durable what the reply says so far; `SaveNow` comes once it says more."""
        self._save = None
        reply = self.reply
        return SaveReply(
            key=self._key, epoch=self._state.epoch, at=self._now(), reply=reply.id, text=reply.text
        )

    def _until_save(self) -> float:
        """Seconds until the reply is saved; with others, since one commit does for all of them."""
        return self._checkpoint - self._now().timestamp() % (self._checkpoint / MOMENTS)
