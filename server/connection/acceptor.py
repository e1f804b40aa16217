"""The WebSocket door: decides whether a socket gets in, and introduces it to the actors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import ActorError, ActorRef
from actors import origin as beginning
from server.chat import ConversationKey, Cursor, Draining, Refusal, Sender, StoreFailing
from server.messages import (
    Adopt,
    Close,
    ConnectionInfo,
    ConnectionMessage,
    ConnectionsMessage,
    ConversationMessage,
    Declined,
    Deliver,
    Dialect,
    DirectoryMessage,
    Follow,
    Join,
    Open,
    PipelineInfo,
    Register,
    RegistryMessage,
    StorageMessage,
)
from server.protocol import (
    SUBPROTOCOL,
    BadOpening,
    CloseCode,
    ErrorFrame,
    Level,
    Opening,
    OriginPolicy,
    encode,
    parse_query,
)

from .actor import DISCONNECTED
from .framing import text_frame
from .missed import Missed
from .patience import PATIENCE, insist
from .session import Pongs, Session, wait_closed
from .socket_port import Bounds, Socket
from .straight import StraightTransport
from .transport import AsgiTransport, Receive, Scope, Send, Transport

log: FilteringBoundLogger = structlog.get_logger(__name__)

_path = re.compile(r"/api/v1/pipelines/(?P<pipeline>.+)/ws/connect/?")


class Limited(Protocol):
    """What is known of the listener: its limits, and how much is held of unfinished messages."""

    limits: Any

    def hold_nowait(self, size: int) -> bool: ...
    def give_back(self, size: int) -> None: ...


class Offer(Protocol):
    """`extensions["triologue.stream"]` of a scope: a handshake that may be answered by taking the socket.

    What is put into `serve` runs once the application's call has returned, and serves the socket to its end.
    """

    socket: Socket
    listener: Limited
    serve: Callable[[], Awaitable[None]] | None

    async def accept(self, subprotocol: str | None) -> bytes: ...
    async def refuse(self, status: int, reason: str) -> None: ...


class Acceptor:
    """An ASGI application for WebSockets.

    Args:
        connections, registry, directory, storage: Told and asked as `server.messages` says.
        pipelines: Those there are, by uuid.
        origins: Which web pages may connect.
        now: The time of day, in UTC.
        new_id: Makes connection ids.
    """

    def __init__(
        self,
        *,
        connections: ActorRef[ConnectionsMessage],
        registry: ActorRef[RegistryMessage],
        directory: ActorRef[DirectoryMessage],
        storage: ActorRef[StorageMessage],
        pipelines: Mapping[str, PipelineInfo],
        origins: OriginPolicy,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._connections = connections
        self._registry = registry
        self._directory = directory
        self._storage = storage
        self._pipelines = pipelines
        self._origins = origins
        self._now = now
        self._new_id = new_id
        self._pongs = Pongs(now)
        self._bounds: Bounds | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end; or leave behind what does, where the socket itself is offered."""
        path = _path.fullmatch(scope["path"])
        offer: Offer | None = scope.get("extensions", {}).get("triologue.stream")
        if path is None:
            await (_not_found(scope, receive, send) if offer is None else offer.refuse(404, "Not Found"))
            return
        # Even what is refused is accepted first: only on an open socket a browser sees the reason.
        level: Level = 2 if SUBPROTOCOL in scope.get("subprotocols", ()) else 1
        chosen = SUBPROTOCOL if level == 2 else None
        try:
            visit = partial(self._serve, path["pipeline"], self._check(scope, path["pipeline"], level), level)
        except BadOpening as error:
            visit = partial(_turn_away, error)
        if offer is not None:
            first = await offer.accept(chosen)
            transport = StraightTransport(offer.socket, self._bounds_of(offer.listener), first)
            offer.serve = partial(visit, transport)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": chosen})
        await visit(AsgiTransport(receive, send))

    def _bounds_of(self, listener: Limited) -> Bounds:
        if self._bounds is None:
            limits = listener.limits
            self._bounds = Bounds(
                limits.message_size,
                limits.message_timeout,
                limits.send_timeout,
                listener.hold_nowait,
                listener.give_back,
            )
        return self._bounds

    def _check(self, scope: Scope, pipeline: str, level: Level) -> Opening:
        origin = _header(scope, b"origin")
        if origin is not None and not self._admits(scope, origin):
            raise BadOpening("Origin not allowed", "forbidden", CloseCode.FORBIDDEN)
        if pipeline not in self._pipelines:
            raise BadOpening("Pipeline not found", "not_found", CloseCode.NOT_FOUND)
        return parse_query(scope["query_string"].decode("latin-1"), level)

    def _admits(self, scope: Scope, origin: str) -> bool:
        listener = scope.get("extensions", {}).get("triologue.listener")
        return self._origins.admits(
            origin,
            scheme="https" if scope["scheme"] in ("wss", "https") else "http",
            host=_header(scope, b"host") or "",
            loopback_only=listener is not None and listener.loopback_only,
        )

    async def _serve(self, pipeline: str, opening: Opening, level: Level, transport: Transport) -> None:
        key = ConversationKey(pipeline, opening.session_type, opening.session_id)
        connection_id = self._new_id()
        begins = partial(beginning, "handshake", connection=connection_id, conversation=str(key))
        dialect: Dialect = opening.stream if level == 2 else "document"
        try:
            with begins():
                adopt = Adopt(connection_id, transport, dialect)
                ref = await self._connections.ask(adopt, timeout=PATIENCE)
        except ActorError as error:
            log.error("no connection for a client", conversation=key, error=error)
            await transport.close(CloseCode.INTERNAL_ERROR, "internal error")
            await wait_closed(transport)
            return
        user = _guest(opening, connection_id)
        scope = user.id if opening.guest is not None else ""
        info = ConnectionInfo(connection_id, key, user, self._now(), ref, scope)
        try:
            with begins():
                entered = await self._enter(info, opening.cursor)
            if entered is None:
                await wait_closed(transport)
                return
            conversation, missed = entered
            session = Session(
                info,
                transport,
                conversation=conversation,
                registry=self._registry,
                now=self._now,
                pongs=self._pongs,
                level=level,
            )
            if missed is None:
                del entered, adopt, opening
                await session.run()
                return
            async with trio.open_nursery() as nursery:
                with begins():
                    nursery.start_soon(self._catch_up, info, missed, conversation, name="websocket catch-up")
                await session.run()
                nursery.cancel_scope.cancel()
        except Exception:
            # A fault of ours, which the listener will log: the client is to hear so before it is cut off.
            with suppress(ActorError):
                ref.tell_nowait(Close(CloseCode.INTERNAL_ERROR, "internal error"))
            await wait_closed(transport)
            raise
        finally:
            ref.stop(DISCONNECTED)

    async def _enter(
        self, info: ConnectionInfo, cursor: str | None
    ) -> tuple[ActorRef[ConversationMessage], Missed | None] | None:
        """The conversation, joined, and what is to be told first.

        `None` once the connection was told to say no and close.
        """
        try:
            await insist(lambda: self._registry.ask(Register(info), timeout=PATIENCE))
            return await insist(partial(self._join, info, cursor))
        except Refusal as refusal:
            code = CloseCode.RESTART if isinstance(refusal, Draining) else CloseCode.FULL
            await _decline(info.ref, code, Declined(refusal.code, refusal.text, refusal.retry))
        except ActorError as error:
            log.error(
                "a client could not enter", connection=info.connection_id, conversation=info.key, error=error
            )
            declined = Declined("internal", "Internal error", retry=True)
            await _decline(info.ref, CloseCode.INTERNAL_ERROR, declined)
        return None

    async def _join(
        self, info: ConnectionInfo, cursor: str | None
    ) -> tuple[ActorRef[ConversationMessage], Missed | None]:
        conversation = await self._directory.ask(Open(info.key), timeout=PATIENCE)
        catch_up = await conversation.ask(Join(info, cursor), timeout=PATIENCE)
        await info.ref.tell(Follow(conversation))
        place = Cursor.parse(cursor or "")
        if catch_up is None or place is None:
            return conversation, None
        return conversation, Missed(info, catch_up, place, self._storage)

    async def _catch_up(
        self, info: ConnectionInfo, missed: Missed, conversation: ActorRef[ConversationMessage]
    ) -> None:
        try:
            await missed.tell(conversation)
        except StoreFailing as refusal:
            declined = Declined(refusal.code, "What was missed can't be read", retry=True)
            await _decline(info.ref, CloseCode.FULL, declined)


def _guest(opening: Opening, connection_id: str) -> Sender:
    """An anonymous client: the same each time if it has a secret of its own."""
    if opening.guest is None:
        return Sender(id=f"guest-{connection_id[:8]}", name="Guest")
    return Sender(id=f"guest-{blake2b(opening.guest.encode()).hexdigest()[:16]}", name="Guest")


async def _decline(ref: ActorRef[ConnectionMessage], code: CloseCode, why: Declined) -> None:
    with suppress(ActorError):  # it closes the socket by itself when it ends
        await ref.tell(Deliver(why))
        await ref.tell(Close(code, why.text))


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key.lower() == name:
            return str(value, "latin-1")
    return None


async def _turn_away(error: BadOpening, transport: Transport) -> None:
    await transport.send(text_frame(encode(ErrorFrame(error.text, error.code))))
    await transport.close(error.close_code, error.text)
    await wait_closed(transport)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-length", b"0")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close"})
