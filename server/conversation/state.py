"""What a conversation remembers, and what of it survives a crash."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from actors import ActorRef, Cause, Timer
from server.chat import Message, Transcript


@frozen
class Question:
    """A user's message that waits for its reply, with its inline data still in it.

    `cause` is the frame it came in, to which all that comes of it is to be traced.
    """

    message: Message
    stream: bool
    weight: int
    cause: Cause


@define
class ConversationState:
    """What of a conversation survives a crash of its actor.

    `answering` is the question whose reply is being written, by `writer`.
    """

    transcript: Transcript
    waiting: deque[Question] = field(factory=deque)
    answering: Question | None = None
    writer: ActorRef[object] | None = None
    lived: bool = False
    draining: bool = False


@define
class RunningReply:
    """The reply that is being written now."""

    id: int
    stream: bool
    writer: ActorRef[object]
    overdue: Timer
