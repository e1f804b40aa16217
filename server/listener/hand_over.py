"""Handing a WebSocket's TCP socket to the application, without hypercorn in between.

A connection that begins with a plain handshake over plain TCP is offered to the application as
`scope["extensions"]["triologue.stream"]`. It takes the socket, and from then on speaks RFC 6455 itself; its
call returns, and what it left to be run serves the socket to its end, in the same task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import structlog
import trio
from hypercorn.typing import AppWrapper, LifespanState, WorkerContext
from hypercorn.utils import parse_socket_addr
from structlog.typing import FilteringBoundLogger

from .app_task import no_threads
from .connection import HEAD_TIMEOUT, LINGER
from .errors import leaves
from .listener import Listener
from .raw_socket import RawSocket
from .upgrade import Upgrade, recognise

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Bytes of the first words.
_FIRST = 2**16

Serve = Callable[[], Awaitable[None]]


class Offer:
    """A handshake that the application may answer by taking the socket."""

    def __init__(self, upgrade: Upgrade, socket: RawSocket, listener: Listener) -> None:
        self._upgrade: Upgrade | None = upgrade
        self.socket = socket
        self.listener = listener
        self.serve: Serve | None = None
        """Put here what serves the socket to its end; it runs once the application's call has returned, so
        that nothing of the request is kept. The socket is closed after it."""

    async def accept(self, subprotocol: str | None) -> bytes:
        """Open the WebSocket; what the client sent ahead of the answer."""
        assert self._upgrade is not None, "a handshake is answered once"
        upgrade, self._upgrade = self._upgrade, None
        await self._answer(upgrade.accepted(subprotocol))
        return upgrade.rest

    async def refuse(self, status: int, reason: str) -> None:
        """Answer with an HTTP error instead."""
        self._upgrade = None
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        await self._answer(head.encode("ascii"))
        # A socket closed with unread input sends RST, which destroys what the peer has not read yet.
        self.socket.send_eof()
        with trio.move_on_after(LINGER), suppress(OSError, trio.ClosedResourceError):
            while self.socket.recv_nowait(_FIRST) != b"":
                await self.socket.wait_readable()
        self.socket.close()

    async def _answer(self, data: bytes) -> None:
        try:
            if self.socket.send(data) < len(data):
                self.socket.abort()  # nothing was sent before: such a socket is no use
        except BlockingIOError:
            self.socket.abort()
        except OSError:
            pass  # whoever reads it will notice
        await trio.lowlevel.checkpoint()


class Arrival:
    """A plain TCP connection, up to its first bytes; and to its end, if they are a WebSocket's.

    Args:
        peer: Its address, as the system tells it.
    """

    __slots__ = ("_app", "_context", "_listener", "_peer", "_state", "_waiting", "socket")

    def __init__(
        self,
        app: AppWrapper,
        context: WorkerContext,
        state: LifespanState,
        listener: Listener,
        socket: RawSocket,
        peer: Any,
    ) -> None:
        self._app = app
        self._context = context
        self._state = state
        self._listener = listener
        self._peer = peer
        self._waiting: trio.CancelScope | None = None
        self.socket = socket

    async def run(self) -> bytes:
        """Serve the connection to its end if it begins as a WebSocket.

        Otherwise give back how it begins, if it does; then `socket` is open, and somebody else's. No
        exception leaves here but cancellation and a wish to exit.
        """
        self._listener.enter(self)
        first = b""
        try:
            first = await self._first_bytes()
            upgrade = recognise(first)
            if upgrade is not None:
                first = b""
                serve = await self._offer(upgrade)
                del upgrade
                if serve is not None:
                    await serve()
        # A barrier: what one peer brings about is no other peer's business.
        except* Exception as group:
            _report(group)
        finally:
            if not first:
                self.socket.abort()
            self._listener.leave(self)
        return first

    def end_if_idle(self) -> None:
        """Close if nothing has come yet."""
        if self._waiting is not None:
            self._waiting.cancel()

    def abort(self) -> None:
        """Cut the socket off at once, in whatever state."""
        self.socket.abort()

    async def _first_bytes(self) -> bytes:
        """What comes first; nothing, if nothing comes in time."""
        first: bytes | None = None
        with trio.move_on_after(HEAD_TIMEOUT) as self._waiting, suppress(OSError, trio.ClosedResourceError):
            while first is None:
                await self.socket.wait_readable()
                first = self.socket.recv_nowait(_FIRST)
        self._waiting = None
        return first or b""

    async def _offer(self, upgrade: Upgrade) -> Serve | None:
        """What the application leaves behind to serve the socket."""
        scope = self._scope(upgrade)
        task = trio.lowlevel.current_task()
        peer = task.name.rpartition(" ")[2]
        task.name = f"websocket {scope['raw_path'].decode('ascii')} {peer}"
        await self._context.mark_request()
        offer = scope["extensions"]["triologue.stream"] = Offer(upgrade, self.socket, self._listener)
        await self._app(scope, _connect, _nothing, no_threads, no_threads)
        return offer.serve

    def _scope(self, upgrade: Upgrade) -> Any:
        path, _, query = upgrade.target.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"spec_version": "2.3", "version": "3.0"},
            "scheme": "ws",
            "http_version": "1.1",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": upgrade.headers,
            "client": parse_socket_addr(self.socket.family, self._peer),
            "server": parse_socket_addr(self.socket.family, self.socket.getsockname()),
            "subprotocols": upgrade.subprotocols,
            "extensions": {},
            "state": self._state,
        }


async def _connect() -> Any:
    return {"type": "websocket.connect"}


async def _nothing(message: Any) -> None:
    raise RuntimeError("this WebSocket is answered through triologue.stream")


def _report(group: BaseExceptionGroup[Exception]) -> None:
    # A socket may be gone before anybody looked at it.
    faults = [fault for fault in leaves(group) if not isinstance(fault, OSError)]
    if faults:
        _log.error("the application failed", exc_info=faults[0] if len(faults) == 1 else group)
