"""The WebSocket door: decides whether a socket gets in, and introduces it to the actors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog
from structlog.typing import FilteringBoundLogger

from actors import ActorDied, ActorError, ActorRef, RecipientStopped
from actors import origin as beginning
from server.chat import ConversationKey, Sender
from server.messages import (
    Adopt,
    Close,
    ConnectionInfo,
    ConnectionMessage,
    ConnectionsMessage,
    ConversationMessage,
    Declined,
    Deliver,
    DirectoryMessage,
    Draining,
    Follow,
    Join,
    Open,
    PipelineInfo,
    Refusal,
    Register,
    RegistryMessage,
)
from server.protocol import BadOpening, CloseCode, ErrorFrame, Opening, OriginPolicy, encode, parse_query

from .actor import DISCONNECTED
from .session import Session, wait_closed
from .transport import AsgiTransport, Receive, Scope, Send, Transport

log: FilteringBoundLogger = structlog.get_logger(__name__)

# How long the actors may take to let a socket in.
PATIENCE = 10.0
# How often a conversation may be gone again before it could be joined.
ATTEMPTS = 3

_path = re.compile(r"/api/v1/pipelines/(?P<pipeline>.+)/ws/connect/?")


class Acceptor:
    """An ASGI application for WebSockets.

    Args:
        connections, registry, directory: Told and asked as `server.messages` says.
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
        pipelines: Mapping[str, PipelineInfo],
        origins: OriginPolicy,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._connections = connections
        self._registry = registry
        self._directory = directory
        self._pipelines = pipelines
        self._origins = origins
        self._now = now
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end."""
        await receive()  # websocket.connect
        path = _path.fullmatch(scope["path"])
        if path is None:
            await _not_found(scope, send)
            return
        # Even what is refused is accepted first: only on an open socket a browser sees the reason.
        await send({"type": "websocket.accept"})
        transport = AsgiTransport(send)
        try:
            opening = self._check(scope, path["pipeline"])
        except BadOpening as error:
            await transport.send(encode(ErrorFrame(error.text, error.code)))
            await transport.close(error.close_code, error.text)
            return
        key = ConversationKey(path["pipeline"], opening.session_type, opening.session_id)
        await self._serve(key, transport, receive)

    def _check(self, scope: Scope, pipeline: str) -> Opening:
        origin = _header(scope, b"origin")
        if origin is not None and not self._admits(scope, origin):
            raise BadOpening("Origin not allowed", "forbidden", CloseCode.FORBIDDEN)
        if pipeline not in self._pipelines:
            raise BadOpening("Pipeline not found", "not_found", CloseCode.NOT_FOUND)
        return parse_query(scope["query_string"].decode("latin-1"))

    def _admits(self, scope: Scope, origin: str) -> bool:
        listener = scope.get("extensions", {}).get("triologue.listener")
        return self._origins.admits(
            origin,
            scheme="https" if scope["scheme"] in ("wss", "https") else "http",
            host=_header(scope, b"host") or "",
            loopback_only=listener is not None and listener.loopback_only,
        )

    async def _serve(self, key: ConversationKey, transport: Transport, receive: Receive) -> None:
        connection_id = self._new_id()
        begins = partial(beginning, "handshake", connection=connection_id, conversation=str(key))
        try:
            with begins():
                ref = await self._connections.ask(Adopt(connection_id, transport), timeout=PATIENCE)
        except ActorError as error:
            log.error("no connection for a client", conversation=key, error=error)
            await transport.close(CloseCode.INTERNAL_ERROR, "internal error")
            return
        user = Sender(id=f"guest-{connection_id[:8]}", name="Guest")
        info = ConnectionInfo(connection_id, key, user, self._now(), ref)
        try:
            with begins():
                conversation = await self._enter(info)
            if conversation is None:
                await wait_closed(receive)
            else:
                session = Session(info, conversation=conversation, registry=self._registry, now=self._now)
                await session.run(receive)
        finally:
            ref.stop(DISCONNECTED)

    async def _enter(self, info: ConnectionInfo) -> ActorRef[ConversationMessage] | None:
        """The conversation, joined; or `None` once the connection was told to say no and close."""
        try:
            await self._registry.ask(Register(info), timeout=PATIENCE)
            return await self._join(info)
        except Refusal as refusal:
            code = CloseCode.RESTART if isinstance(refusal, Draining) else CloseCode.FULL
            await _decline(info.ref, code, Declined(refusal.code, refusal.text, retry=True))
        except ActorError as error:
            log.error(
                "a client could not enter", connection=info.connection_id, conversation=info.key, error=error
            )
            declined = Declined("internal", "Internal error", retry=True)
            await _decline(info.ref, CloseCode.INTERNAL_ERROR, declined)
        return None

    async def _join(self, info: ConnectionInfo) -> ActorRef[ConversationMessage]:
        for attempt in range(ATTEMPTS):
            conversation = await self._directory.ask(Open(info.key), timeout=PATIENCE)
            try:
                await conversation.ask(Join(info), timeout=PATIENCE)
            except (ActorDied, RecipientStopped):
                # It left as unused just before, or crashed: there will be another.
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                await info.ref.tell(Follow(conversation))
                return conversation
        raise AssertionError("unreachable")


async def _decline(ref: ActorRef[ConnectionMessage], code: CloseCode, why: Declined) -> None:
    with suppress(ActorError):  # it closes the socket by itself when it ends
        await ref.tell(Deliver(why))
        await ref.tell(Close(code, why.text))


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key.lower() == name:
            return str(value, "latin-1")
    return None


async def _not_found(scope: Scope, send: Send) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-length", b"0")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close"})
