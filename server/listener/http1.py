"""HTTP/1.1 towards one peer: hypercorn's, without its other protocols and with our streams.

`Connection` feeds it bytes; it makes an `HttpRequest` or a `WebSocket` of each request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Data, Request, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import AppWrapper, ConnectionState, H11SendableEvent, WorkerContext

from .app_task import ConnectionTasks
from .websocket import WebSocket

if TYPE_CHECKING:
    from .connection import Connection


class HttpRequest(HTTPStream):
    """hypercorn's request; what an application sends after the peer is gone goes nowhere (fault 9)."""

    flush: Callable[[], Awaitable[None]]
    """Sends the head of the answer, if it still waits."""

    async def app_send(self, message: Any) -> None:
        if self.closed:
            await trio.lowlevel.checkpoint()
            return
        await super().app_send(message)
        if message is not None and message.get("more_body"):
            # Nothing was sent of a part that is empty, or of an answer to HEAD; the head is due all the same.
            await self.flush()


class Http1(H11Protocol):
    """hypercorn's HTTP/1.1, which stays HTTP/1.1 whatever the peer would change it to (fault 1)."""

    def __init__(
        self,
        connection: Connection,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        tasks: ConnectionTasks,
        state: ConnectionState,
        ssl: bool,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
    ) -> None:
        super().__init__(app, config, context, tasks, state, ssl, client, server, self._pass_on)
        self._peer = connection
        self._unsent = b""
        self._holds_head = False
        self._tasks = tasks
        self._websocket: WebSocket | None = None

    @property
    def wants_body(self) -> bool:
        """Whether the peer owes us the rest of a request's body."""
        return self._websocket is None and self.connection.their_state is h11.SEND_BODY

    @property
    def upgraded(self) -> bool:
        """Whether what comes are frames, and no requests."""
        return self._websocket is not None

    @property
    def message_due(self) -> float:
        """When the peer has to have finished the message it is sending; infinity if it sends none."""
        return inf if self._websocket is None else self._websocket.due

    async def end_late_message(self) -> None:
        """Close, because a message is not finished though it is due."""
        assert self._websocket is not None
        await self._websocket.end_late()

    @property
    def expects_more(self) -> bool:
        """Whether bytes may still come that nobody will read."""
        if self._websocket is not None:
            return not self._websocket.hung_up
        unread, _ = self.connection.trailing_data
        return bool(unread) or self.connection.their_state in {h11.SEND_BODY, h11.ERROR}

    async def handle(self, event: Event) -> None:
        if self._websocket is None or not isinstance(event, RawData):
            await super().handle(event)
        elif self.stream is not None:
            # Straight on: hypercorn would copy every byte through two more buffers.
            await self.stream.handle(Data(STREAM_ID, event.data))

    async def stream_send(self, event: StreamEvent) -> None:
        if isinstance(event, Response) and event.status_code >= 200 and self._is_last():
            event = Response(event.stream_id, [*event.headers, (b"connection", b"close")], event.status_code)
        await super().stream_send(event)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        # The head of an answer leaves with what comes next, as ASGI wants it: one write instead of two.
        self._holds_head = isinstance(event, h11.Response)
        await super()._send_h11_event(event)

    async def _pass_on(self, event: Event) -> None:
        """Have *event* done to the connection, after what waits to be sent; an empty write is left out."""
        if not isinstance(event, RawData):
            await self.flush()
            await self._peer.protocol_send(event)
            return
        self._unsent += event.data
        if not self._holds_head:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits to be sent."""
        unsent, self._unsent = self._unsent, b""
        if unsent:
            await self._peer.protocol_send(RawData(unsent))

    def _is_last(self) -> bool:
        # A body that nobody reads is in the way of the next request (fault 8).
        return self.context.terminated.is_set() or self.wants_body

    async def _check_protocol(self, event: h11.Request) -> None:
        """Keep to HTTP/1.1: an offered upgrade to h2c may be ignored (RFC 9110, 7.8)."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in {b"1.0", b"1.1"}:
            # HTTP/2 with prior knowledge begins like a request, and its frames are none.
            await self._refuse(505)
            return
        if request.method == b"CONNECT":
            # h11 takes any good answer to it for the beginning of a tunnel, and then fails at the body.
            await self._refuse(501)
            return
        self.stream = self._new_stream(request)
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def _refuse(self, status: int) -> None:
        await self._send_error_response(status)
        await self.send(Closed())

    def _new_stream(self, request: h11.Request) -> HTTPStream | WebSocket:
        about = (self.app, self.config, self.context, self._tasks, self.ssl, self.client, self.server)
        if not _is_upgrade(request):
            stream = HttpRequest(*about, self.stream_send, STREAM_ID)
            stream.flush = self.flush
            return stream
        assert isinstance(self.connection, h11.Connection)
        self._websocket = WebSocket(self._peer, *about, self.stream_send, STREAM_ID)
        self.connection = H11WSConnection(self.connection)
        return self._websocket


def _is_upgrade(request: h11.Request) -> bool:
    upgrade, tokens = b"", b""
    for name, value in request.headers:
        if name == b"upgrade":
            upgrade = value.strip().lower()
        elif name == b"connection":
            tokens += b"," + value.lower()
    wanted = any(token.strip() == b"upgrade" for token in tokens.split(b","))
    return wanted and upgrade == b"websocket" and request.method == b"GET"
