"""The client's end of a WebSocket, with trio-websocket's rough edges taken off.

`trio_websocket.open_websocket` leaves its TCP socket open when the server closes first; therefore the stream
is opened, and closed, here.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import trio
from trio_websocket import (
    CloseReason,
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

SUBPROTOCOL = "triologue.v1"
"""What is offered; a server that speaks it says so by `socket.subprotocol`."""

LARGEST_FRAME = 2**26
ANSWER_WITHIN = 20.0
GOODBYE_WITHIN = 2.0


class Unreachable(Exception):
    """There is no WebSocket to be had at an address. Its text is one line, and holds no password."""


@asynccontextmanager
async def open_socket(url: str) -> AsyncIterator[WebSocketConnection]:
    """A WebSocket to *url*, closed at the end.

    What the body raises arrives outside in a group; let no `ConnectionClosed` escape from it.

    Raises:
        Unreachable: Nobody listens, answers, or wants to.
    """
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        stream = await _connect(parts.scheme, parts.hostname or "", parts.port)
    except (OSError, trio.BrokenResourceError) as error:
        raise Unreachable(f"{host} can't be reached{_because(error)}") from None
    problem = "does not answer as a WebSocket server"
    opened = False
    try:
        async with stream, trio.open_nursery() as nursery:
            resource = urlunsplit(("", "", parts.path, parts.query, ""))
            with trio.move_on_after(ANSWER_WITHIN):
                socket = await wrap_client_stream(
                    nursery,
                    stream,
                    parts.netloc.rpartition("@")[2],
                    resource,
                    subprotocols=[SUBPROTOCOL],
                    max_message_size=LARGEST_FRAME,
                )
                opened = True
            if opened:
                yield socket
                with trio.move_on_after(GOODBYE_WITHIN):
                    await socket.aclose()
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:
        rejections = [error for error in group.exceptions if isinstance(error, ConnectionRejected)]
        problem = "refused" + "".join(f": HTTP {rejection.status_code}" for rejection in rejections)
    if not opened:
        raise Unreachable(f"{host} {problem}")


async def receive(socket: WebSocketConnection) -> Mapping[str, Any]:
    """The next frame that is a JSON object.

    Raises:
        ConnectionClosed: There is none any more.
    """
    while True:
        with suppress(ValueError, RecursionError):
            frame = json.loads(await socket.get_message())
            if isinstance(frame, dict):
                return frame


async def send(socket: WebSocketConnection, frame: Mapping[str, Any]) -> None:
    """Send *frame*.

    Raises:
        ConnectionClosed: It is not known to have arrived.
    """
    await socket.send_message(json.dumps(frame))


async def watch(socket: WebSocketConnection, listening: trio.CancelScope) -> None:
    """Ping now and then, and stop *listening* when no pong comes: a network that went away says nothing."""
    with suppress(ConnectionClosed):
        while True:
            await trio.sleep(30)
            with trio.move_on_after(20) as waiting:
                await socket.ping()
            if waiting.cancelled_caught:
                listening.cancel()


def why(reason: CloseReason | None) -> str:
    """*reason* on one line."""
    return " ".join(f"{reason.code} {reason.reason or ''}".split()) if reason else "without a word"


async def _connect(
    scheme: str, host: str, port: int | None
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    if scheme == "ws":
        return await trio.open_tcp_stream(host, port or 80)
    context = ssl.create_default_context()
    stream = await trio.open_ssl_over_tcp_stream(
        host, port or 443, ssl_context=context, https_compatible=True
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


def _because(error: BaseException) -> str:
    """What the system said, which trio wraps: once for TLS, and once for each address that was tried."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "strerror", None) is None:
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__
    said = str(getattr(cause, "strerror", None) or error)
    # "Error connecting to ('127.0.0.1', 1): Connection refused": the address is told already.
    return f": {said.rpartition('): ')[2]}"
