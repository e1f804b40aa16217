"""The way from a command to what the members hear: through the store, in order, and whole.

Commands are sent to the store without waiting for each other; it answers in order. After an answer that
leaves open whether a command was done, nothing more is sent before the store was asked how things stand:
whatever the members have not heard they are told then, so that no fact is left out and none comes twice.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef, Answer
from actors import Question as Asked
from server.chat import Command, ConversationKey, Fact, GapReason, Refusal, ReplyEnded, Snapshot, StoreFailing
from server.messages import Commit, ConversationMessage, Event, Gap, Happened, Load, StorageMessage

from .state import ConversationState

log: FilteringBoundLogger = structlog.get_logger(__name__)

R = TypeVar("R")

# How long the store may take to show a conversation.
LOAD_PATIENCE = 10.0
# How soon a store that failed twice is asked again: at first, and at most.
SOON, LATER = 0.1, 1.0

Then = Callable[[Any], Awaitable[None]]
"""What follows a command: takes its answer, or the `Refusal` instead."""


@frozen
class Committed(ConversationMessage):
    """The store has answered a command."""

    then: Then
    answer: Answer[Any]


@frozen
class Loaded(ConversationMessage):
    """The store has shown how things stand, or can't."""

    answer: Answer[Snapshot]


@frozen
class LoadAgain(ConversationMessage):
    """Time to ask a store that failed again."""


class Owner(Protocol):
    """What a journal needs of its actor."""

    def request(
        self,
        ref: ActorRef[StorageMessage],
        question: Asked[StorageMessage, R],
        then: Callable[[Answer[R]], ConversationMessage],
        *,
        timeout: float,
    ) -> None: ...
    def after(self, seconds: float, message: ConversationMessage) -> object: ...


class Journal:
    """One life's commands.

    Args:
        owner: The conversation's actor.
        note: Called with each fact before the members are told.
        settle: Called with what the store showed, after its facts were told.
        failing: Called when the store could not show anything.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        key: ConversationKey,
        state: ConversationState,
        storage: ActorRef[StorageMessage],
        messages: int,
        note: Callable[[Fact], None],
        settle: Callable[[Snapshot, bool], Awaitable[None]],
        failing: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._key = key
        self._state = state
        self._storage = storage
        self._messages = messages
        self._note = note
        self._settle = settle
        self._failing = failing
        self._under_way = 0
        self._unsure = False
        self._loading = False
        self._pause = 0.0
        self._held: list[tuple[Command[Any], Then]] = []

    @property
    def is_certain(self) -> bool:
        """Whether everything is known to be as the store has it."""
        return not (self._under_way or self._unsure)

    @property
    def has_commands(self) -> bool:
        """Whether anything is to be committed, or being so."""
        return bool(self._under_way or self._held)

    @property
    def is_unsure(self) -> bool:
        """Whether the store has to be asked how things stand."""
        return self._unsure

    def commit(self, command: Command[Any], then: Then) -> None:
        """Have *command* done; *then* is called with what came of it, while a message is handled."""
        if self._unsure:
            self._held.append((command, then))
        else:
            self._under_way += 1
            self._owner.request(self._storage, Commit(command), partial(Committed, then), timeout=math.inf)

    def sync(self) -> None:
        """Have the store asked how things stand, once it has answered everything, and before anything else.

        At once after something was done; while nothing can be, at growing intervals: a full disk can be read.
        """
        self._unsure = True
        if self._under_way == 0 and not self._loading:
            self._loading = True
            if self._pause:
                self._owner.after(self._pause, LoadAgain())
            else:
                self.load()
            self._pause = min(max(2 * self._pause, SOON), LATER)

    def load(self) -> None:
        """Ask the store how things stand."""
        after = self._state.published if self._state.loaded else None
        load = Load(self._key, self._state.epoch, self._messages, after)
        self._owner.request(self._storage, load, Loaded, timeout=LOAD_PATIENCE)

    async def committed(self, message: Committed) -> None:
        """Go on after an answer of the store."""
        self._under_way -= 1
        outcome: Any
        try:
            outcome = message.answer.get()
            self._pause = 0.0
        except StoreFailing as refusal:
            self._unsure, outcome = True, refusal
        except Refusal as refusal:
            outcome = refusal
        except ActorError as error:
            log.warning("the store did not answer", conversation=self._key, error=error)
            self._unsure, outcome = True, StoreFailing()
        await message.then(outcome)
        if self._unsure:
            self.sync()

    async def loaded(self, message: Loaded) -> None:
        """Tell the members what they have not heard yet, and go on with what was held back."""
        self._loading = False
        try:
            snapshot = message.answer.get()
        except (StoreFailing, ActorError):
            await self._wait()
            return
        self._unsure = False
        first = not self._state.loaded
        await self._catch_up(snapshot)
        await self._settle(snapshot, first)
        held, self._held = self._held, []
        for command, then in held:
            self.commit(command, then)

    async def publish(self, fact: Fact, *, shown: Fact | None = None) -> None:
        """Tell the members *fact*, as *shown* if given; unless they know it, or miss one before it."""
        state = self._state
        if fact.seq <= state.published:
            return
        if fact.seq > state.published + 1:
            self._unsure = True  # what is between was done, though nobody said so
            return
        told = 0
        pieces: tuple[str, ...] = ()
        if isinstance(fact, ReplyEnded) and state.reply is not None and state.reply.id == fact.message.id:
            told, pieces = state.told, state.last_pieces
        self._note(fact)
        await state.members.tell_all(Happened(self._key.session_type, shown or fact, told, pieces))
        # Only now: after a crash in between, those who know it already will not take it twice.
        state.published = fact.seq

    async def _wait(self) -> None:
        self._failing()
        held, self._held = self._held, []
        for _, then in held:
            await then(StoreFailing())
        self.sync()

    async def _catch_up(self, snapshot: Snapshot) -> None:
        state = self._state
        if state.loaded and snapshot.epoch == state.epoch and not snapshot.lost:
            for fact in snapshot.facts:
                await self.publish(fact)
        else:
            state.transcript.clear()
            for message in snapshot.messages:
                state.transcript.keep(message)
            if state.loaded:
                await self._tell_gap(snapshot)
            state.epoch, state.published = snapshot.epoch, snapshot.last_seq
            state.loaded = True
        state.floor = max(state.floor, snapshot.floor)

    async def _tell_gap(self, snapshot: Snapshot) -> None:
        reason: GapReason = "trimmed" if snapshot.epoch == self._state.epoch else "unknown_epoch"
        gap: Event = Gap(f"{snapshot.epoch}.{snapshot.last_seq}", reason)
        await self._state.members.tell_all(gap)
