"""One conversation: gives what is said its order, has one reply written at a time, tells its members.

    Say ──▶ journal ──▶ the store ──▶ journal ──▶ the members      what is durable, in order of seq
                                         └──────▶ replies ──▶ a pipeline ──▶ chunks to the members

It never waits for a member, nor for a commit: what a socket can't take is that connection's own trouble, and
while the store is slow or fails, replies grow and members come and go. Many members are told beside it, and
with its help if that is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from attrs import frozen

from actors import Actor, ActorError, ActorRef, ExitReason, Stopped
from server.chat import (
    ConversationKey,
    Cursor,
    Fact,
    HistoryReset,
    MessageRecalled,
    ReplyEnded,
    Snapshot,
    StoreFailing,
    gap_at,
)
from server.messages import Activate as ActivateConnection
from server.messages import (
    CatchUp,
    CaughtUp,
    ConnectionInfo,
    ConversationMessage,
    DirectoryMessage,
    EditMessage,
    FinishReplies,
    Gap,
    HistoryTrimmed,
    Join,
    LeaveIfUnused,
    MarkAsRead,
    MemberGone,
    PipelineInfo,
    RecallMessage,
    RegenerateReply,
    RegistryMessage,
    ReplyChunk,
    ReplyFailed,
    ReplyFinished,
    ReplyGone,
    ResetHistory,
    Say,
    StopReply,
    StorageMessage,
    TimeIsUp,
    Usage,
    Welcomed,
)

from .allowance import Allowance
from .journal import Committed, Journal, LoadAgain, Loaded
from .looking_back import LookingBack
from .queue import Queue
from .replies import Replies
from .requests import Requests
from .state import ConversationState
from .writing import SaveNow, Unheard, Writing


@frozen
class AllTold(ConversationMessage):
    """All that was on its way to the members, just now, was told."""


class Conversation(Actor[ConversationMessage]):
    """Owns the order of one conversation and its members.

    Args:
        key: Which conversation.
        state: What it knows, kept for it over a crash.
        storage, registry, directory: Told and asked as `server.messages` says.
        pipelines: Who writes the replies, by uuid.
        queue: How many messages may wait behind a running reply.
        questions: What the messages without a final reply, in all conversations, may weigh together.
        context: How many messages a pipeline may look back at.
        checkpoint: Seconds between two moments at which a running reply is made durable.
        now: The time of day, in UTC.
    """

    def __init__(
        self,
        *,
        key: ConversationKey,
        state: ConversationState,
        storage: ActorRef[StorageMessage],
        pipelines: Mapping[str, PipelineInfo],
        registry: ActorRef[RegistryMessage],
        directory: ActorRef[DirectoryMessage],
        queue: int,
        questions: Allowance,
        context: int,
        checkpoint: float,
        now: Callable[[], datetime],
    ) -> None:
        self._key = key
        self._state = state
        self._members = state.members
        self._registry = registry
        self._directory = directory
        self._now = now
        self._joining: list[Join] = []
        self._drained: list[FinishReplies] = []
        self._usage: tuple[bool, bool] | None = None
        self._broken: list[ReplyEnded] = []
        self._recalled_question = False
        self._queue = Queue(state, questions)
        back = LookingBack(key, state.transcript, storage, context)

        def pipeline() -> PipelineInfo:
            return pipelines[key.pipeline]

        writing = Writing(
            self, key=key, state=state, pipeline=pipeline, back=back, checkpoint=checkpoint, now=now
        )
        self._replies = Replies(
            self,
            key=key,
            state=state,
            pipeline=pipeline,
            queue=self._queue,
            back=back,
            writing=writing,
            now=now,
        )
        self._journal = self._replies.journal = Journal(
            self,
            key=key,
            state=state,
            storage=storage,
            messages=context,
            note=self._note,
            settle=self._settle,
            failing=self._refuse_joins,
        )
        self._requests = Requests(
            key=key,
            state=state,
            journal=self._journal,
            replies=self._replies,
            limit=queue,
            allowance=questions,
            now=now,
        )

    async def started(self) -> None:
        """Ask the store how things stand; after a crash, with the members still there."""
        if self._state.writer is not None:
            self._state.writer.stop("its conversation crashed")
            self._state.writer = None
        for info in self._members:
            self._watch(info)
        # What the life before had begun to tell comes before whatever happens, or joins, in this one.
        await self._members.tell_rest()
        self._members.await_turns = partial(self.start_task, self._tell_in_turns, name="telling its members")
        self._journal.sync()

    async def stopped(self, reason: ExitReason) -> None:
        """Give back what was taken for messages whose answers this life won't hear; for good, for all."""
        self._requests.forget()
        self._members.await_turns = None
        if isinstance(reason, Stopped):
            self._queue.forget()
            self._replies.retire()

    def consume(self, message: ConversationMessage) -> ConversationMessage | None:
        """Pass a chunk on at once, if there are not too many to tell, and have a reply's end made durable.

        Nothing that `handle` looks after, behind a message, follows from these.
        """
        if type(message) is ReplyChunk and not self._members.have_turns:
            grown = self._replies.grow(message)
            if grown is not None:
                self._members.tell_all_nowait(grown)
        elif type(message) is ReplyFinished and not self._journal.is_unsure:
            self._replies.take_end(message)
        else:
            return message
        return None

    async def handle(self, message: ConversationMessage) -> None:
        await self._take(message)
        self._replies.advance()
        self._answer_drained()
        await self._report_usage()

    async def _take(self, message: ConversationMessage) -> None:
        match message:
            case ReplyChunk():
                grown = self._replies.grow(message)
                if grown is not None:
                    await self._members.tell_all(grown, lasting=False)
            case Committed():
                await self._journal.committed(message)
                await self._follow_up()
            case Loaded():
                await self._journal.loaded(message)
                await self._follow_up()
            case LoadAgain():
                self._journal.load()
            case Say():
                self._requests.say(message)
            case ReplyFinished() | ReplyFailed() | ReplyGone() | Unheard():
                self._replies.take_end(message)
                await self._replies.tell_last_words()
            case TimeIsUp():
                self._replies.time_is_up(message)
            case SaveNow():
                self._replies.save(message)
            case Join():
                await self._join(message)
            case CaughtUp():
                await self._let_in(message)
            case MemberGone():
                self._members.remove(message.connection_id)
                self._replies.notice_listeners()
            case StopReply():
                self._replies.stop(message)
            case RegenerateReply() | EditMessage() | RecallMessage() | MarkAsRead():
                self._requests.change(message)
            case ResetHistory():
                self._replies.reset(message)
            case HistoryTrimmed():
                self._state.floor = max(self._state.floor, message.floor)
                self._state.transcript.forget(message.message_id)
            case LeaveIfUnused():
                self._leave_if_unused(message)
            case FinishReplies():
                self._finish_replies(message)
            case AllTold():
                pass  # a drain may have waited for that

    # -- members

    async def _join(self, request: Join) -> None:
        state, info = self._state, request.info
        if not state.loaded:
            self._joining.append(request)
            return
        if info.connection_id in self._members:
            # It asks again, after a crash: what is on its way to it is before what it is told now.
            await self._members.tell_rest()
        cursor, reason = state.cursor, None
        if request.cursor is not None:
            asked = Cursor.parse(request.cursor)
            reason = gap_at(asked, epoch=state.epoch, floor=state.floor, last=state.published)
            if asked is not None and reason is None:
                cursor = asked
        resumed = request.cursor is not None and reason is None
        self._members.add(info)
        self._watch(info)
        welcome = Welcomed(
            info.connection_id, self._key, str(cursor), info.user, self._now(), resumed=resumed
        )
        await self._members.tell(info.connection_id, welcome)
        if reason is not None:
            await self._members.tell(info.connection_id, Gap(str(cursor), reason))
        await self._registry.tell(ActivateConnection(info.connection_id))
        if cursor.seq < state.published:
            self._members.keep(info.connection_id)
            request.answer(CatchUp(cursor.seq, state.published))
        else:
            await self._show_reply(info.connection_id)
            request.answer(None)
        self._replies.notice_listeners()

    async def _tell_in_turns(self) -> None:
        await self._members.tell_rest()
        if self._drained:
            self.after(0, AllTold())

    async def _let_in(self, message: CaughtUp) -> None:
        if await self._members.release(message.connection_id):
            await self._show_reply(message.connection_id)

    async def _show_reply(self, connection_id: str) -> None:
        """Tell a newcomer the running reply as it stands."""
        shown = self._replies.shown
        if shown is not None:
            await self._members.tell(connection_id, shown)

    def _watch(self, info: ConnectionInfo) -> None:
        self.watch(info.ref, partial(MemberGone, info.connection_id))

    def _refuse_joins(self) -> None:
        joining, self._joining = self._joining, []
        for request in joining:
            request.refuse(StoreFailing())

    # -- facts

    def _note(self, fact: Fact) -> None:
        """Take in what the members are about to be told."""
        self._state.transcript.apply(fact)
        match fact:
            case ReplyEnded() if self._replies.note_ended(fact):
                self._broken.append(fact)
            case MessageRecalled():
                self._recalled_question |= self._queue.withdraw(fact.message_id)
            case HistoryReset():
                self._state.floor = fact.seq - 1
                self._queue.forget()

    async def _follow_up(self) -> None:
        """What the facts that were just told call for."""
        while self._broken:
            await self._replies.tell_failure(self._broken.pop(0))
        if self._recalled_question:
            self._recalled_question = False
            self._replies.cut()

    async def _settle(self, snapshot: Snapshot, first: bool) -> None:
        await self._replies.settle(snapshot, afresh=first)
        joining, self._joining = self._joining, []
        for request in joining:
            await self._join(request)

    # -- leaving

    def _leave_if_unused(self, request: LeaveIfUnused) -> None:
        unused = not (
            self._members
            or self._joining
            or self._requests.are_pending
            or self._replies.is_busy
            or self._journal.has_commands
        )
        request.answer(unused)
        if unused:
            self.stop("unused")
        else:
            self._usage = None  # it is in use, or will not be for long: say so again

    def _finish_replies(self, request: FinishReplies) -> None:
        self._state.ends_at = self.now() + request.seconds
        self._drained.append(request)
        reply = self._state.reply
        if reply is not None:
            self.after(request.seconds, TimeIsUp(reply.id, "interrupted"))

    def _answer_drained(self) -> None:
        is_done = self._replies.is_at_rest and self._journal.is_certain and not self._members.are_being_told
        if self._drained and is_done:
            while self._drained:
                self._drained.pop().answer(None)

    async def _report_usage(self) -> None:
        if self._usage == (True, False) and self._members:
            return  # it is in use, whether it replies or not
        usage = bool(self._members), self._replies.is_busy
        if usage != self._usage:
            self._usage = usage
            try:
                await self._directory.tell(Usage(self._key, *usage))
            except ActorError:
                self._usage = None  # it is about to come back, or to wait for us: the next time
