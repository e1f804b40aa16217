"""What the registry is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from actors import Down, Question
from server.chat import SessionType

from .connection import ConnectionInfo


class RegistryMessage:
    """What the registry is told."""


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
