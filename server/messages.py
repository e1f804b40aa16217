"""What the actors of the server say to each other.

One family of messages for each kind of actor. An `ActorRef` inside a message is the way back, so that rooms
need not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from actors import ActorRef, Down, Question
from server.chat import Component, ConversationKey, FinishReason, Message, Sender, SessionType, Turn

# -- refusals: answers of an actor that will not do what it was asked


class Refusal(Exception):
    """The request is declined, not failed; `retry` says whether the same may succeed later."""

    code = "unavailable"
    text = "Not possible right now"
    retry = True


class Busy(Refusal):
    """The conversation has as many unanswered messages as it may."""

    code = "busy"
    text = "Too many messages are waiting for an answer"


class Draining(Refusal):
    """The server is about to restart."""

    code = "restarting"
    text = "The server is restarting"


class Full(Refusal):
    """The server has as many connections or conversations as it may."""

    code = "full"
    text = "The server is full"


# -- events: what happened, for the sockets that should know


@frozen(kw_only=True)
class Event:
    """Something to tell a client. One object is shared by all its receivers.

    `encodings` holds its wire form for each dialect, put there by the first connection that needs it.
    """

    encodings: dict[str, str] = field(factory=dict, init=False, eq=False, repr=False)


@frozen
class Welcomed(Event):
    """The socket is part of the conversation; always its first event."""

    connection_id: str
    key: ConversationKey
    cursor: str
    user: Sender
    at: datetime


@frozen
class MessagePosted(Event):
    session_type: SessionType
    message: Message


@frozen
class ReplyGrew(Event):
    """A reply as it stands. Of several for one reply only the newest matters."""

    session_type: SessionType
    message: Message


@frozen
class ReplyEnded(Event):
    session_type: SessionType
    message: Message


@frozen
class Announced(Event):
    text: str
    at: datetime


@frozen
class Ponged(Event):
    at: datetime


@frozen
class Declined(Event):
    """A client's own frame was not accepted."""

    code: str
    text: str
    retry: bool = False


# -- to a connection


class ConnectionMessage:
    """What a connection is told."""


@frozen
class Deliver(ConnectionMessage):
    """Write *event* to the socket."""

    event: Event


@frozen(eq=False)
class Flush(ConnectionMessage, Question[ConnectionMessage, None]):
    """Answered when everything told before has been written."""


@frozen
class Follow(ConnectionMessage):
    """The connection's conversation: should it end for good, the socket closes, for the client to return."""

    conversation: ActorRef[ConversationMessage]


@frozen
class ConversationLost(ConnectionMessage):
    down: Down


@frozen
class Close(ConnectionMessage):
    """Close the socket with *code*, after everything told before."""

    code: int
    reason: str = ""


class ConnectionsMessage:
    """What the parent of all connections is told."""


@frozen(eq=False)
class Adopt(ConnectionsMessage, Question[ConnectionsMessage, ActorRef[ConnectionMessage]]):
    """Run a connection for the accepted socket behind *transport*."""

    connection_id: str
    transport: Any


# -- to the registry


class RegistryMessage:
    """What the registry is told."""


@frozen
class ConnectionInfo:
    """What the registry knows of a connection."""

    connection_id: str
    key: ConversationKey
    user: Sender
    created_at: datetime
    ref: ActorRef[ConnectionMessage]


@frozen
class ConnectionStatus:
    """One connection as the statistics show it."""

    connection_id: str
    session_type: SessionType
    created_at: datetime
    last_active: datetime
    is_active: bool


@frozen
class Statistics:
    """Counts over the whole server; the connections are those of one pipeline."""

    total_connections: int
    connections_by_pipeline: Mapping[str, int]
    connections_by_session_type: Mapping[str, int]
    connections: tuple[ConnectionStatus, ...]


@frozen(eq=False)
class Register(RegistryMessage, Question[RegistryMessage, None]):
    """Take a connection in; refused with `Full` or `Draining`. It gets no broadcasts before `Activate`."""

    info: ConnectionInfo


@frozen
class Activate(RegistryMessage):
    """The connection has been welcomed: count it and send it broadcasts."""

    connection_id: str


@frozen
class Active(RegistryMessage):
    """A client was heard of at this time."""

    connection_id: str
    at: datetime


@frozen
class ConnectionGone(RegistryMessage):
    connection_id: str
    down: Down


@frozen(eq=False)
class MembersOf(RegistryMessage, Question[RegistryMessage, tuple[ConnectionInfo, ...]]):
    """The welcomed connections of a conversation."""

    key: ConversationKey


@frozen(eq=False)
class GetStatistics(RegistryMessage, Question[RegistryMessage, Statistics]):
    pipeline: str


