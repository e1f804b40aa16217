"""Where a conversation's actor is found by its key: begun when somebody comes, let go of when nobody does.

Bounded: those with members by the number of sockets, those without by a limit of their own, at which the one
unused longest makes room. So a session id that a stranger invents costs one place among the memberless, and
sockets that do nothing keep nobody out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import Actor, ActorDied, ActorError, ActorRef, Restart, RestartBudget
from server.chat import ConversationKey, Draining, Full, Limits, StoreFailing, Transcript
from server.messages import (
    ConversationGone,
    ConversationMessage,
    DirectoryMessage,
    Drain,
    Find,
    FindUnsettled,
    FinishReplies,
    Forgotten,
    HistoryTrimmed,
    LeaveIfUnused,
    Open,
    PipelineInfo,
    RegistryMessage,
    Settle,
    StorageMessage,
    Sweep,
    Usage,
)

from .actor import Conversation
from .allowance import Allowance
from .state import ConversationState

log: FilteringBoundLogger = structlog.get_logger(__name__)

SWEEP_EVERY = 60.0
# A conversation is asked to leave only while it has nothing to do, so it answers at once or is in trouble.
LEAVE_PATIENCE = 1.0
# What a conversation may need, beyond the time given, to end its reply.
DRAIN_MARGIN = 1.0
# How many unfinished conversations go on at a time.
SETTLING = 16
# How long the store may take to tell what is unfinished, and how soon it is asked again.
PATIENCE, PAUSE = 30.0, 1.0


class Directory(Actor[DirectoryMessage]):
    """The parent of all conversations.

    Args:
        storage, registry: For the conversations.
        pipelines: Those there are, by uuid.
        limit: How many conversations without members may be held.
        idle: Seconds after which an unused one is let go of.
        queue: How many messages may wait in a conversation.
        questions: What the messages without a final reply may weigh together.
        history: What each transcript keeps.
        checkpoint: Seconds between two moments at which a running reply is made durable.
        now: The time of day, in UTC.
        new_epoch: Makes the name of a new history.
        draining: Its own, kept for it over a crash: set once no conversation is begun any more.
    """

    capacity = 4096

    def __init__(
        self,
        *,
        storage: ActorRef[StorageMessage],
        registry: ActorRef[RegistryMessage],
        pipelines: Mapping[str, PipelineInfo],
        limit: int,
        idle: float,
        queue: int,
        questions: int,
        history: Limits,
        checkpoint: float,
        now: Callable[[], datetime],
        new_epoch: Callable[[], str],
        draining: trio.Event,
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._pipelines = pipelines
        self._limit = limit
        self._idle = idle
        self._queue = queue
        self._questions = Allowance(questions)
        self._history = history
        self._checkpoint = checkpoint
        self._now = now
        self._new_epoch = new_epoch
        self._refs: dict[ConversationKey, ActorRef[ConversationMessage]] = {}
        self._unused: OrderedDict[ConversationKey, float] = OrderedDict()
        self._joined: set[ConversationKey] = set()
        self._draining = draining
        self._unsettled: deque[ConversationKey] = deque()
        self._settling: set[ConversationKey] = set()
        self._born = 0

    def budget(self) -> RestartBudget:
        """Generous: a message that crashes its conversation, sent over and over, is nobody else's trouble."""
        return RestartBudget(restarts=1000, within=10.0)

    async def started(self) -> None:
        self.after(SWEEP_EVERY, Sweep())
        self.start_task(self._find_unsettled, name="find unsettled")

    async def handle(self, message: DirectoryMessage) -> None:
        match message:
            case Open():
                await self._open(message)
            case Find():
                self._touch(message.key)
                message.answer(self._refs.get(message.key))
            case Usage() if message.key in self._refs:
                self._note(message)
            case ConversationGone():
                if (ref := self._refs.get(message.key)) is not None and not ref.alive:
                    self._forget(message.key)
            case Settle():
                self._unsettled.append(message.key)
                self._settle_more()
            case Forgotten():
                self._tell(message.key, HistoryTrimmed(message.floor, message.message_id))
            case Sweep():
                await self._sweep()
                self.after(SWEEP_EVERY, Sweep())
            case Drain():
                self._draining.set()
                self.start_task(self._drain, message, name="drain")

    async def _open(self, request: Open) -> None:
        key = request.key
        ref = self._refs.get(key)
        if ref is not None and ref.alive:
            self._touch(key)
            request.answer(ref)
        elif self._draining.is_set():
            request.refuse(Draining())
        elif await self._has_room():
            request.answer(self._begin(key))
        else:
            request.refuse(Full())

    def _begin(self, key: ConversationKey) -> ActorRef[ConversationMessage]:
        state = ConversationState(self._new_epoch(), Transcript(self._history))
        self._born += 1
        ref = self.spawn(
            lambda: Conversation(
                key=key,
                state=state,
                storage=self._storage,
                pipelines=self._pipelines,
                registry=self._registry,
                directory=self.ref,
                queue=self._queue,
                questions=self._questions,
                context=self._history.messages,
                checkpoint=self._checkpoint,
                now=self._now,
            ),
            # A successor may come before its predecessor of the same key is quite gone.
            name=f"{key}#{self._born}",
            restart=Restart.TRANSIENT,
        )
        self._refs[key] = ref
        self.watch(ref, partial(ConversationGone, key))
        return ref

    async def _find_unsettled(self) -> None:
        """Go on with what the last process could not finish: whoever asked is owed a reply."""
        while True:
            try:
                keys = await self._storage.ask(FindUnsettled(), timeout=PATIENCE)
                break
            except (StoreFailing, ActorError) as error:
                log.warning("unfinished conversations are not known yet", error=error)
                await trio.sleep(PAUSE)
        for key in keys:
            await self.ref.tell(Settle(key))

    def _settle_more(self) -> None:
        """Begin unfinished conversations, a few at a time: who comes now is not to wait for all of them."""
        while self._unsettled and len(self._settling) < SETTLING:
            key = self._unsettled.popleft()
            if key.pipeline not in self._pipelines:
                log.warning("an unfinished conversation has no pipeline any more", conversation=key)
            elif key not in self._refs and not self._draining.is_set():
                self._settling.add(key)
                self._begin(key)

    def _tell(self, key: ConversationKey, message: ConversationMessage) -> None:
        ref = self._refs.get(key)
        if ref is not None:
            with suppress(ActorError):  # it is gone, or too busy: whoever reads there notices by itself
                ref.tell_nowait(message)

    async def _has_room(self) -> bool:
        while len(self._refs) - len(self._joined) >= self._limit and self._unused:
            await self._let_go(next(iter(self._unused)))
        return len(self._refs) - len(self._joined) < self._limit

    async def _sweep(self) -> None:
        while self._unused:
            key, since = next(iter(self._unused.items()))
            if self.now() - since < self._idle:
                return
            await self._let_go(key)

    async def _let_go(self, key: ConversationKey) -> None:
        """Have an unused conversation leave; one that turns out to be in use reports so itself."""
        self._unused.pop(key, None)
        ref = self._refs.get(key)
        if ref is None:
            return
        try:
            left = await ref.ask(LeaveIfUnused(), timeout=LEAVE_PATIENCE)
        except ActorError as error:
            log.warning("a conversation would not leave", conversation=key, error=error)
            left = not ref.alive
        if left:
            self._forget(key)

    def _note(self, usage: Usage) -> None:
        if usage.has_members:
            self._joined.add(usage.key)
        else:
            self._joined.discard(usage.key)
        if usage.has_members or usage.is_replying:
            self._unused.pop(usage.key, None)
        else:
            self._unused[usage.key] = self.now()
            self._unused.move_to_end(usage.key)
        if not usage.is_replying:
            self._settled(usage.key)

    def _settled(self, key: ConversationKey) -> None:
        if key in self._settling:
            self._settling.remove(key)
            self._settle_more()

    def _touch(self, key: ConversationKey) -> None:
        if key in self._unused:
            self._unused[key] = self.now()
            self._unused.move_to_end(key)

    def _forget(self, key: ConversationKey) -> None:
        self._refs.pop(key, None)
        self._unused.pop(key, None)
        self._joined.discard(key)
        self._settled(key)

    async def _drain(self, request: Drain) -> None:
        async with trio.open_nursery() as nursery:
            for ref in list(self._refs.values()):
                nursery.start_soon(self._finish, ref, request.seconds, name=f"drain {ref.address}")
        request.answer(None)

    async def _finish(self, ref: ActorRef[ConversationMessage], seconds: float) -> None:
        with trio.move_on_after(seconds + DRAIN_MARGIN):
            while True:
                try:
                    await ref.ask(FinishReplies(seconds), timeout=seconds + DRAIN_MARGIN)
                    return
                except ActorDied:
                    pass  # it crashed meanwhile: its successor is asked
                except ActorError as error:
                    log.warning("a conversation was not drained", address=ref.address, error=error)
                    return
