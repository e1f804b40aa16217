"""The `Listener`: what the application sees of the server it runs under.

`serve` makes one a call and offers it in every scope; connections enter it when accepted and leave it when
their last task is done.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Protocol

import attrs
import trio


@attrs.frozen(kw_only=True)
class ListenerLimits:
    """What one peer may take, in bytes and seconds."""

    message_size: int = 8 * 2**20
    """Bytes of one WebSocket message, over all its fragments; a larger one is closed with 1009."""
    message_timeout: float = 120.0
    """How long a peer may take from a message's first byte to its last before it is closed with 1008."""
    partial_messages: int = 64 * 2**20
    """Bytes held of unfinished messages, over all sockets; whoever would exceed it is closed with 1013. The
    first 4 KiB of each message are free, so that peers who use it up are in no ordinary message's way."""
    connections: int = 10_000
    """TCP connections at one time; more are answered 503 and closed."""
    send_timeout: float = 10.0
    """How long a peer may refuse to take what is sent to it before its socket is aborted."""
    ping_interval: float = 20.0
    pong_timeout: float = 20.0
    """A peer from which nothing at all came for `ping_interval + pong_timeout` is taken for dead."""
    drain: float = 5.0
    """How long the application has, once `draining` is set, to close its connections by itself."""


class OpenConnection(Protocol):
    """What a listener needs of a connection."""

    def end_if_idle(self) -> None: ...

    def abort(self) -> None: ...


@attrs.define(eq=False)
class Listener:
    """The server as its application sees it, in every scope as `extensions["triologue.listener"]`."""

    addresses: tuple[str, ...]
    """What the listening sockets are bound to: `host:port`, `[host]:port`, or `unix:path`."""
    loopback_only: bool
    """Whether nobody outside this machine can connect, judged from the sockets themselves."""
    limits: ListenerLimits = attrs.field(factory=ListenerLimits)
    """Replace it during the lifespan's startup, before the first connection."""
    hands_over: bool = False
    """For an application that speaks WebSocket itself: set it during the lifespan's startup, and be ready to
    find `extensions["triologue.stream"]`, an `Offer`, in a WebSocket's scope. It has to answer each of them,
    by taking the socket or refusing; `receive` and `send` are of no use then."""
    draining: trio.Event = attrs.field(factory=trio.Event)
    """Set as soon as termination begins; the application then says goodbye to its connections."""
    drained: trio.Event | None = None
    """For an application with work that outlives its connections: put an Event here during the lifespan's
    startup, and set it once that work is done. Between the last connection's end and the lifespan's shutdown
    the server waits for it, until `limits.drain` and a grace of 3 s have passed since `draining` was set."""
    pump: Callable[[], bool] | None = None
    """Has plain WebSockets that were handed over look at what has come for them, now and in the calling task,
    and says whether all of that was dealt with; `None` where the system has no epoll. For an application that
    has much to do before it can let others run."""
    _terminating: trio.Event = attrs.field(factory=trio.Event)
    _connections: set[OpenConnection] = attrs.field(factory=set)
    _partial_bytes: int = 0

    def terminate(self) -> None:
        """Begin an orderly end, as SIGTERM does. Repeated calls change nothing."""
        self._terminating.set()

    async def wait_terminating(self) -> None:
        """Wait until somebody called `terminate`."""
        await self._terminating.wait()

    @property
    def open_connections(self) -> int:
        """TCP connections being served now; refused ones are not counted."""
        return len(self._connections)

    @property
    def full(self) -> bool:
        """Whether the next connection has to be refused."""
        return len(self._connections) >= self.limits.connections

    @property
    def partial_bytes(self) -> int:
        """Bytes held of unfinished messages now, as far as they are counted."""
        return self._partial_bytes

    def hold_nowait(self, size: int) -> bool:
        """Count *size* more bytes of unfinished messages; or change nothing, if so many are too many."""
        if self._partial_bytes + size > self.limits.partial_messages:
            return False
        self._partial_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Count *size* bytes no longer: they are delivered or dropped."""
        self._partial_bytes -= size

    def enter(self, connection: OpenConnection) -> None:
        """Count *connection*; it is aborted with the rest if it outlives the drain."""
        self._connections.add(connection)

    def leave(self, connection: OpenConnection) -> None:
        """Forget *connection*: its tasks are done."""
        self._connections.discard(connection)

    def start_draining(self) -> None:
        """Tell the application, and end the connections that wait for a request which will not be served."""
        self.draining.set()
        for connection in tuple(self._connections):
            connection.end_if_idle()

    def abort_connections(self) -> None:
        """Cut off whoever is left, without waiting for anybody."""
        for connection in tuple(self._connections):
            connection.abort()


def is_loopback(host: str) -> bool:
    """Whether *host*, a bound address, can be reached from this machine alone."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
