"""What leaves by a straight WebSocket: frames for what happened, written in the sender's task.

What its client has been told, and what of that was written, are one object: in a fan-out to a thousand
sockets nothing is in the processor's caches any more when its turn comes, so each object takes its time.
"""

from __future__ import annotations

from typing import Any

import trio
from attrs import frozen

from actors import Later
from server.messages import Announced, ConnectionMessage, Deliver, Dialect

from .outbox import Hole, Outbox
from .socket_port import Owner, Socket
from .wire import WHOLE, Greeting

# So many bytes of several frames are written together. More would not cost less, and what the socket does not
# take of it is this connection's own, while a frame that waits in the mailbox is shared and may be replaced.
JOINED = 2**16


@frozen
class Unwritten(ConnectionMessage):
    """What the socket did not take at once: the end of a frame, or frames."""

    data: bytes


@frozen
class Control(ConnectionMessage):
    """Write a control frame; of one *key* the newest is enough."""

    data: bytes
    key: str


class Output(Outbox, Later):
    """Makes frames and writes them; before `begin`, it only writes.

    Args:
        timeout: Seconds that the peer has to take what is written.

    Attributes:
        owner: Who writes to the socket, once there is somebody.
        torn: Whether nothing can be written any more.
    """

    __slots__ = ("_owed", "_prepared", "_socket", "_timeout", "owner", "torn")

    def __init__(self, socket: Socket, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout
        self.owner: Owner | None = None
        self.torn = False
        # What `finish` will write; a list while it is gathered, until `uncork`.
        self._prepared: Any = None
        # What is to be written before all else, if it was handed back.
        self._owed: bytes | None = None

    def begin(self, dialect: Dialect, greeting: Greeting) -> None:
        """From now on the client is told what happens, in its *dialect*."""
        super().__init__(dialect, greeting)

    def consume(self, message: ConnectionMessage) -> ConnectionMessage | Later | None:
        """Prepare what `finish` writes; as `Actor.consume` of the connection."""
        data: bytes
        prepared = self._prepared
        if type(message) is Deliver:
            event = message.event
            if prepared is not None and type(prepared) is bytes and len(prepared) + event.weight > JOINED:
                return message
            # An announcement is told to very many at a time, and to each in the same words.
            made = event.encodings.get(WHOLE) if type(event) is Announced else None
            if made is None:
                try:
                    made = self.frames(event)
                except Hole:
                    return message
                if made is None:
                    return None
            data = made
        elif isinstance(message, Control):
            data = message.data
        else:
            return message
        if prepared is None:
            self._prepared = data
            return self
        if isinstance(prepared, bytes):
            self._prepared = prepared + data
        else:
            prepared.append(data)
        return None

    def finish(self) -> Unwritten | None:
        """Write it, as far as the socket takes it now."""
        data: Any = self._prepared
        self._prepared = None
        if data is None or self.torn:
            return None
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.torn = True  # the reading side notices by itself
            return None
        if sent == len(data):
            return None
        self._owed = data[sent:]
        return Unwritten(self._owed)

    def write_nowait(self, data: bytes) -> bytes | None:
        """Write *data*, whole frames; what the socket does not take now is handed back.

        Only while nothing else is being written: the connection's actor sees to that.
        """
        self._prepared = data
        left = self.finish()
        return None if left is None else left.data

    async def write(self, data: bytes) -> None:
        """Write all of *data*, waiting for the socket; a peer that does not take it in time is cut off."""
        owed, self._owed = self._owed, None
        if owed is not None and owed is not data:
            # A mailbox that is closed loses what was handed back; but a goodbye must not come amid a frame.
            data = owed + data
        left = self.write_nowait(data)
        if left is None:
            return
        self._owed = None
        rest = memoryview(left)
        # Shielded, for half a frame would spoil the next one; so it has a deadline.
        with trio.move_on_after(self._timeout, shield=True):
            while rest and not self.torn:
                try:
                    await self._socket.wait_writable()
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    pass
                except (OSError, trio.ClosedResourceError):
                    self.torn = True
        if rest:
            self.abort()

    async def go_on(self, data: bytes) -> None:
        """Write *data*, which was handed back, unless that was done with something that came between."""
        if data is self._owed:
            await self.write(data)

    def abort(self) -> None:
        """Cut the socket off; whoever reads or writes it wakes up."""
        self.torn = True
        self._socket.abort()

    def cork(self) -> None:
        """Gather what is told from here to `uncork`; nobody may wait in between."""
        self._prepared = []

    def uncork(self) -> None:
        """Write what was gathered, all together."""
        gathered, self._prepared = self._prepared, None
        if gathered:
            left = self.write_nowait(b"".join(gathered))
            if left is not None and self.owner is not None:
                self.owner.go_on(left)
