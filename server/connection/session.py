"""The reading side of a socket: takes a client's frames and tells the actors. Runs in the server's task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef, origin
from server.messages import (
    Active,
    Close,
    ConnectionInfo,
    ConnectionMessage,
    ConversationMessage,
    Declined,
    Deliver,
    Event,
    Flush,
    Ponged,
    Refusal,
    RegistryMessage,
    Say,
)
from server.protocol import (
    BadFrame,
    ClientFrame,
    CloseCode,
    DisconnectFrame,
    MessageFrame,
    PingFrame,
    decode,
)

from .transport import AsgiEvent, Receive

log: FilteringBoundLogger = structlog.get_logger(__name__)

# How long a conversation may take to accept a message before its sender is told to try again.
PATIENCE = 30.0
# Frames that answer the client's own may fill only this much of its mailbox, so that a client that sends a
# burst is slowed down instead of being taken for a slow reader.
UNFLUSHED = 16
# The registry hears at most this often (seconds) that a client is active.
ACTIVITY_REPORT = 1.0

_names = {
    MessageFrame: "message frame",
    PingFrame: "ping frame",
    DisconnectFrame: "disconnect frame",
    BadFrame: "bad frame",
}


class Session:
    """One client's frames, from `connected` to the end of its socket."""

    def __init__(
        self,
        info: ConnectionInfo,
        *,
        conversation: ActorRef[ConversationMessage],
        registry: ActorRef[RegistryMessage],
        now: Callable[[], datetime],
    ) -> None:
        self._info = info
        self._connection: ActorRef[ConnectionMessage] = info.ref
        self._conversation = conversation
        self._registry = registry
        self._now = now
        self._unflushed = 0
        self._labels = {"connection": info.connection_id, "conversation": str(info.key)}
        self._reported = float("-inf")

    async def run(self, receive: Receive) -> None:
        """Serve the client until its socket is closed, by whom ever."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                goes_on = await self._take(event)
            except ActorError:
                return  # the connection has ended, and closes the socket
            if not goes_on:
                break
            del event  # it may be large, and the next may be long in coming
        await wait_closed(receive)

    async def _take(self, event: AsgiEvent) -> bool:
        """React to one frame; false if it was the last."""
        frame = _decoded(event)
        # Whatever comes of it, in whichever actor, is marked with it.
        with origin(_names.get(type(frame), "ignored frame"), **self._labels):
            self._report_activity()
            match frame:
                case MessageFrame():
                    await self._say(frame)
                case PingFrame():
                    await self._reply(Ponged(self._now()))
                case DisconnectFrame():
                    await self._connection.tell(Close(CloseCode.DISCONNECT, "goodbye"))
                    return False
                case BadFrame():
                    await self._reply(Declined(frame.code, frame.text))
        return True

    async def _say(self, frame: MessageFrame) -> None:
        info = self._info
        message = Say(frame.message, info.user, info.connection_id, frame.stream)
        try:
            await self._conversation.ask(message, timeout=PATIENCE)
        except Refusal as refusal:
            await self._reply(Declined(refusal.code, refusal.text, refusal.retry))
        except ActorError as error:
            log.warning("a message was not taken", connection=info.connection_id, error=error)
            await self._reply(Declined("internal", "The message was not accepted", retry=True))

    async def _reply(self, event: Event) -> None:
        await self._connection.tell(Deliver(event))
        self._unflushed += 1
        if self._unflushed >= UNFLUSHED:
            self._unflushed = 0
            await self._connection.ask(Flush(), timeout=PATIENCE)

    def _report_activity(self) -> None:
        moment = trio.current_time()
        if moment - self._reported >= ACTIVITY_REPORT:
            self._reported = moment
            with suppress(ActorError):  # a statistic; the next frame brings it
                self._registry.tell_nowait(Active(self._info.connection_id, self._now()))


def _decoded(event: AsgiEvent) -> ClientFrame | BadFrame:
    text = event.get("text")
    try:
        if text is None:
            raise BadFrame("Binary frames are not supported")
        return decode(text)
    except BadFrame as error:
        # Its traceback leads to this frame, and through it to itself: a cycle for the collector.
        return error.with_traceback(None)


async def wait_closed(receive: Receive) -> None:
    """Read a socket that is being closed to its end; what still comes does not count."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
