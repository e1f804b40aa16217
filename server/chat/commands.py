"""What the store is told to make durable, and what it answers.

The store gives out ids and seqs, and knows what may be done to a message: it alone sees all of them. Whatever
it will not do it answers with a `Refusal`, and then nothing of the command is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from .components import Component
from .facts import Fact, HistoryReset, MessageAdded, MessageEdited, MessageRecalled, ReadUpTo, ReplyEnded
from .model import ConversationKey, FinishReason, Message, Sender
from .refusals import Refusal

R_co = TypeVar("R_co", covariant=True)


@frozen(kw_only=True)
class Command(Generic[R_co]):
    """One thing to do to one conversation, as a whole or not at all; answered with an R.

    `epoch` becomes the conversation's if this command is its first; `at` is the time of day in UTC.
    """

    key: ConversationKey
    epoch: str
    at: datetime


@frozen
class ReplyBegun:
    """The reply's id is durable."""

    id: int
    alternative_of: int | None


@frozen
class Posted:
    """A user's message has its place; `fact` is `None` if it had it before: a retry's (`duplicate`).

    `begun` is its reply, if that was to begin at once.
    """

    id: int
    seq: int
    fact: MessageAdded | None
    begun: ReplyBegun | None = None

    @property
    def duplicate(self) -> bool:
        return self.fact is None


@frozen(kw_only=True)
class Post(Command[Posted]):
    """Add a user's message, and with it a question that waits for its reply.

    In this order: a known (`scope`, `client_msg_id`) is answered as a duplicate, or refused with `Conflict`
    if what it stands for differs (chain, inline data included, or `reply_to`); `otherwise` is refused with;
    then an `expires_at` in the past is, with `Expired`; then a `reply_to` that is no message of the
    conversation, with `NoSuchMessage`.

    `scope` is whose ids `client_msg_id` is one of: a user's id, or "" for all who have none of their own.
    `chain` may hold inline data, which is kept until the question's reply begins; the message keeps none.

    With `answered_by` the question does not wait: its reply begins, as by a `BeginReply` right behind, with
    the same `at` and `connection_id`.
    """

    chain: tuple[Component, ...]
    sender: Sender
    connection_id: str
    stream: bool = True
    scope: str = ""
    client_msg_id: str | None = None
    reply_to: int | None = None
    expires_at: datetime | None = None
    otherwise: Refusal | None = None
    answered_by: Sender | None = None


@frozen(kw_only=True)
class BeginReply(Command[ReplyBegun]):
    """Give the answer to the waiting question *question* (a message's id) its id; it waits no more.

    `at` becomes the reply's timestamp. Refused with `NoSuchMessage` if no such question waits.
    """

    question: int
    connection_id: str
    sender: Sender


@frozen(kw_only=True)
class SaveReply(Command[None]):
    """Keep what an open reply says so far, for the case of a crash. Nothing if it is not open (any more)."""

    reply: int
    text: str


@frozen(kw_only=True)
class EndReply(Command[ReplyEnded]):
    """Make an open reply final. Earlier answers to its question become alternatives, which history hides.

    Refused with `NoSuchMessage` if it is not open.
    """

    reply: int
    text: str
    reason: FinishReason
    usage: Mapping[str, Any] | None = None


@frozen
class Question:
    """A user's message that waits for its reply; `message.chain` still holds its inline data.

    `again` if it was answered before: then its reply will be an alternative.
    """

    message: Message
    stream: bool
    again: bool = False


@frozen(kw_only=True)
class Regenerate(Command[Question]):
    """Have a user's message wait for a reply again. In a group only its author may (`anybody` lifts that).

    Refused with `NoSuchMessage` (also for an assistant's message), `AlreadyRecalled`, `NotAllowed`, or with
    `Busy` if any question waits or a reply is open.
    """

    id: int
    by: str
    anybody: bool
    stream: bool = True


@frozen(kw_only=True)
class Edit(Command[MessageEdited]):
    """Replace the chain of *by*'s own message, and of the question that waits for its reply, if one does.

    Refused with `NoSuchMessage`, `NotAllowed` (another's, an assistant's) or `AlreadyRecalled`.
    """

    id: int
    by: str
    chain: tuple[Component, ...]


@frozen(kw_only=True)
class Recall(Command[MessageRecalled]):
    """Erase the body of *by*'s own message everywhere, and with it the question that waits for its reply.

    Refused as `Edit` is.
    """

    id: int
    by: str


@frozen(kw_only=True)
class MarkRead(Command[ReadUpTo | None]):
    """Note that *by* has read up to message *up_to*; answered with `None` if that was known already.

    Refused with `NoSuchMessage` for an id that was never given out.
    """

    by: str
    up_to: int


@frozen(kw_only=True)
class Reset(Command[HistoryReset]):
    """Forget every message and every waiting question. Ids and seqs go on; so do `client_msg_id`s.

    Refused with `Busy` while a reply is open.
    """


@frozen
class OpenReply:
    """A reply that is being written; `id` and `timestamp` stay the same until it is final.

    Without `stream` it is told only then.
    """

    id: int
    question: int
    timestamp: datetime
    connection_id: str
    sender: Sender
    text: str = ""
    alternative_of: int | None = None
    stream: bool = True

    def saying(self, text: str) -> OpenReply:
        """The same reply with another text."""
        # Each chunk makes one: `evolve` takes four times as long.
        return OpenReply(
            self.id,
            self.question,
            self.timestamp,
            self.connection_id,
            self.sender,
            text,
            self.alternative_of,
            self.stream,
        )


@frozen(kw_only=True)
class Snapshot:
    """A conversation as the store has it, at one moment.

    Attributes:
        epoch: The name of its history; the one that was offered, if there is none.
        last_seq: Of its newest fact; 0 if nothing has happened.
        floor: Facts up to this seq can't be read any more: trimmed, or forgotten by a reset.
        facts: Those after the seq that was asked for, in order and without holes (then that seq must not be
            below `floor`).
        messages: The newest ones, oldest first, without recalled ones and hidden alternatives.
        questions: Those that wait for a reply, in order.
        open_reply: The one that has begun and not ended.
    """

    epoch: str
    last_seq: int = 0
    floor: int = 0
    facts: tuple[Fact, ...] = ()
    messages: tuple[Message, ...] = ()
    questions: tuple[Question, ...] = ()
    open_reply: OpenReply | None = None
    lost: bool = field(default=False)
    """Whether facts after the seq that was asked for are missing, since it is below `floor`."""
