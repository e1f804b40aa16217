"""What the storage actor is told. Each question may be refused with `StoreFailing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from attrs import frozen

from actors import Question
from server.chat import Command, ConversationKey, Fact, Message, Snapshot

R = TypeVar("R")


class StorageMessage:
    """What the storage actor is told."""


@frozen(eq=False)
class Commit(StorageMessage, Question[StorageMessage, R], Generic[R]):
    """Do *command*; answered once nothing can undo it, or refused as the command says.

    Commands are done in the order in which they arrive. After `StoreFailing`, and when the storage actor
    died, nobody knows whether it was done.
    """

    command: Command[R]


@frozen(eq=False)
class Load(StorageMessage, Question[StorageMessage, Snapshot]):
    """A conversation at one moment, with the newest *messages* of its messages.

    With *after*, the snapshot's facts are all those after that seq; without, there are none.
    """

    key: ConversationKey
    epoch: str
    messages: int
    after: int | None = None


@frozen(eq=False)
class ReadFacts(StorageMessage, Question[StorageMessage, tuple[Fact, ...]]):
    """At most *limit* facts in order of seq, from `after + 1` to *upto*. Trimmed ones are missing."""

    key: ConversationKey
    after: int
    upto: int
    limit: int


@frozen(eq=False)
class ReadMessages(StorageMessage, Question[StorageMessage, tuple[Message, ...]]):
    """Final messages, oldest first: of those with ids between *before* and *after* (exclusive) the newest
    *limit*; with *after* alone the oldest *limit*. Hidden alternatives only with *alternatives*.
    """

    key: ConversationKey
    limit: int
    before: int | None = None
    after: int | None = None
    alternatives: bool = False


@frozen(eq=False)
class FindUnsettled(StorageMessage, Question[StorageMessage, tuple[ConversationKey, ...]]):
    """The conversations in which a question waits or a reply is open."""


@frozen
class Trimmed:
    """Facts of a conversation up to *floor* can't be read any more, messages up to *message_id* are gone."""

    key: ConversationKey
    floor: int
    message_id: int


@frozen(eq=False)
class Trim(StorageMessage, Question[StorageMessage, tuple[Trimmed, ...]]):
    """Forget messages said before *before*, and of each conversation all but the newest *keep*.

    So many conversations at a time; an empty answer says that it is done.
    """

    before: datetime | None
    keep: int | None


@frozen(eq=False)
class Maintain(StorageMessage, Question[StorageMessage, Any]):
    """Drop `client_msg_id`s of more than 24 h, and keys that belong to nothing (see `docs/storage.md`)."""
