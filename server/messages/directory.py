"""What the directory of conversations is told."""

from __future__ import annotations

from attrs import frozen

from actors import ActorRef, Down, Question
from server.chat import ConversationKey

from .conversation import ConversationMessage


class DirectoryMessage:
    """What the directory is told."""


@frozen(eq=False)
class Open(DirectoryMessage, Question[DirectoryMessage, ActorRef[ConversationMessage]]):
    """The conversation of that key, begun if need be; refused with `Full` or `Draining`."""

    key: ConversationKey


@frozen(eq=False)
class Find(DirectoryMessage, Question[DirectoryMessage, ActorRef[ConversationMessage] | None]):
    """The conversation of that key, if there is one."""

    key: ConversationKey


@frozen
class Usage(DirectoryMessage):
    """A conversation got its first member, or began to write a reply, or the contrary."""

    key: ConversationKey
    has_members: bool
    is_replying: bool


@frozen
class ConversationGone(DirectoryMessage):
    key: ConversationKey
    down: Down


@frozen
class Settle(DirectoryMessage):
    """There is unfinished work in that conversation: begin it, for it to go on."""

    key: ConversationKey


@frozen
class Forgotten(DirectoryMessage):
    """Retention has forgotten facts of a conversation up to *floor*, and messages up to *message_id*."""

    key: ConversationKey
    floor: int
    message_id: int


@frozen
class Sweep(DirectoryMessage):
    """Let go of conversations that nobody has used for long."""


@frozen(eq=False)
class Drain(DirectoryMessage, Question[DirectoryMessage, None]):
    """Begin no more; give running replies *seconds*, then interrupt them. Answered when all have ended."""

    seconds: float
