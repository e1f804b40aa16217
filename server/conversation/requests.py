"""What members ask for, made into commands; and what came of them, made into answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from server.chat import (
    Busy,
    Command,
    ConversationKey,
    Draining,
    Edit,
    Fact,
    MarkRead,
    MessageEdited,
    Post,
    Posted,
    Question,
    Recall,
    Refusal,
    Regenerate,
    weight_of,
    without_inline_data,
)
from server.messages import EditMessage, MarkAsRead, RecallMessage, Receipt, RegenerateReply, Say

from .allowance import Allowance
from .journal import Journal
from .replies import Replies
from .state import ConversationState

Change = RegenerateReply | EditMessage | RecallMessage | MarkAsRead
"""A request that concerns a message that is there."""


class Requests:
    """One life's requests.

    Args:
        limit: How many messages may wait behind a running reply.
        allowance: What the messages without a final reply, in all conversations, may weigh together.
    """

    def __init__(
        self,
        *,
        key: ConversationKey,
        state: ConversationState,
        journal: Journal,
        replies: Replies,
        limit: int,
        allowance: Allowance,
        now: Callable[[], datetime],
    ) -> None:
        self._key = key
        self._state = state
        self._journal = journal
        self._replies = replies
        self._limit = limit
        self._allowance = allowance
        self._now = now
        self._posts = 0
        self._taken = 0

    @property
    def are_pending(self) -> bool:
        """Whether messages are on their way to the store."""
        return self._posts > 0

    def say(self, request: Say) -> None:
        """Post a message, if there is a place for it in the queue."""
        weight = weight_of(request.chain)
        refusal: Refusal | None = None
        if self._state.draining:
            refusal = Draining()
        elif self._posts + self._replies.taken > self._limit or not self._allowance.take(weight):
            refusal = Busy()
        if refusal is not None and request.client_msg_id is None:
            request.refuse(refusal)
            return
        # Pictures are kept with a question that waits: what would answer one after a crash is to see them.
        at_once = (
            refusal is None
            and self._replies.may_begin_at_once
            and without_inline_data(request.chain) is request.chain
        )
        # A retry of what was stored already is no new message, however busy it is here.
        post = Post(
            key=self._key,
            epoch=self._state.epoch,
            at=self._now(),
            chain=request.chain,
            sender=request.sender,
            connection_id=request.connection_id,
            stream=request.stream,
            scope=request.scope,
            client_msg_id=request.client_msg_id,
            reply_to=request.reply_to,
            expires_at=request.expires_at,
            otherwise=refusal,
            answered_by=self._replies.begin_at_once() if at_once else None,
        )
        # One that is refused unless it is known takes no place from the others.
        places, weight = (0, 0) if refusal else (1, weight)
        self._posts += places
        self._taken += weight
        self._journal.commit(post, partial(self._posted, request, post, places, weight))

    def forget(self) -> None:
        """Give back what was taken for messages of which nothing is known yet."""
        self._allowance.give(self._taken)
        self._taken = 0

    def change(self, request: Change) -> None:
        """Have it done, if the store finds that the one who asks may."""
        # What waits for a reply may grow by an edit: it is bounded like what is said.
        weight = weight_of(request.chain) if isinstance(request, EditMessage) else 0
        if weight and not self._allowance.take(weight):
            request.refuse(Busy())
            return
        self._taken += weight
        self._journal.commit(self._command(request), partial(self._was_done, request, weight))

    async def _posted(
        self, request: Say, post: Post, places: int, weight: int, outcome: Posted | Refusal
    ) -> None:
        self._posts -= places
        self._taken -= weight
        if post.answered_by is not None and (isinstance(outcome, Refusal) or outcome.begun is None):
            self._replies.begin_no_more()
        if isinstance(outcome, Refusal) or outcome.fact is None:
            self._allowance.give(weight)
        if isinstance(outcome, Refusal):
            request.refuse(outcome)
            return
        request.answer(Receipt(outcome.id, outcome.seq, outcome.duplicate))
        if outcome.fact is not None:
            # Whoever is here now may see what is blanked in the history.
            whole = outcome.fact.with_chain(request.chain)
            self._replies.queue.add(Question(whole.message, request.stream), weight)
            await self._journal.publish(outcome.fact, shown=whole)
            if outcome.begun is not None and post.answered_by is not None:
                await self._replies.begin_with(outcome.begun, post.at, post.answered_by)

    def _command(self, request: Change) -> Command[Any]:
        key, epoch, at = self._key, self._state.epoch, self._now()
        match request:
            case RegenerateReply():
                anybody = key.session_type == "person"
                return Regenerate(key=key, epoch=epoch, at=at, id=request.id, by=request.by, anybody=anybody)
            case EditMessage():
                return Edit(key=key, epoch=epoch, at=at, id=request.id, by=request.by, chain=request.chain)
            case RecallMessage():
                return Recall(key=key, epoch=epoch, at=at, id=request.id, by=request.by)
            case MarkAsRead():
                return MarkRead(key=key, epoch=epoch, at=at, by=request.by, up_to=request.up_to)

    async def _was_done(
        self, request: Change, weight: int, outcome: Fact | Question | Refusal | None
    ) -> None:
        self._taken -= weight
        self._allowance.give(weight)  # whoever waits with it holds it from here on
        if isinstance(outcome, Refusal):
            request.refuse(outcome)
            return
        request.answer(None)
        match outcome:
            case Question():
                again = weight_of(outcome.message.chain)
                self._allowance.hold(again)
                self._replies.queue.add(outcome, again)
            case MessageEdited() if isinstance(request, EditMessage):
                whole = outcome.with_chain(request.chain)
                self._replies.queue.reword(whole.message)
                await self._journal.publish(outcome, shown=whole)
            case Fact():
                await self._journal.publish(outcome)
