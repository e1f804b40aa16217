"""One reply at a time: from the question at the head of the queue to a final message.

idle → beginning (its id is made durable) → writing → ending (its text is made durable) → idle

A reset waits for idle, and goes before the next question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum, auto
from functools import partial

from actors import cause, resume
from server.chat import (
    BeginReply,
    ConversationKey,
    EndReply,
    HistoryReset,
    NoSuchMessage,
    NotAllowed,
    OpenReply,
    Question,
    Refusal,
    ReplyBegun,
    ReplyEnded,
    Reset,
    Sender,
    Snapshot,
    StoreFailing,
)
from server.messages import (
    PipelineInfo,
    ReplyBroke,
    ReplyChunk,
    ReplyFailed,
    ReplyFinished,
    ReplyGone,
    ReplyGrew,
    ResetHistory,
    StopReply,
    TimeIsUp,
)

from .journal import Journal
from .looking_back import LookingBack
from .queue import Queue
from .state import ConversationState, Waiting
from .writing import Owner, SaveNow, Unheard, Writing

FAILED = "Sorry, something went wrong while answering."
TOOK_TOO_LONG = "Sorry, the answer took too long."
INTERRUPTED = "Sorry, the server is restarting. Please ask again."


class Phase(Enum):
    """Where the conversation is with its replies."""

    IDLE = auto()
    BEGINNING = auto()
    WRITING = auto()
    ENDING = auto()
    RESETTING = auto()
    LEFT = auto()
    """A reply was left open, for the next process to go on with."""


class Replies:
    """One life's replies.

    Args:
        owner: The conversation's actor.
        pipeline: Who writes them; looked up anew for each.
        queue: The questions.
        back: What pipelines may look back at.
        writing: Whatever is being written.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        key: ConversationKey,
        state: ConversationState,
        pipeline: Callable[[], PipelineInfo],
        queue: Queue,
        back: LookingBack,
        writing: Writing,
        now: Callable[[], datetime],
    ) -> None:
        self._owner = owner
        self._key = key
        self._state = state
        self._pipeline = pipeline
        self.queue = queue
        self._back = back
        self._now = now
        self._writing = writing
        self._phase = Phase.IDLE
        self._resets: deque[ResetHistory] = deque()
        self._stop_at_once = False
        self.journal: Journal

    @property
    def is_busy(self) -> bool:
        """Whether anything is being written, or waits to be."""
        if self._phase is Phase.IDLE:
            return bool(self._resets or (self.queue and self._is_wanted))
        return self._phase is not Phase.LEFT

    @property
    def _is_wanted(self) -> bool:
        """Whether somebody listens, or the pipeline writes for nobody too."""
        return bool(self._state.members) or self._pipeline().unheard is None

    @property
    def is_at_rest(self) -> bool:
        """Whether the reply that was being written is not any more."""
        return self._phase in (Phase.IDLE, Phase.LEFT)

    @property
    def taken(self) -> int:
        """How many places of the queue are taken, that of the running reply among them."""
        being_written = self._phase in (Phase.WRITING, Phase.ENDING, Phase.LEFT)
        return len(self.queue) + being_written

    @property
    def shown(self) -> ReplyGrew | None:
        """The running reply as a newcomer is to see it; `None` if there is none, or it comes whole."""
        # While it ends, what only its end tells is not to be told twice.
        ends = self._phase is Phase.ENDING and not self._writing.has_last_words
        return self._writing.shown if ends or self._phase is Phase.WRITING else None

    # -- what is next

    def advance(self) -> None:
        """Begin what is next, if nothing is under way."""
        state = self._state
        if self._phase is not Phase.IDLE or self.journal.is_unsure or not state.loaded:
            return
        while self._resets and self._resets[0].settled:
            self._resets.popleft()  # who asked was told that it failed, and may have said something since
        if self._resets:
            self._phase = Phase.RESETTING
            reset = Reset(key=self._key, epoch=state.epoch, at=self._now())
            self.journal.commit(reset, partial(self._was_reset, self._resets[0]))
        elif self.queue and not state.draining and self._is_wanted:
            waiting = self.queue.begin()
            self._phase = Phase.BEGINNING
            with resume(waiting.cause):
                begin = BeginReply(
                    key=self._key,
                    epoch=state.epoch,
                    at=self._now(),
                    question=waiting.message.id,
                    connection_id=waiting.message.connection_id,
                    sender=self._author(),
                )
                self.journal.commit(begin, partial(self._begun, begin))

    # -- beginning

    @property
    def may_begin_at_once(self) -> bool:
        """Whether the reply to what is said now would be the next, and could begin."""
        state = self._state
        return (
            self._phase is Phase.IDLE
            and self.journal.is_certain
            and state.loaded
            and not (self._resets or self.queue or state.draining)
            and self._is_wanted
        )

    def begin_at_once(self) -> Sender:
        """The next reply begins with its question, which is about to be committed; who writes it."""
        self._phase = Phase.BEGINNING
        return self._author()

    def begin_no_more(self) -> None:
        """It did not, as far as is known: its question was there already, or refused, or nobody said."""
        self._phase, self._stop_at_once = Phase.IDLE, False

    async def begin_with(self, begun: ReplyBegun, at: datetime, sender: Sender) -> None:
        """The reply has begun with its question, which is the queue's first."""
        self.queue.begin()
        if self.journal.is_unsure:
            self._phase = Phase.IDLE  # until it is settled
        else:
            await self._open(begun, at, sender)

    async def _begun(self, begin: BeginReply, outcome: ReplyBegun | Refusal) -> None:
        if isinstance(outcome, ReplyBegun):
            await self._open(outcome, begin.at, begin.sender)
            return
        self._phase = Phase.IDLE
        if not isinstance(outcome, StoreFailing):  # it was recalled, or reset, just before
            self._stop_at_once = False
            self.queue.leave()
            self.queue.settle()

    async def _open(self, begun: ReplyBegun, at: datetime, sender: Sender) -> None:
        waiting = self.queue.leave()
        self._state.reply = OpenReply(
            id=begun.id,
            question=waiting.message.id,
            timestamp=at,
            connection_id=waiting.message.connection_id,
            sender=sender,
            alternative_of=begun.alternative_of,
            stream=waiting.question.stream,
        )
        await self._write(waiting)

    def _author(self) -> Sender:
        return Sender(id="assistant", name=self._pipeline().name)

    async def _write(self, waiting: Waiting) -> None:
        state, reply = self._state, self._writing.reply
        state.told = len(reply.text)
        self._phase = Phase.WRITING
        if self._stop_at_once or self._resets:
            self._end("stopped")
            return
        rest = state.ends_at - self._owner.now()
        if rest <= 0:
            self.time_is_up(TimeIsUp(reply.id, "interrupted"))
            return
        if not await self._writing.begin(waiting):
            self._end("error", otherwise=FAILED)
            return
        if state.draining:
            self._owner.after(rest, TimeIsUp(reply.id, "interrupted"))
        self.notice_listeners()

    # -- writing

    def is_running(self, reply_id: int) -> bool:
        """Whether that reply is being written here."""
        reply = self._state.reply
        return self._phase is Phase.WRITING and reply is not None and reply.id == reply_id

    def grow(self, chunk: ReplyChunk) -> ReplyGrew | None:
        """Add to the running reply; what the members are to be told of that."""
        if not self.is_running(chunk.reply_id):
            return None  # from a reply that was ended here before it noticed
        return self._writing.grow(chunk)

    def save(self, message: SaveNow) -> None:
        """Make durable what the running reply says so far."""
        if self.is_running(message.reply_id):
            saving = self._writing.saving()
            if not self.journal.is_unsure:
                self.journal.commit(saving, _whatever)

    def notice_listeners(self) -> None:
        """Stop a reply that nobody listens to, if its pipeline wants that; at once, or after its grace."""
        if self._state.members or self._phase is not Phase.WRITING:
            self._writing.note_heard()
        elif self._writing.note_unheard():
            self._end("stopped")

    def take_end(self, message: ReplyFinished | ReplyFailed | ReplyGone | Unheard) -> None:
        """End the running reply, if it is the one that *message* is about."""
        if not self.is_running(message.reply_id):
            return
        match message:
            case ReplyFinished():
                self._writing.finish(message)
                self._end(message.reason, usage=message.usage)
            case ReplyFailed():
                self._writing.finish(message)
                self._end("error", otherwise=message.said)
            case ReplyGone():
                self._end("error", otherwise=FAILED)
            case Unheard():
                if not self._state.members:
                    self._end("stopped")

    def time_is_up(self, message: TimeIsUp) -> None:
        """End the running reply, or leave it to the next process, if the pipeline can go on with it."""
        if not self.is_running(message.reply_id):
            return
        if message.reason == "interrupted" and self._pipeline().resumes:
            self.retire()
            self._phase = Phase.LEFT
            self.journal.commit(self._writing.saving(), _whatever)
            return
        self._end(message.reason, otherwise=TOOK_TOO_LONG if message.reason == "error" else INTERRUPTED)

    def stop(self, request: StopReply) -> None:
        """End the running reply for whoever may ask for that."""
        state, answering = self._state, self._state.answering
        known = self._phase is Phase.WRITING and state.reply is not None
        named = request.id is None or (known and state.reply is not None and state.reply.id == request.id)
        if answering is None or not named or self._phase not in (Phase.BEGINNING, Phase.WRITING):
            request.refuse(NoSuchMessage())
        elif self._key.session_type == "group" and answering.message.sender.id != request.by:
            request.refuse(NotAllowed())
        else:
            request.answer(None)
            self.cut()

    def cut(self) -> None:
        """Stop whatever reply is being written, or is about to be."""
        if self._phase is Phase.WRITING:
            self._end("stopped")
        elif self._phase is Phase.BEGINNING:
            self._stop_at_once = True

    def reset(self, request: ResetHistory) -> None:
        """Forget everything, once the running reply has been stopped."""
        self._resets.append(request)
        self.cut()

    async def _was_reset(self, request: ResetHistory, outcome: HistoryReset | Refusal) -> None:
        self._phase = Phase.IDLE
        self._resets.popleft()
        if isinstance(outcome, Refusal):
            request.refuse(outcome)
        else:
            await self.journal.publish(outcome)
            request.answer(None)

    # -- ending

    def retire(self) -> None:
        """Nothing more is heard of the running reply's writer and clocks."""
        self._writing.retire()

    def _end(self, reason: str, *, otherwise: str = "", usage: Mapping[str, int] | None = None) -> None:
        state, reply = self._state, self._writing.reply
        self.retire()
        state.ending = EndReply(
            key=self._key,
            epoch=state.epoch,
            at=self._now(),
            reply=reply.id,
            text=reply.text or otherwise,
            reason=reason,
            usage=usage,
        )
        self._phase = Phase.ENDING
        if not self.journal.is_unsure:
            with resume(state.answering.cause if state.answering is not None else cause()):
                self.journal.commit(state.ending, self._ended)

    async def _ended(self, outcome: ReplyEnded | Refusal) -> None:
        if isinstance(outcome, ReplyEnded):
            await self.journal.publish(outcome)
        elif not isinstance(outcome, StoreFailing):
            # It is not open: it was ended before, without our hearing of it.
            self.journal.sync()
        # Whatever happened to it, `settle` ends it again if it has to.
        await self.tell_last_words()

    async def tell_last_words(self) -> None:
        """Tell what is left for the end, if that has to wait until the store is well again."""
        if self._phase is Phase.ENDING and self.journal.is_unsure:
            grown = self._writing.take_last_words()
            if grown is not None:
                await self._state.members.tell_all(grown, lasting=False)

    def note_ended(self, fact: ReplyEnded) -> bool:
        """A reply is final: go on with the next. Whether it failed."""
        if self._state.reply is not None and self._state.reply.id == fact.message.id:
            self._settle_reply()
            return fact.message.finish_reason == "error"
        return False

    def _settle_reply(self) -> None:
        state = self._state
        self.retire()
        self._stop_at_once = False
        state.reply = state.running = state.ending = None
        state.last_pieces = ()
        self.queue.settle()
        self._phase = Phase.IDLE

    async def tell_failure(self, fact: ReplyEnded) -> None:
        """Say apart from the reply's end that something failed, to those who know such a frame."""
        await self._state.members.tell_all(ReplyBroke(fact.message.id, "The answer failed"), lasting=False)

    # -- as the store has it

    async def settle(self, snapshot: Snapshot, *, afresh: bool) -> None:
        """Go on from what the store showed: *afresh* in a new process, or in this one, after a doubt."""
        self.queue.match(snapshot.questions)
        opened, state = snapshot.open_reply, self._state
        if opened is None:
            if state.answering in state.waiting:
                state.answering = None  # its reply has not begun
            if state.reply is not None or state.answering is not None:
                self._settle_reply()
            return
        known = state.reply is not None and state.reply.id == opened.id
        if known and self._phase in (Phase.WRITING, Phase.LEFT):
            return
        if known and state.ending is not None:
            self._phase = Phase.ENDING
            self.journal.commit(state.ending, self._ended)
        elif not known and state.answering is not None and state.answering.message.id == opened.question:
            # Its id was made durable after all.
            state.reply = opened
            await self._write(state.answering)
        else:
            await self._adopt(opened, afresh=afresh, known=known)

    async def _adopt(self, opened: OpenReply, *, afresh: bool, known: bool) -> None:
        """Go on with, or end, a reply whose writer is gone; or was never asked, if it is not *known*."""
        state = self._state
        self.retire()
        if not known or state.reply is None:
            state.reply = opened
        state.told = len(state.reply.text)
        if state.draining and self._pipeline().resumes:
            self._phase = Phase.LEFT
            return
        # What this process began and had not heard of began with its question: no pipeline was asked.
        may_go_on = self._pipeline().resumes if afresh else not known
        if may_go_on:
            asked = await self._back.message(opened.question)
            if asked is not None:
                question = Question(asked, opened.stream, again=opened.alternative_of is not None)
                state.answering = Waiting(question, 0, cause())
                await self._write(state.answering)
                return
        if afresh:
            self._end("interrupted", otherwise=INTERRUPTED)
        else:
            self._end("error", otherwise=FAILED)


async def _whatever(outcome: object) -> None:
    """What came of it changes nothing: a later save, or the end, makes up for it."""
