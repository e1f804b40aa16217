"""A WebSocket on the TCP socket itself: frames leave in the sender's task, as long as the socket takes them.

Everything that is written passes through the connection's actor, in order: at once while it is idle, else by
its mailbox. So there is never more than one frame that is partly written, and nothing waits elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import trio

from .framing import PONG, close_frame, frame
from .output import Output
from .rfc6455 import POLICY, Broken, Closed, Happening, Parser, Ping
from .socket_port import Bounds, Socket

# Bytes of one read: little enough that many talkative peers take turns; and of one within a long message.
READ, LONG_READ = 2**14, 2**16
# Seconds the peer has to answer our Close with its own; and to read what was sent before we hang up.
CLOSE_TIMEOUT = 1.0
LINGER = 2.0
_MESSAGES = (str, bytes)  # a tuple: a union would be made anew for each frame


class StraightTransport:
    """An accepted WebSocket, with its socket.

    Args:
        first: What came after the handshake.

    Attributes:
        output: Its writing side.
        at_once: As in `Transport`.
    """

    __slots__ = (
        "_answered",
        "_arrived",
        "_bounds",
        "_due",
        "_fault",
        "_first",
        "_heard_at",
        "_last",
        "_parser",
        "_said_goodbye",
        "_says_goodbye",
        "_socket",
        "_waits",
        "at_once",
        "output",
    )

    def __init__(self, socket: Socket, bounds: Bounds, first: bytes = b"") -> None:
        self._socket = socket
        self._bounds = bounds
        self._parser = Parser(bounds.message_size, bounds.hold, bounds.give_back)
        self._first = first
        self.output = Output(socket, bounds.send_timeout)
        self.at_once: Callable[[Sequence[str | bytes]], int] | None = None
        # Writing: whether a Close is, or was.
        self._says_goodbye = self._said_goodbye = False
        self._answered: trio.Event | None = None
        # Reading: what was parsed and not yet given out; the peer's last word; when it has to have finished a
        # message; what failed when it was answered at once; whether it can be heard.
        self._arrived: list[Happening] = []
        self._last: Closed | Broken | None = None
        self._due = inf
        self._fault: Exception | None = None
        self._waits = False
        self._heard_at = trio.current_time()

    # -- writing

    async def send(self, frames: bytes) -> None:
        await self.output.write(frames)

    async def close(self, code: int | None, reason: str) -> None:
        if self._says_goodbye:
            return
        self._says_goodbye = True
        await self.output.write(close_frame(code, reason))
        self._said_goodbye = True
        if self._answered is not None:
            self._answered.set()
        # Who reads is to hear of it: from now on the peer's time to answer counts.
        self._socket.wake()

    def abort(self) -> None:
        """Cut the socket off; whoever reads or writes it wakes up."""
        self.output.abort()

    # -- reading

    @property
    def last_life(self) -> float:
        """When the peer last could be heard and was: now, while we are too busy to listen."""
        return self._heard_at if self._waits else trio.current_time()

    async def receive(self) -> list[str | bytes]:
        try:
            while self._last is None and (happened := await self._happenings()):
                messages = self._take(happened)
                if messages:
                    return messages
            await self._end()
        except trio.Cancelled:
            self._parser.deafen()
            raise
        return []

    async def _happenings(self) -> list[Happening]:
        """What comes next; nothing if nothing will, or nothing that counts."""
        self._raise_fault()
        while not self._arrived:
            data: bytes | None = b""
            if self._parser.has_more and not self._said_goodbye:
                await trio.lowlevel.checkpoint()
            elif self._first:
                data, self._first = self._first, b""
            else:
                data = await self._read()
            self._raise_fault()
            if data is None:
                break
            self._arrived += self._parsed(data)
        arrived, self._arrived = self._arrived, []
        return arrived

    async def _read(self) -> bytes | None:
        """The next bytes, none if some were taken already; `None` if there will be no more that count."""
        self._waits, self._heard_at = True, trio.current_time()
        try:
            while not self._said_goodbye:
                if self._parser.in_message:
                    return await self._read_in_time()
                await self._socket.wait_readable(self._glance)
                if self._arrived or self._parser.has_more:
                    return b""
                data = self._socket.recv_nowait(READ)
                if data is not None:
                    return data or None
        except (OSError, trio.ClosedResourceError):
            pass  # gone; or we have said goodbye, and were woken
        finally:
            self._waits = False
        return None

    def _glance(self, later: list[Callable[[], None]]) -> bool:
        """Take what has come, in the task that noticed; true if all of that is dealt with.

        What is said to that leaves together, and *later*, with what is said to others: system calls that
        follow each other without work in between cost less, and whoever reads wakes up less often.
        """
        if self.at_once is None:
            return False
        try:
            data = self._socket.recv_nowait(READ)
        except OSError:
            return False  # whoever waits will see
        if not data:
            return data is None
        self._heard_at = trio.current_time()
        happened = self._parsed(data)
        messages = [what for what in happened if isinstance(what, _MESSAGES)]
        if len(messages) == len(happened) and messages:
            self.output.cork()
            later.append(self._answer)
            del happened[: self.at_once(messages)]
        self._arrived = happened
        return not happened and not self._parser.in_message

    def _answer(self) -> None:
        try:
            self.output.uncork()
        except Exception as error:
            # Not the trouble of whoever noticed, who has all others to look after.
            self._fault = error
            self._socket.wake()

    def _raise_fault(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

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

    def _parsed(self, data: bytes) -> list[Happening]:
        happened = self._parser.feed(data)
        if not self._parser.in_message:
            self._due = inf
        elif self._due == inf or any(isinstance(what, _MESSAGES) for what in happened):
            self._due = trio.current_time() + self._bounds.message_timeout
        return happened

    def _take(self, happened: list[Happening]) -> list[str | bytes]:
        messages: list[str | bytes] = []
        for what in happened:
            if isinstance(what, _MESSAGES):
                messages.append(what)
            elif isinstance(what, Ping):
                if self.output.owner is not None:
                    self.output.owner.control(frame(PONG, what.payload), "pong")
            else:
                self._last = what
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
        if not self._says_goodbye and self._last is not None and self.output.owner is not None:
            self.output.owner.goodbye(self._last.code)
        if not self._said_goodbye:
            self._answered = trio.Event()
            await self._answered.wait()

    async def _hear_out(self) -> None:
        """Wait for the peer's Close; what else comes does not count."""
        while self._last is None:
            if self._parser.has_more:
                await trio.lowlevel.checkpoint()
                self._take(self._parsed(b""))
            elif data := await self._more():
                self._take(self._parsed(data))
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
        self.output.torn = True
        self._socket.close()
