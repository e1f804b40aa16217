"""A WebSocket that lives in memory. It is as bad as a network: it is cut at any moment, and slow.

`Wire` is one as its client has it; `AsgiWire` one whose server's end speaks ASGI. That of `StraightWire`, in
`straight_wire.py`, is a byte stream.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

Frame = dict[str, Any]

# How many frames the network holds for a client that does not read.
WINDOW = 4
# As in the listener: whoever takes longer to take a frame is cut off.
SEND_TIMEOUT = 10.0


class Closed(Exception):
    """The socket is over; *code* is the server's, 1006 if it was cut."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Wire(ABC):
    """One socket."""

    @property
    @abstractmethod
    def gone(self) -> bool:
        """Whether the server's side of it has ended; frames may be left to read."""

    @property
    def left(self) -> bool:
        """Whether the client has left, and the server does not know it yet."""
        return False

    @abstractmethod
    def send(self, frame: Frame | str) -> None:
        """Send *frame*, if somebody is still there."""

    @abstractmethod
    async def receive(self) -> Frame:
        """The next frame.

        Raises:
            Closed: There is none any more.
        """

    @abstractmethod
    def cut(self, *, arrives: bool = True) -> None:
        """The client leaves; unless *arrives*, what the network holds for the server is lost."""

    @abstractmethod
    def hang_up(self) -> None:
        """The server's process, or its listener, ends the socket at once, if it has not ended."""


class AsgiWire(Wire):
    """One that is served as by any ASGI server.

    What was sent and not yet received is lost when it is cut, and a client that does not read holds the
    server's `send` up, until the listener gives up.

    Args:
        heard: Called with each frame as the server gives it away.
        ended: Called once, with the code and reason of the end; 1006 if nobody said goodbye.
    """

    def __init__(self, heard: Callable[[Frame], None], ended: Callable[[int, str], None]) -> None:
        self._heard = heard
        self._ended = ended
        self._up: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._down: deque[Frame] = deque()
        self._changed = trio.Event()
        self._gone: Closed | None = None

    @property
    def gone(self) -> bool:
        return self._gone is not None

    # -- the client's end

    def send(self, frame: Frame | str) -> None:
        if self._gone is None:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            self._up.append({"type": "websocket.receive", "text": text})
            self._change()

    async def receive(self) -> Frame:
        await trio.lowlevel.checkpoint()
        while not self._down:
            if self._gone is not None:
                raise self._gone
            await self._changed.wait()
        frame = self._down.popleft()
        self._change()
        return frame

    def cut(self, *, arrives: bool = True) -> None:
        if self._gone is None:
            if not arrives:
                self._up.clear()
            self._end(Closed(1006))
        self._down.clear()

    # -- the server's end

    async def asgi_receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        while not self._up:
            await self._changed.wait()
        return self._up.popleft()

    async def asgi_send(self, event: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if self._gone is not None:
            return  # as a real listener does: nobody is there
        match event["type"]:
            case "websocket.send":
                await self._give(json.loads(event["text"]))
            case "websocket.close":
                self._end(Closed(event["code"], event.get("reason") or ""))

    def hang_up(self) -> None:
        self.cut()

    async def _give(self, frame: Frame) -> None:
        self._heard(frame)
        with trio.move_on_after(SEND_TIMEOUT) as patience:
            while len(self._down) >= WINDOW and self._gone is None:
                await self._changed.wait()
        if patience.cancelled_caught:
            self.cut()
        elif self._gone is None:
            self._down.append(frame)
            self._change()

    def _end(self, how: Closed) -> None:
        self._gone = how
        self._up.append({"type": "websocket.disconnect", "code": how.code})
        self._ended(how.code, how.reason)
        self._change()

    def _change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
