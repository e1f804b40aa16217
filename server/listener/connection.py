"""One TCP connection, from accept to the last byte.

`serve` runs a `Connection` per socket; it reads, hands the bytes to `Http1`, and owns every deadline there is
towards the peer. One task reads and it alone tells the application of the end; whoever has to send may do so.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from math import inf

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr
from structlog.typing import FilteringBoundLogger

from .app_task import ConnectionTasks
from .errors import leaves, whereabouts
from .http1 import Http1
from .listener import Listener, ListenerLimits

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Seconds.
TLS_HANDSHAKE_TIMEOUT = 10.0
HEAD_TIMEOUT = 10.0
BODY_TIMEOUT = 30.0
LINGER = 2.0
_GOODBYE_TIMEOUT = 1.0

# Bytes of one read, once frames are read: little enough that many talkative peers take turns.
_FRAMES_RECV = 2**14

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError)

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


def socket_of(stream: Stream) -> trio.socket.SocketType:
    """The TCP socket under *stream*."""
    return (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket


class Connection(TCPServer):
    """hypercorn's connection, with a barrier around it (fault 1) and a deadline on everything (fault 2)."""

    protocol: Http1  # type: ignore[assignment]  # hypercorn's wrapper could change to HTTP/2 midway

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: LifespanState,
        listener: Listener,
        stream: Stream,
        first: bytes = b"",
    ) -> None:
        super().__init__(app, config, context, state, stream)  # type: ignore[arg-type]
        self.stream: Stream = stream  # type: ignore[assignment]
        self.listener = listener
        self._socket = socket_of(stream)
        self._peer = "unknown"
        # What was read already.
        self._first = first
        # The reading task's life; its deadline is moved with what the peer owes us.
        self._reading = trio.CancelScope()
        self._in_head = True
        self._idle = True
        self._closing = False
        self._lingering = False
        self._writable = True
        self._in_receive = False
        self._last_life = trio.current_time()

    @property
    def limits(self) -> ListenerLimits:
        return self.listener.limits

    def last_life(self) -> float:
        """When the peer last could be heard and was: now, while we are too busy to listen."""
        return self._last_life if self._in_receive else trio.current_time()

    async def run(self) -> None:
        """Serve the connection to its end. No exception leaves here but cancellation and a wish to exit."""
        if self.listener.full:
            await self._refuse()
            return
        self.listener.enter(self)
        try:
            await self._serve()
        # The barrier: what one peer brings about is no other peer's business (upstream #225).
        except* Exception as group:
            self._report(group)
        finally:
            self.abort()
            self.listener.leave(self)

    async def _serve(self) -> None:
        if isinstance(self.stream, trio.SSLStream):
            with trio.move_on_after(TLS_HANDSHAKE_TIMEOUT) as handshake:
                await self.stream.do_handshake()
            if handshake.cancelled_caught:
                return
        peer = self._socket.getpeername()
        client = parse_socket_addr(self._socket.family, peer)
        server = parse_socket_addr(self._socket.family, self._socket.getsockname())
        if client is not None:
            self._peer = f"{client[0]}:{client[1]}"
        tasks = ConnectionTasks()
        async with tasks:
            self.protocol = Http1(
                self,
                self.app,
                self.config,
                self.context,
                tasks,
                ConnectionState(self.state),
                isinstance(self.stream, trio.SSLStream),
                client,
                server,
            )
            try:
                with self._reading:
                    await self._read_data()
            # Caught here already, so that the application hears of the end instead of being cancelled.
            except* Exception as group:
                self._report(group)
            await self.protocol.handle(Closed())
            await self._shut()

    async def _read_data(self) -> None:
        self._reading.deadline = trio.current_time() + HEAD_TIMEOUT
        while True:
            self._last_life, self._in_receive = trio.current_time(), True
            with trio.move_on_at(self.protocol.message_due) as waiting:
                try:
                    data = await self._receive_some()
                except _GONE:
                    return
            self._in_receive = False
            if waiting.cancelled_caught:
                await self.protocol.end_late_message()
                continue
            if not data:
                return
            if self._lingering:
                continue
            if self._idle and not self._in_head:
                self._in_head = True
                self._reading.deadline = trio.current_time() + HEAD_TIMEOUT
            elif not self._idle:
                # While the application is busy with what came, the peer owes nothing.
                self._expect_by(inf)
            await self.protocol.handle(RawData(bytes(data)))
            if self.protocol.wants_body:
                self._expect_by(trio.current_time() + BODY_TIMEOUT)

    async def _receive_some(self) -> bytes | bytearray:
        first, self._first = self._first, b""
        return first or await self.stream.receive_some(_FRAMES_RECV if self.protocol.upgraded else MAX_RECV)

    def _expect_by(self, deadline: float) -> None:
        if not self._lingering and self._reading.deadline != deadline:
            self._reading.deadline = deadline

    async def protocol_send(self, event: Event) -> None:
        """What the protocol wants done with the socket."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            await self._close()
        elif isinstance(event, Updated):
            self._idle = event.idle
            self._in_head = False
            self._expect_by(trio.current_time() + self.config.keep_alive_timeout if event.idle else inf)

    async def _send(self, data: bytes) -> None:
        """Send *data*, or give the peer up; never raises for what the peer did (faults 2 and 9)."""
        async with self.send_lock:
            if not self._writable:
                return
            # Shielded, for half a frame would spoil the next one; so it needs a deadline.
            with trio.move_on_after(self.limits.send_timeout, shield=True) as sending:
                try:
                    await self.stream.send_all(data)
                except _GONE:
                    self._writable = False
                    # The peer's last words may still wait to be read, such as its Close.
                    self._expect_by(min(self._reading.deadline, trio.current_time() + LINGER))
            if sending.cancelled_caught:
                self.abort()

    async def _close(self) -> None:
        """End the connection so that the peer reads all that was sent.

        A socket closed with unread input sends RST, which destroys what the peer has not read yet. So while
        more may come, only our half is closed, and what comes is thrown away for a while.
        """
        if self._closing:
            await trio.lowlevel.checkpoint()
            return
        self._closing = True
        if self._writable and self.protocol.expects_more:
            async with self.send_lock:
                self._lingering = True
                self._writable = False
                self._reading.deadline = trio.current_time() + LINGER
                if isinstance(self.stream, trio.SocketStream):
                    with contextlib.suppress(*_GONE):
                        await self.stream.send_eof()
        else:
            await self._shut()
            self._reading.cancel()

    async def _shut(self) -> None:
        self._writable = False
        # TLS says goodbye first, to a peer that may not take it.
        with trio.move_on_after(_GOODBYE_TIMEOUT, shield=True), contextlib.suppress(*_GONE):
            await self.stream.aclose()

    async def _refuse(self) -> None:
        """Answer 503 and close; over TLS, whose handshake costs more than the answer is worth, just close."""
        if isinstance(self.stream, trio.SSLStream):
            self.abort()
            return
        with trio.move_on_after(_GOODBYE_TIMEOUT), contextlib.suppress(*_GONE):
            await self.stream.send_all(_BUSY)
            await self.stream.send_eof()
            while await self.stream.receive_some(MAX_RECV):
                pass
        self.abort()

    def end_if_idle(self) -> None:
        """Close if no request is being served; none that comes now would be."""
        if self._idle and not self._lingering:
            self._reading.cancel()

    def abort(self) -> None:
        """Cut the socket off at once, in whatever state; blocked senders and readers wake up."""
        self._writable = False
        if self._socket.fileno() != -1:
            # Zero seconds of lingering: the kernel forgets what the peer did not take.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()
        self._reading.cancel()

    def _report(self, group: BaseException) -> None:
        faults = [error for error in leaves(group) if not isinstance(error, (*_GONE, OSError))]
        if faults:
            _log.warning(
                "a connection failed", peer=self._peer, faults=[whereabouts(fault) for fault in faults]
            )
