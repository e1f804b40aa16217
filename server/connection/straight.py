"""A WebSocket on the TCP socket itself: frames leave in the sender's task, as long as the socket takes them.

Everything that is written passes through the connection's actor, in order: at once while it is idle, else by
its mailbox. So there is never more than one frame that is partly written, and nothing waits elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

import trio
from attrs import field, frozen

from .rfc6455 import POLICY, PONG, Broken, Closed, Parser, Ping, close_frame, frame
from .transport import Frame

# Bytes of one read: little enough that many talkative peers take turns; and of one within a long message.
READ, LONG_READ = 2**14, 2**16
# Seconds the peer has to answer our Close with its own; and to read what was sent before we hang up.
CLOSE_TIMEOUT = 1.0
LINGER = 2.0


class Socket(Protocol):
    """A connected byte stream: the *socket port*. What raises an `OSError` is gone.

    Waiting raises `trio.ClosedResourceError` once it was closed on this side, in whatever task.
    """

    def send_nowait(self, data: bytes | memoryview) -> int:
        """How many bytes were taken just now; 0 if it is full."""

    def recv_nowait(self, most: int) -> bytes | None:
        """What has come; nothing at the end, `None` while there is nothing."""

    async def wait_readable(self) -> None: ...
    async def wait_writable(self) -> None: ...
    def wake(self) -> None:
        """Have whoever waits stop waiting, with `trio.ClosedResourceError`; nothing else changes."""

    def send_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


@frozen
class Bounds:
    """What a peer may take, in bytes and seconds; `hold` and `give_back` as in `Parser`."""

    message_size: int = 2**20
    message_timeout: float = inf
    send_timeout: float = 10.0
    hold: Callable[[int], bool] = field(default=lambda size: True)
    give_back: Callable[[int], None] = field(default=lambda size: None)


class Owner(Protocol):
    """Who writes to the socket."""

    def control(self, data: bytes, key: str) -> None:
        """Have a control frame written in its turn; of one *key* only the newest matters."""

    def goodbye(self, code: int | None) -> None:
        """Have the socket closed in its turn, because of what the peer sent."""


class StraightTransport:
    """An accepted WebSocket, with its socket.

    Args:
        first: What came after the handshake.

    Attributes:
        owner: Who writes to it, once there is somebody.
    """

    __slots__ = (
        "_answered",
        "_bounds",
        "_corked",
        "_due",
        "_first",
        "_heard_at",
        "_last",
        "_owed",
        "_parser",
        "_said_goodbye",
        "_says_goodbye",
        "_socket",
        "_torn",
        "_waits",
        "owner",
    )

    def __init__(self, socket: Socket, bounds: Bounds, first: bytes = b"") -> None:
        self._socket = socket
        self._bounds = bounds
        self._parser = Parser(bounds.message_size, bounds.hold, bounds.give_back)
        self._first = first
        self.owner: Owner | None = None
        # Writing: what is gathered; what is to be written before all else, if it was handed back;
        # whether nothing can be written any more; whether a Close is, or was.
        self._corked: list[bytes] | None = None
        self._owed: bytes | None = None
        self._torn = False
        self._says_goodbye = self._said_goodbye = False
        self._answered: trio.Event | None = None
        # Reading: the peer's last word; when it has to have finished a message; whether it can be heard.
        self._last: Closed | Broken | None = None
        self._due = inf
        self._waits = False
        self._heard_at = trio.current_time()

    # -- writing

    def send_nowait(self, data: bytes) -> bytes | None:
        """Write *data*, whole frames; what the socket does not take now is handed back.

        Only while nothing else is being written: the connection's actor sees to that.
        """
        if self._corked is not None:
            self._corked.append(data)
            return None
        if self._torn:
            return None
        try:
            sent = self._socket.send_nowait(data)
        except OSError:
            self._torn = True  # the reading side notices by itself
            return None
        if sent < len(data):
            self._owed = data[sent:]
        return self._owed

    def cork(self) -> None:
        """Gather what is written from here to `uncork`; nobody may wait in between."""
        self._corked = []

    def uncork(self) -> bytes | None:
        """Write what was gathered, all together; what the socket does not take now is handed back."""
        corked, self._corked = self._corked, None
        return self.send_nowait(b"".join(corked)) if corked else None

    async def send(self, frame: Frame) -> None:
        await self.write(frame.data)

    async def write(self, data: bytes) -> None:
        """Write all of *data*, waiting for the socket; a peer that does not take it in time is cut off."""
        owed, self._owed = self._owed, None
        if owed is not None and owed is not data:
            # A mailbox that is closed loses what was handed back; but a goodbye must not come amid a frame.
            data = owed + data
        left = self.send_nowait(data)
        if left is None:
            return
        self._owed = None
        rest = memoryview(left)
        # Shielded, for half a frame would spoil the next one; so it has a deadline.
        with trio.move_on_after(self._bounds.send_timeout, shield=True):
            while rest and not self._torn:
                try:
                    await self._socket.wait_writable()
                    rest = rest[self._socket.send_nowait(rest) :]
                except (OSError, trio.ClosedResourceError):
                    self._torn = True
        if rest:
            self.abort()

    async def close(self, code: int | None, reason: str) -> None:
        if self._says_goodbye:
            return
        self._says_goodbye = True
        await self.write(close_frame(code, reason))
        self._said_goodbye = True
        if self._answered is not None:
            self._answered.set()
        # Who reads is to hear of it: from now on the peer's time to answer counts.
        self._socket.wake()

    def abort(self) -> None:
        """Cut the socket off; whoever reads or writes it wakes up."""
        self._torn = True
        self._socket.abort()

    # -- reading

    @property
    def last_life(self) -> float:
        """When the peer last could be heard and was: now, while we are too busy to listen."""
        return self._heard_at if self._waits else trio.current_time()

    async def receive(self) -> list[str | bytes]:
        try:
            while self._last is None and (data := await self._read()) is not None:
                messages = self._take(data)
                if messages:
                    return messages
            await self._end()
        except trio.Cancelled:
            self._parser.deafen()
            raise
        return []

    async def _read(self) -> bytes | None:
        """The next bytes; `None` if there will be no more, or none that count."""
        if self._parser.has_more and not self._said_goodbye:
            await trio.lowlevel.checkpoint()
            return b""
        if self._first:
            first, self._first = self._first, b""
            return first
        self._waits, self._heard_at = True, trio.current_time()
        try:
            if self._parser.in_message:
                return await self._read_in_time()
            while not self._said_goodbye:
                await self._socket.wait_readable()
                data = self._socket.recv_nowait(READ)
                if data is not None:
                    return data or None
        except (OSError, trio.ClosedResourceError):
            pass  # gone; or we have said goodbye, and were woken
        finally:
            self._waits = False
        return None

    async def _read_in_time(self) -> bytes | None:
        """Within a message: the peer has to get on with it."""
        most = LONG_READ if self._parser.missing > READ else READ
        with trio.move_on_at(self._due):
            while not self._said_goodbye:
                await self._socket.wait_readable()
                data = self._socket.recv_nowait(most)
                if data is not None:
                    return data or None
            return None
        self._last = Broken(POLICY)
        return None

    def _take(self, data: bytes) -> list[str | bytes]:
        messages: list[str | bytes] = []
        for what in self._parser.feed(data):
            if isinstance(what, str | bytes):
                messages.append(what)
            elif isinstance(what, Ping):
                if self.owner is not None:
                    self.owner.control(frame(PONG, what.payload), "pong")
            else:
                self._last = what
        if not self._parser.in_message:
            self._due = inf
        elif self._due == inf or messages:
            self._due = trio.current_time() + self._bounds.message_timeout
        return messages

    # -- the end

    async def _end(self) -> None:
        """End the connection so that the peer reads all that was sent."""
        self._parser.deafen()
        if self._last is None and not self._said_goodbye:
            self._hang_up()  # it went without a word
            return
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self._say_goodbye()
            await self._hear_out()
        if not isinstance(self._last, Closed):
            # A socket closed with unread input sends RST, which destroys what the peer has not read yet.
            self._socket.send_eof()
            with trio.move_on_after(LINGER):
                while await self._more():
                    pass
        self._hang_up()

    async def _say_goodbye(self) -> None:
        """Have the peer's last word answered, unless we had ours already."""
        if not self._says_goodbye and self._last is not None and self.owner is not None:
            self.owner.goodbye(self._last.code)
        if not self._said_goodbye:
            self._answered = trio.Event()
            await self._answered.wait()

    async def _hear_out(self) -> None:
        """Wait for the peer's Close; what else comes does not count."""
        while self._last is None:
            if self._parser.has_more:
                await trio.lowlevel.checkpoint()
                self._take(b"")
            elif data := await self._more():
                self._take(data)
            else:
                return

    async def _more(self) -> bytes | None:
        """The next bytes; none if there will be no more."""
        try:
            while True:
                await self._socket.wait_readable()
                data = self._socket.recv_nowait(LONG_READ)
                if data is not None:
                    return data
        except (OSError, trio.ClosedResourceError):
            return None

    def _hang_up(self) -> None:
        self._torn = True
        self._socket.close()
