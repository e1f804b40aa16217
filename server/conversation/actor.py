"""One conversation: gives messages their order, has one reply written at a time, tells its members.

It never waits for a member: what a socket can't take is that connection's own trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import structlog
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorError, ActorRef, ExitReason, Stopped, cause, resume
from server.chat import ConversationKey, Turn, weight_of
from server.messages import Activate as ActivateConnection
from server.messages import (
    Busy,
    ConnectionInfo,
    ConversationMessage,
    DirectoryMessage,
    Draining,
    FinishReplies,
    GetMessages,
    Join,
    LeaveIfUnused,
    MemberGone,
    MembersOf,
    MessagePosted,
    PipelineInfo,
    Receipt,
    RegistryMessage,
    ReplyChunk,
    ReplyEnded,
    ReplyFailed,
    ReplyFinished,
    ReplyGone,
    ReplyGrew,
    Reset,
    Say,
    TimeIsUp,
    Usage,
    Welcomed,
    WriteReply,
)

from .allowance import Allowance
from .members import Members
from .state import ConversationState, Question, RunningReply

log: FilteringBoundLogger = structlog.get_logger(__name__)

FAILED = "Sorry, something went wrong while answering."
TOOK_TOO_LONG = "Sorry, the answer took too long."
INTERRUPTED = "Sorry, the server is restarting. Please ask again."

# How long a pipeline may take to accept a turn, and a reply to end by itself after its total time-out.
PIPELINE_PATIENCE = 5.0


class Conversation(Actor[ConversationMessage]):
    """Owns one transcript and its members.

    Args:
        key: Which conversation.
        state: Its history, and the messages that wait for a reply.
        pipelines: Who writes the replies, by uuid.
        registry, directory: Told and asked as `server.messages` says.
        queue: How many messages may wait behind a running reply.
        questions: What the messages without a final reply, in all conversations, may weigh together.
        now: The time of day, in UTC.
    """

    def __init__(
        self,
        *,
        key: ConversationKey,
        state: ConversationState,
        pipelines: Mapping[str, PipelineInfo],
        registry: ActorRef[RegistryMessage],
        directory: ActorRef[DirectoryMessage],
        queue: int,
        questions: Allowance,
        now: Callable[[], datetime],
    ) -> None:
        self._key = key
        self._state = state
        self._transcript = state.transcript
        self._waiting = state.waiting
        self._pipelines = pipelines
        self._registry = registry
        self._directory = directory
        self._limit = queue
        self._questions = questions
        self._now = now
        self._members = Members()
        self._reply: RunningReply | None = None
        self._drained: list[FinishReplies] = []
        self._usage: Usage | None = None

    async def started(self) -> None:
        """After a crash: find the members again, end the reply that the crash cut off, go on."""
        if self._state.writer is not None:
            self._state.writer.stop("its conversation crashed")
        if self._state.lived:
            for info in await self._registry.ask(MembersOf(self._key), timeout=PIPELINE_PATIENCE):
                self._add_member(info)
        self._state.lived = True
        if self._transcript.open_reply is not None:
            await self._end_reply("error", otherwise=FAILED)
        await self._next_reply()
        await self._report_usage()

    async def stopped(self, reason: ExitReason) -> None:
        """For good: give back what the questions took that nobody will answer."""
        if isinstance(reason, Stopped):
            self._forget_waiting()
            self._settle_question()

    async def handle(self, message: ConversationMessage) -> None:
        match message:
            case ReplyChunk():
                await self._grow_reply(message)
            case Say():
                await self._say(message)
            case ReplyFinished() if self._is_running(message.reply_id):
                await self._end_reply(message.reason, usage=message.usage)
            case ReplyFailed() if self._is_running(message.reply_id):
                await self._end_reply("error", otherwise=message.said)
            case ReplyGone() if self._is_running(message.reply_id):
                await self._end_reply("error", otherwise=FAILED)
            case TimeIsUp() if self._is_running(message.reply_id):
                said = TOOK_TOO_LONG if message.reason == "error" else INTERRUPTED
                await self._stop_reply(message.reason, otherwise=said)
            case Join():
                await self._join(message)
            case MemberGone():
                self._members.remove(message.connection_id)
            case GetMessages():
                message.answer(self._transcript.messages()[-message.limit :])
            case Reset():
                await self._reset(message)
            case LeaveIfUnused():
                unused = not self._members and self._reply is None and not self._waiting
                message.answer(unused)
                if unused:
                    self.stop("unused")
            case FinishReplies():
                await self._finish_replies(message)
        await self._next_reply()
        await self._report_usage()

    # -- members

    async def _join(self, request: Join) -> None:
        info = request.info
        welcome = Welcomed(info.connection_id, self._key, self._transcript.cursor, info.user, self._now())
        self._add_member(info)
        self._members.tell(info.connection_id, welcome)
        await self._registry.tell(ActivateConnection(info.connection_id))
        if self._reply is not None and self._reply.stream and self._transcript.open_reply is not None:
            so_far = self._transcript.open_reply.so_far()
            self._members.tell(info.connection_id, ReplyGrew(self._key.session_type, so_far))
        request.answer(None)

    def _add_member(self, info: ConnectionInfo) -> None:
        self._members.add(info)
        self.watch(info.ref, partial(MemberGone, info.connection_id))

    # -- messages

    async def _say(self, request: Say) -> None:
        if self._state.draining:
            request.refuse(Draining())
            return
        weight = weight_of(request.chain)
        has_room = self._reply is None or len(self._waiting) < self._limit
        if not has_room or not self._questions.take(weight):
            request.refuse(Busy())
            return
        message = self._transcript.add(
            request.chain, sender=request.sender, connection_id=request.connection_id, now=self._now()
        )
        self._waiting.append(Question(message, request.stream, weight, cause()))
        assert message.seq is not None
        request.answer(Receipt(message.id, message.seq))
        await self._members.tell_all(MessagePosted(self._key.session_type, message))

    async def _reset(self, request: Reset) -> None:
        self._forget_waiting()
        if self._reply is not None:
            await self._stop_reply("stopped")
        self._transcript.reset()
        request.answer(None)

    # -- replies

    async def _next_reply(self) -> None:
        """Have the next waiting message answered, unless a reply is running."""
        while self._waiting and self._reply is None:
            question = self._state.answering = self._waiting.popleft()
            with resume(question.cause):
                await self._begin_reply(question)

    async def _begin_reply(self, question: Question) -> None:
        reply = self._transcript.begin_reply(connection_id=question.message.connection_id, now=self._now())
        if self._state.draining:
            await self._end_reply("interrupted", otherwise=INTERRUPTED)
            return
        turn = Turn(
            message=question.message,
            history=self._transcript.before(question.message),
            sender=question.message.sender,
            pipeline_uuid=self._key.pipeline,
            session_type=self._key.session_type,
            session_id=self._key.session_id,
        )
        pipeline = self._pipelines[self._key.pipeline]
        try:
            request = WriteReply(turn, reply.id, self.ref)
            writer = await pipeline.ref.ask(request, timeout=PIPELINE_PATIENCE)
        except ActorError as error:
            log.error("no reply", conversation=self._key, error=error)
            await self._end_reply("error", otherwise=FAILED)
            return
        self._state.writer = writer
        overdue = self.after(pipeline.total_timeout + PIPELINE_PATIENCE, TimeIsUp(reply.id, "error"))
        self._reply = RunningReply(reply.id, question.stream, writer, overdue)
        self.watch(writer, partial(ReplyGone, reply.id))

    def _is_running(self, reply_id: int) -> bool:
        return self._reply is not None and self._reply.id == reply_id

    async def _grow_reply(self, chunk: ReplyChunk) -> None:
        reply, written = self._reply, self._transcript.open_reply
        if reply is None or written is None or reply.id != chunk.reply_id:
            return  # from a reply that was ended here before it noticed
        written.text += chunk.text
        if reply.stream and self._members:
            await self._members.tell_all(ReplyGrew(self._key.session_type, written.so_far()))

    async def _stop_reply(self, reason: str, otherwise: str = "") -> None:
        assert self._reply is not None
        self._reply.writer.stop(reason)
        await self._end_reply(reason, otherwise=otherwise)

    async def _end_reply(
        self, reason: str, *, otherwise: str = "", usage: Mapping[str, int] | None = None
    ) -> None:
        message = self._transcript.end_reply(reason=reason, otherwise=otherwise, usage=usage)
        if self._reply is not None:
            self._reply.overdue.cancel()
            self._reply = None
        self._settle_question()
        await self._members.tell_all(ReplyEnded(self._key.session_type, message))
        self._answer_drained()

    def _settle_question(self) -> None:
        self._state.writer = None
        if self._state.answering is not None:
            self._questions.give(self._state.answering.weight)
            self._state.answering = None

    def _forget_waiting(self) -> None:
        while self._waiting:
            self._questions.give(self._waiting.popleft().weight)

    # -- leaving

    async def _finish_replies(self, request: FinishReplies) -> None:
        self._state.draining = True
        self._drained.append(request)
        if self._reply is not None:
            self.after(request.seconds, TimeIsUp(self._reply.id, "interrupted"))
        self._answer_drained()

    def _answer_drained(self) -> None:
        if self._reply is None and not self._waiting:
            while self._drained:
                self._drained.pop().answer(None)

    async def _report_usage(self) -> None:
        usage = Usage(self._key, bool(self._members), self._reply is not None)
        if usage != self._usage:
            self._usage = usage
            await self._directory.tell(usage)