@frozen(eq=False)
class Broadcast(RegistryMessage, Question[RegistryMessage, int]):
    """Tell every connection of a pipeline; answered with their number."""

    pipeline: str
    text: str


@frozen
class Quiesce(RegistryMessage):
    """Take in no more connections."""


@frozen(eq=False)
class CloseAll(RegistryMessage, Question[RegistryMessage, int]):
    """Close every connection with *code*; answered with their number, before they are closed."""

    code: int
    reason: str


# -- to the directory of conversations


class DirectoryMessage:
    """What the directory is told."""


@frozen(eq=False)
class Open(DirectoryMessage, Question[DirectoryMessage, "ActorRef[ConversationMessage]"]):
    """The conversation of that key, begun if need be; refused with `Full` or `Draining`."""

    key: ConversationKey


@frozen(eq=False)
class Find(DirectoryMessage, Question[DirectoryMessage, "ActorRef[ConversationMessage] | None"]):
    """The conversation of that key, if there is one."""

    key: ConversationKey


@frozen
class InUse(DirectoryMessage):
    """A conversation got its first member or reply, or lost its last."""

    key: ConversationKey
    in_use: bool


@frozen
class ConversationGone(DirectoryMessage):
    key: ConversationKey
    down: Down


@frozen
class Sweep(DirectoryMessage):
    """Let go of conversations that nobody has used for long."""


@frozen(eq=False)
class Drain(DirectoryMessage, Question[DirectoryMessage, None]):
    """Begin no more; give running replies *seconds*, then interrupt them. Answered when all have ended."""

    seconds: float


# -- to a conversation


class ConversationMessage:
    """What a conversation is told."""


@frozen
class Receipt:
    """A user's message has its place in the conversation."""

    id: int
    seq: int


@frozen(eq=False)
class Join(ConversationMessage, Question[ConversationMessage, None]):
    """Take the connection in as a member; it hears `Welcomed` first."""

    info: ConnectionInfo


@frozen
class MemberGone(ConversationMessage):
    connection_id: str
    down: Down


@frozen(eq=False)
class Say(ConversationMessage, Question[ConversationMessage, Receipt]):
    """A member's message; refused with `Busy` or `Draining`. Without *stream* its reply comes whole."""

    chain: tuple[Component, ...]
    sender: Sender
    connection_id: str
    stream: bool = True


@frozen(eq=False)
class Reset(ConversationMessage, Question[ConversationMessage, None]):
    """Stop the running reply, drop waiting messages and forget the history."""


@frozen(eq=False)
class GetMessages(ConversationMessage, Question[ConversationMessage, tuple[Message, ...]]):
    """The newest *limit* messages, oldest first."""

    limit: int


@frozen(eq=False)
class LeaveIfUnused(ConversationMessage, Question[ConversationMessage, bool]):
    """End, unless somebody is there or a reply is running."""


@frozen(eq=False)
class FinishReplies(ConversationMessage, Question[ConversationMessage, None]):
    """Take no more messages; give the running reply *seconds*, then interrupt it. Answered at its end."""

    seconds: float


@frozen
class TimeIsUp(ConversationMessage):
    """The reply has had all the time a drain, or its pipeline, gives it."""

    reply_id: int
    reason: FinishReason


@frozen
class ReplyChunk(ConversationMessage):
    """New text of a running reply."""

    reply_id: int
    text: str


@frozen
class ReplyFinished(ConversationMessage):
    reply_id: int
    reason: FinishReason
    usage: Mapping[str, int] | None = None


@frozen
class ReplyFailed(ConversationMessage):
    """The reply ends where it is; *said* stands in for it if it has no text yet."""

    reply_id: int
    said: str


@frozen
class ReplyGone(ConversationMessage):
    """The actor that wrote the reply is gone, whether it said goodbye or not."""

    reply_id: int
    down: Down


# -- to a pipeline


class PipelineMessage:
    """What a pipeline is told."""


@frozen
class PipelineInfo:
    """A configured pipeline. `total_timeout` is the longest a reply may take, in seconds."""

    uuid: str
    name: str
    total_timeout: float
    ref: ActorRef[PipelineMessage]


class PipelinesMessage:
    """What the parent of all pipelines is told."""


@frozen(eq=False)
class AwaitPipelines(PipelinesMessage, Question[PipelinesMessage, None]):
    """Answered once every pipeline can be found."""


@frozen(eq=False)
class WriteReply(PipelineMessage, Question[PipelineMessage, ActorRef[Any]]):
    """Answer *turn*, telling *reply_to* what comes; answered with the actor that writes the reply."""

    turn: Turn
    reply_id: int
    reply_to: ActorRef[ConversationMessage]
