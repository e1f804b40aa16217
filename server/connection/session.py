"""The reading side of a socket: takes a client's frames and tells the actors. Runs in the server's task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import get_args

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef, Question, origin
from server.chat import Refusal
from server.messages import (
    TOO_SLOW,
    Acked,
    Active,
    Close,
    ConnectionInfo,
    ConnectionMessage,
    ConversationMessage,
    Declined,
    Deliver,
    EditMessage,
    Event,
    Flush,
    MarkAsRead,
    Ponged,
    RecallMessage,
    RegenerateReply,
    RegistryMessage,
    Say,
    StopReply,
)
from server.protocol import (
    AuthenticateFrame,
    BadFrame,
    ClientFrame,
    CloseCode,
    DisconnectFrame,
    EditFrame,
    IgnoredFrame,
    Level,
    MessageFrame,
    OrderFrame,
    PingFrame,
    ReadFrame,
    RecallFrame,
    RegenerateFrame,
    RequestFrame,
    StopFrame,
    decode,
)

from .transport import Transport

log: FilteringBoundLogger = structlog.get_logger(__name__)

# How long a conversation may take to do what it is asked before the client is told to try again.
PATIENCE = 30.0
# Frames that answer the client's own may fill only this much of its mailbox, so that a client that sends a
# burst is slowed down instead of being taken for a slow reader.
UNFLUSHED = 16
# The registry hears at most this often (seconds) that a client is active.
ACTIVITY_REPORT = 1.0
_MILLISECOND = timedelta(milliseconds=1)

_names = {
    **{kind: f"{kind.type} frame" for kind in get_args(RequestFrame)},
    PingFrame: "ping frame",
    DisconnectFrame: "disconnect frame",
    BadFrame: "bad frame",
}


class Pongs:
    """Answers to pings: they tell the time in milliseconds, so all sockets share those of one millisecond."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._latest: Deliver | None = None
        self._from = self._until = datetime.min.replace(tzinfo=UTC)

    def now(self) -> Deliver:
        moment = self._now()
        if self._latest is None or not self._from <= moment < self._until:
            self._from = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
            self._until = self._from + _MILLISECOND
            self._latest = Deliver(Ponged(moment))
        return self._latest


