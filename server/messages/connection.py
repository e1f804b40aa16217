"""What a connection, and the parent of all connections, is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from actors import ActorRef, Down, Question, fan_out, fan_out_nowait
from server.chat import ConversationKey, Sender

from .events import Event

if TYPE_CHECKING:
    from .conversation import ConversationMessage


Dialect = Literal["document", "cumulative", "delta"]
"""How a socket wants its frames: as one of levels 0 and 1, or of level 2 with replies whole or in parts."""


@frozen
class ConnectionInfo:
    """What the registry knows of a connection. `scope` is whose its `client_msg_id`s are (see `Post`)."""

    connection_id: str
    key: ConversationKey
    user: Sender
    created_at: datetime
    ref: ActorRef[ConnectionMessage]
    scope: str = ""


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
    """Close the socket with *code*, after everything told before; without one, as its client did."""

    code: int | None
    reason: str = ""


class ConnectionsMessage:
    """What the parent of all connections is told."""


@frozen(eq=False)
class Adopt(ConnectionsMessage, Question[ConnectionsMessage, ActorRef[ConnectionMessage]]):
    """Run a connection for the accepted socket behind *transport*."""

    connection_id: str
    transport: Any
    dialect: Dialect = "document"


TOO_SLOW = "too slow"
"""The reason a connection is stopped with when its mailbox overflows; its client is closed with 4408."""


async def tell_each(
    refs: Sequence[ActorRef[ConnectionMessage]], message: ConnectionMessage
) -> list[ActorRef[ConnectionMessage]]:
    """Tell connections without waiting; those with no room are stopped as too slow. Who was not told."""
    return stop_too_slow(await fan_out(refs, message))


def tell_each_nowait(
    refs: Sequence[ActorRef[ConnectionMessage]], message: ConnectionMessage
) -> list[ActorRef[ConnectionMessage]]:
    """As `tell_each`, all of them in one go."""
    return stop_too_slow(fan_out_nowait(refs, message))


def stop_too_slow(untold: list[ActorRef[ConnectionMessage]]) -> list[ActorRef[ConnectionMessage]]:
    """Stop those that could not be told something, and so would miss it; the same."""
    for ref in untold:
        ref.stop(TOO_SLOW)
    return untold
