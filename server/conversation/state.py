"""What a conversation remembers, and so what of it survives a crash of its actor."""

from __future__ import annotations

import math
from collections import deque

from attrs import define, evolve, field, frozen

from actors import ActorRef, Cause
from server.chat import Cursor, EndReply, Message, OpenReply, Plain, Question, Transcript, weight_of
from server.messages import RunningReply

from .members import Members


@frozen
class Waiting:
    """A question that waits for its reply, or whose reply is being written.

    `weight` is what it takes of the allowance. `cause` is the frame it came in, to which all that comes of it
    is to be traced.
    """

    question: Question
    weight: int
    cause: Cause

    @property
    def message(self) -> Message:
        return self.question.message

    def reworded(self, message: Message) -> Waiting:
        """The same place in the queue, for what the message says now."""
        question = evolve(self.question, message=message)
        return evolve(self, question=question, weight=weight_of(message.chain))


@define
class ConversationState:
    """A projection of what the store holds, and what only memory does.

    Attributes:
        epoch: Of the history; before the first load, what a new one will be called.
        published: The seq of the newest fact that the members were told, or that is on its way to them.
        floor: Facts up to this one can't be read any more.
        waiting: The questions whose replies have not begun, in order.
        answering: The question whose reply begins or is being written, by `writer`; one whose reply begins in
            its own commit, from then on.
        reply: That reply, once its id is durable, with its whole text so far.
        running: The same as clients are shown it; made when they are.
        told: How many code points of that text the members were told, or will have been by the next event.
        last_pieces: Those of what is left for its end to tell; none, if that is to be told in one.
        ends_at: Until when replies have time, on trio's clock.
        ending: How it is to end, once that is known and not yet durable.
    """

    epoch: str
    transcript: Transcript
    members: Members = field(factory=Members)
    loaded: bool = False
    published: int = 0
    floor: int = 0
    waiting: deque[Waiting] = field(factory=deque)
    answering: Waiting | None = None
    reply: OpenReply | None = None
    running: RunningReply | None = None
    told: int = 0
    last_pieces: tuple[str, ...] = ()
    ending: EndReply | None = None
    writer: ActorRef[object] | None = None
    ends_at: float = math.inf

    @property
    def draining(self) -> bool:
        """Whether no reply begins any more to what waits."""
        return self.ends_at < math.inf

    @property
    def cursor(self) -> Cursor:
        """The place after the newest fact: where a member stands once it has been told all there is."""
        return Cursor(self.epoch, self.published)


def running(reply: OpenReply) -> RunningReply:
    """What clients are shown of a reply, but for its text: not final, and without a `seq`."""
    blank = Message(
        id=reply.id,
        role="assistant",
        chain=(Plain(""),),
        timestamp=reply.timestamp,
        connection_id=reply.connection_id,
        sender=reply.sender,
        is_final=False,
        reply_to=reply.question,
        alternative_of=reply.alternative_of,
    )
    return RunningReply(blank)