class Session:
    """One client's frames, from `connected` to the end of its socket."""

    def __init__(
        self,
        info: ConnectionInfo,
        transport: Transport,
        *,
        conversation: ActorRef[ConversationMessage],
        registry: ActorRef[RegistryMessage],
        now: Callable[[], datetime],
        pongs: Pongs,
        level: Level = 1,
    ) -> None:
        self._info = info
        self._transport = transport
        self._level: Level = level
        self._connection: ActorRef[ConnectionMessage] = info.ref
        self._conversation = conversation
        self._registry = registry
        self._now = now
        self._pongs = pongs
        self._unflushed = 0
        self._labels = {"connection": info.connection_id, "conversation": str(info.key)}
        self._reported = float("-inf")

    async def run(self) -> None:
        """Serve the client until its socket is closed, by whom ever."""
        self._transport.at_once = self._answer_at_once
        try:
            while messages := await self._transport.receive():
                for message in messages:
                    if not await self._take(message):
                        await wait_closed(self._transport)
                        return
                del message, messages  # it may be large, and the next may be long in coming
        except ActorError:
            # The connection has ended, and says goodbye; or it can't keep up with its client.
            self._connection.stop(TOO_SLOW)
            with trio.move_on_after(PATIENCE):
                await wait_closed(self._transport)
        finally:
            self._transport.at_once = None

    def _answer_at_once(self, messages: Sequence[str | bytes]) -> int:
        """Answer the pings that come first, as far as that needs no waiting; how many they were."""
        answered = 0
        for message in messages:
            # While answers wait to be written, more are not to pile up behind them.
            if type(_decoded(message, self._level)) is not PingFrame or not self._connection.idle:
                break
            with origin(_names[PingFrame], **self._labels):
                if answered == 0:
                    self._report_activity()
                self._connection.tell_nowait(self._pongs.now())
            answered += 1
        return answered

    async def _take(self, message: str | bytes) -> bool:
        """React to one frame; false if it was the last."""
        frame = _decoded(message, self._level)
        # Whatever comes of it, in whichever actor, is marked with it.
        with origin(_names.get(type(frame), "ignored frame"), **self._labels):
            self._report_activity()
            match frame:
                case PingFrame():
                    await self._tell(self._pongs.now())
                case DisconnectFrame():
                    await self._connection.tell(Close(CloseCode.DISCONNECT, "goodbye"))
                    return False
                case BadFrame():
                    await self._reply(Declined(frame.code, frame.text, client_msg_id=frame.client_msg_id))
                case AuthenticateFrame() | IgnoredFrame():
                    pass
                case _:
                    await self._request(frame)
        return True

    async def _request(self, frame: RequestFrame) -> None:
        receipt = None
        try:
            if isinstance(frame, MessageFrame):
                receipt = await self._conversation.ask(self._words(frame), timeout=PATIENCE)
            else:
                await self._conversation.ask(self._order(frame), timeout=PATIENCE)
        except Refusal as refusal:
            await self._decline(frame, refusal.code, refusal.text, retry=refusal.retry)
        except ActorError as error:
            connection = self._info.connection_id
            log.warning("a frame was not taken", connection=connection, frame=frame.type, error=error)
            await self._decline(frame, "internal", f"The {frame.type} was not accepted", retry=True)
        else:
            if receipt is not None and frame.client_msg_id is not None:
                acked = Acked(frame.client_msg_id, receipt.id, receipt.seq, receipt.duplicate)
                await self._reply(acked)

    def _words(self, frame: MessageFrame) -> Say:
        info = self._info
        return Say(
            frame.message,
            info.user,
            info.connection_id,
            frame.stream,
            scope=info.scope,
            client_msg_id=frame.client_msg_id,
            reply_to=frame.reply_to,
            expires_at=frame.expires_at,
        )

    def _order(self, frame: OrderFrame) -> Question[ConversationMessage, None]:
        by = self._info.user.id
        match frame:
            case StopFrame():
                return StopReply(by, frame.id)
            case RegenerateFrame():
                return RegenerateReply(frame.id, by)
            case EditFrame():
                return EditMessage(frame.id, by, frame.message)
            case RecallFrame():
                return RecallMessage(frame.id, by)
            case ReadFrame():
                return MarkAsRead(by, frame.up_to)

    async def _decline(self, frame: RequestFrame, code: str, text: str, *, retry: bool) -> None:
        await self._reply(Declined(code, text, retry, frame.client_msg_id))

    async def _reply(self, event: Event) -> None:
        await self._tell(Deliver(event))

    async def _tell(self, message: Deliver) -> None:
        await self._connection.tell(message)
        self._unflushed = 0 if self._connection.idle else self._unflushed + 1
        if self._unflushed >= UNFLUSHED:
            self._unflushed = 0
            await self._connection.ask(Flush(), timeout=PATIENCE)

    def _report_activity(self) -> None:
        moment = trio.current_time()
        if moment - self._reported >= ACTIVITY_REPORT:
            self._reported = moment
            with suppress(ActorError):  # a statistic; the next frame brings it
                self._registry.tell_nowait(Active(self._info.connection_id, self._now()))


def _decoded(message: str | bytes, level: Level) -> ClientFrame | BadFrame:
    try:
        if isinstance(message, bytes):
            raise BadFrame("Binary frames are not supported")
        return decode(message, level)
    except BadFrame as error:
        # Its traceback leads to this frame, and through it to itself: a cycle for the collector.
        return error.with_traceback(None)


async def wait_closed(transport: Transport) -> None:
    """Read a socket that is being closed to its end; what still comes does not count."""
    while await transport.receive():
        pass
