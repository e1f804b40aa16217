"""What a conversation remembers, and what of it survives a crash."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from actors import ActorRef, Timer
from server.chat import Message, Transcript


@frozen
class Question:
    """A user's message that waits for its reply, with its inline data still in it."""

    message: Message
    stream: bool
    weight: int


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
