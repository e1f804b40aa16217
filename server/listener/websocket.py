"""One WebSocket: hypercorn's stream, with every way it can end told to peer and application alike.

The reading task feeds `handle`; the application's task calls `app_send`.
"""

from __future__ import annotations

import io
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import AppWrapper, WorkerContext
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.events import Event as WSEvent
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from .app_task import ConnectionTasks, Send

if TYPE_CHECKING:
    from .connection import Connection

# Seconds the peer has to answer our Close with its own.
CLOSE_TIMEOUT = 1.0

# Frames, or pieces of one, after which others get a turn: ten thousand of six bytes came with one read, and
# held everybody up for 100 ms.
_TURN = 32
# Frames without a byte in one message; the limit of its size does not bound them.
_EMPTY_FRAMES = 10_000
# Bytes of an unfinished message that its socket may hold whatever the others hold.
_FREE = 4 * 2**10

_OVER = frozenset({ConnectionState.CLOSED, ConnectionState.REMOTE_CLOSING})


class WebSocket(WSStream):
    """hypercorn's WebSocket with bounds (fault 6), true close codes (9) and a liveness check (10)."""

    def __init__(
        self,
        connection: Connection,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        tasks: ConnectionTasks,
        ssl: bool,
        client: tuple[str, int] | None,
        server: tuple[str, int] | None,
        send: Send,
        stream_id: int,
    ) -> None:
        super().__init__(app, config, context, tasks, ssl, client, server, send, stream_id)
        self._peer = connection
        self._tasks = tasks
        # Whether the application took the socket, or will not: until then nothing is parsed.
        self._decided = trio.Event()
        self._ended = trio.Event()
        # What comes is not even parsed any more.
        self._deaf = False
        # The message that is under way: its parts, text as UTF-8, so that a byte is a byte of memory too.
        self._parts: io.BytesIO | None = None
        self._size = 0
        self._empty_frames = 0
        self._held = 0
        self._due = inf
        self._code = int(CloseReason.ABNORMAL_CLOSURE)
        self._reason = ""

    @property
    def hung_up(self) -> bool:
        """Whether the peer said its last word, a Close."""
        return self._accepted and self.connection.state in _OVER

    @property
    def due(self) -> float:
        """When the message under way has to be finished; infinity while there is none."""
        return self._due

    async def end_late(self) -> None:
        """Close, because a message is not finished though it is due."""
        await self._fail(CloseReason.POLICY_VIOLATION)

    @property
    def _accepted(self) -> bool:
        return hasattr(self, "connection")

    async def handle(self, event: Event) -> None:
        if isinstance(event, Request):
            await self._open(event)
        elif isinstance(event, (Body, Data)):
            if not self._decided.is_set():
                # Frames sent ahead of our answer killed the process (fault 1); here they wait, and the
                # kernel makes the peer wait once its window is full.
                await self._decided.wait()
            if not self._deaf:
                await self._receive(event.data)
        elif isinstance(event, StreamClosed):
            self._decided.set()
            await self._tell()
            self._ended.set()

    async def _open(self, event: Request) -> None:
        try:
            await super().handle(event)
        except UnicodeError:
            # Such as a byte outside ASCII in Sec-WebSocket-Protocol, which killed the process (fault 1).
            await self._send_error_response(400)
            self.closed = True
        if self.closed:
            self._decide()
            # Otherwise hypercorn leaves a refused peer waiting until it goes by itself.
            await self.send(StreamClosed(stream_id=self.stream_id))

    def _decide(self) -> None:
        self._deaf = not self._accepted
        self._decided.set()

    async def _receive(self, data: bytes) -> None:
        if self.connection.state in _OVER:
            return
        self.connection.receive_data(data)
        # wsproto parses as it is asked for events, so a turn for others is a pause in the parsing too.
        for number, event in enumerate(self.connection.events(), 1):
            if isinstance(event, Message):
                await self._add(event)
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                await self._peer_closed(event)
            if self._deaf:
                return
            if number % _TURN == 0:
                await trio.lowlevel.checkpoint()
        announced = self._announced()
        if self._size + announced > self._peer.limits.message_size:
            await self._fail(CloseReason.MESSAGE_TOO_BIG)
        elif self.connection.state is ConnectionState.OPEN and (announced or self._parts is not None):
            self._due = min(self._due, trio.current_time() + self._peer.limits.message_timeout)

    async def _add(self, event: Message[Any]) -> None:
        """Add a part to the message it belongs to, and deliver that when it is whole.

        Bytes are counted, where hypercorn counts characters (fault 6).
        """
        if self.connection.state is not ConnectionState.OPEN:
            return
        part = event.data.encode() if isinstance(event.data, str) else event.data
        self._size += len(part)
        if self._size > self._peer.limits.message_size:
            await self._fail(CloseReason.MESSAGE_TOO_BIG)
            return
        whole = event.data
        if not event.message_finished:
            await self._keep(part, whole_frame=event.frame_finished)
            return
        if self._parts is not None:
            self._parts.write(part)
            joined = self._parts.getvalue()
            whole = joined.decode() if isinstance(event.data, str) else joined
        self._forget_parts()
        assert self.app_put is not None
        text, binary = (whole, None) if isinstance(whole, str) else (None, whole)
        await self.app_put({"type": "websocket.receive", "bytes": binary, "text": text})

    async def _keep(self, part: bytes, *, whole_frame: bool) -> None:
        """Hold *part* until the rest of its message comes; or close, where too much is held already."""
        self._empty_frames += whole_frame and not part
        if self._empty_frames > _EMPTY_FRAMES:
            await self._fail(CloseReason.POLICY_VIOLATION)
            return
        more = max(0, self._size - _FREE) - self._held
        if not self._peer.listener.hold_nowait(more):
            await self._fail(CloseReason.TRY_AGAIN_LATER)
            return
        self._held += more
        if self._parts is None:
            self._parts = io.BytesIO()
        self._parts.write(part)

    def _announced(self) -> int:
        # wsproto keeps to itself how long a frame said it would be; without knowing, we refuse it later,
        # when that much has come.
        decoder: Any = getattr(getattr(self.connection, "_proto", None), "_frame_decoder", None)
        header = getattr(decoder, "header", None)
        if header is None or header.opcode.iscontrol():
            return 0
        return int(header.payload_len - decoder.payload_consumed)

    def _forget_parts(self) -> None:
        """Hold nothing more of the message under way: it is whole, or never will be."""
        self._peer.listener.give_back(self._held)
        self._parts, self._size, self._empty_frames, self._held, self._due = None, 0, 0, 0, inf

    async def _peer_closed(self, event: CloseConnection) -> None:
        state = self.connection.state
        if state is ConnectionState.OPEN:
            # No Close came: wsproto could not parse, and tells in this guise how to close.
            await self._fail(event.code)
        elif state is ConnectionState.LOCAL_CLOSING:
            self._deaf = True
        else:
            self._deaf = True
            if state is ConnectionState.REMOTE_CLOSING:
                self._code, self._reason = int(event.code), event.reason or ""
                await self._send_wsproto_event(event.response())
            await self._tell()
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _fail(self, code: int) -> None:
        """Close for what the peer sent, hear nothing more, and keep nothing of it (fault 6)."""
        self._deaf = True
        self._forget_parts()
        if self.connection.state is ConnectionState.OPEN:
            self._code = int(code)
            await self._send_wsproto_event(CloseConnection(code=code))
        await self._tell()
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _tell(self) -> None:
        """Tell the application, once, that the socket is gone and with which code (fault 9)."""
        if self.closed:
            return
        self.closed = True
        self._forget_parts()
        if self.app_put is not None:
            end = {"type": "websocket.disconnect", "code": self._code, "reason": self._reason}
            await self.app_put(end)

    async def app_send(self, message: Any) -> None:
        kind = None if message is None else message["type"]
        late = self.state is ASGIWebsocketState.CLOSED and kind in {"websocket.send", "websocket.close"}
        if self.closed or late:
            # A bare loop over a dead socket must not keep everybody else from running (fault 9).
            await trio.lowlevel.checkpoint()
        elif kind is None:
            await self._application_ended()
        elif kind == "websocket.close" and self.state is ASGIWebsocketState.CONNECTED:
            await self._close(int(message.get("code") or CloseReason.NORMAL_CLOSURE), message.get("reason"))
        else:
            await super().app_send(message)
            if not self._decided.is_set():
                self._decide()

    async def _application_ended(self) -> None:
        if self.state is ASGIWebsocketState.CONNECTED:
            await self._close(CloseReason.INTERNAL_ERROR, None)
        elif self.state is not ASGIWebsocketState.CLOSED:
            if self.state is ASGIWebsocketState.HANDSHAKE:
                await self._send_error_response(500)
            self._decide()
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _close(self, code: int, reason: str | None) -> None:
        self.state = ASGIWebsocketState.CLOSED
        self._code = code
        self._forget_parts()
        await self._send_wsproto_event(CloseConnection(code=code, reason=reason or None))
        self._tasks.spawn_named("listener close", self._wait_for_close)

    async def _wait_for_close(self) -> None:
        """End the connection once the peer answered our Close, or did not."""
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self._ended.wait()
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _accept(self, message: Any) -> None:
        # permessage-deflate costs 100 KiB a socket, lets a few bytes become many (fault 7), and a bad offer
        # killed the process (fault 1): it is as if the peer never offered it.
        self.handshake.extensions = None
        try:
            await super()._accept(message)
        except Exception:
            if not self._accepted:
                # The application's fault; there is still time for an honest 500.
                self.state = ASGIWebsocketState.HANDSHAKE
            raise
        self._tasks.spawn_named("listener ping", self._send_pings)

    async def _send_pings(self) -> None:
        """Ping the peer, and abort the socket if nothing whatever comes from it (fault 10)."""
        interval, patience = self._peer.limits.ping_interval, self._peer.limits.pong_timeout
        next_ping = trio.current_time() + interval
        while True:
            give_up = self._peer.last_life() + interval + patience
            with trio.move_on_at(min(next_ping, give_up)):
                await self._ended.wait()
                return
            now = trio.current_time()
            if now >= self._peer.last_life() + interval + patience:
                self._peer.abort()
                return
            if now >= next_ping:
                next_ping = now + interval
                await self._send_wsproto_event(Ping())

    async def _send_wsproto_event(self, event: WSEvent) -> None:
        try:
            data = self.connection.send(event)
        except LocalProtocolError:
            # After a Close nothing may follow; whoever sends it did not know yet.
            await trio.lowlevel.checkpoint()
        else:
            await self.send(Data(stream_id=self.stream_id, data=bytes(data)))

    async def _send_error_response(self, status_code: int) -> None:
        # Without hypercorn's access log line, which needs a scope that a bad handshake never got.
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        await self.send(Response(stream_id=self.stream_id, status_code=status_code, headers=headers))
        await self.send(EndBody(stream_id=self.stream_id))
