"""`triologue chat`: a conversation in the terminal, over the same WebSocket that browsers use."""

from __future__ import annotations

import argparse
import random
import re
import secrets
import sys
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection

from .lines import Lines
from .progress import Frame, Progress, order
from .view import View, harmless
from .websocket import GOODBYE_WITHIN, SUBPROTOCOL, Unreachable, open_socket, receive, send, watch, why

# Closed with one of these, trying again would end the same way (`protocol.md`, "Close codes").
_FINAL_CODES = {4400, 4401, 4403, 4404}
_RESTART = 1012
_DISCONNECT = {"type": "disconnect"}
_hint = re.compile(r"reconnect_ms=([0-9]{1,5})")


def run(arguments: argparse.Namespace) -> int:
    """Chat as *arguments* say: 0 after a good end, 1 if it could not be."""
    url = websocket_url(arguments.url, arguments.pipeline, arguments.session_type, arguments.session_id)
    if arguments.message is not None:
        return trio.run(ask_once, url, arguments.message, _write, _complain)
    # Whoever comes again with this secret is the same guest: what he said stays his own.
    guest = secrets.token_urlsafe(24)
    chat = Chat(extended(url, stream="delta", guest=guest), Lines(sys.stdin.fileno()).read, _write)
    return trio.run(chat.run)


def websocket_url(base: str, pipeline: str, session_type: str, session_id: str | None) -> str:
    """Where *pipeline*'s socket is on the server at *base* (http, https, ws or wss; a path is kept)."""
    parts = urlsplit(base)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = f"{parts.path.rstrip('/')}/api/v1/pipelines/{quote(pipeline, safe='')}/ws/connect"
    query = {"session_type": session_type} | ({"session_id": session_id} if session_id is not None else {})
    return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))


def extended(url: str, **fields: str) -> str:
    """*url* with *fields* in its query."""
    return f"{url}&{urlencode(fields)}" if fields else url


def hinted(reason: CloseReason | None) -> float | None:
    """After how many seconds the server that closed for *reason* wants to see us again, if it said so."""
    found = _hint.search(reason.reason or "") if reason else None
    return None if found is None else int(found[1]) / 1000


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures: doubled up to 30, with jitter lest all come together."""
    return float(min(30, 2**failures)) * random.uniform(0.5, 1.0)


async def ask_once(url: str, text: str, write: Callable[[str], None], complain: Callable[[str], None]) -> int:
    """Say *text*, write the reply as it grows, and leave: 0 if the reply came to a good end."""
    try:
        async with open_socket(url) as socket:
            return await _ask(socket, text, write, complain)
    except Unreachable as error:
        complain(str(error))
    return 1


async def _ask(
    socket: WebSocketConnection, text: str, write: Callable[[str], None], complain: Callable[[str], None]
) -> int:
    me: object = None
    message = Progress(_new_id).say(text)
    written = ""
    try:
        while True:
            frame = await receive(socket)
            match frame:
                case {"type": "connected"}:
                    me = frame.get("connection_id")
                    await send(socket, message)
                case {"type": "response", "data": {"content": str(content), **data}}:
                    if data.get("connection_id", me) != me:
                        continue  # others' replies stream in a shared conversation, too
                    write(harmless(content.removeprefix(written)))
                    written = content
                    if data.get("is_final") is True:
                        write("\n")
                        await _leave(socket)
                        return 1 if data.get("finish_reason") == "error" else 0
                case {"type": "error", "message": str(said)}:
                    complain(said)
                    if frame.get("client_msg_id") == message["client_msg_id"]:
                        await _leave(socket)
                        return 1
    except ConnectionClosed as closed:
        if written:
            write("\n")
        complain(f"the connection was closed ({why(closed.reason)})")
        return 1


class Chat:
    """An interactive chat at *url* that outlives its sockets.

    `read_line` gives what is typed, None at its end; `write` puts text on the screen; `wait` says how many
    seconds to stay away after so many failures in a row.
    """

    def __init__(
        self,
        url: str,
        read_line: Callable[[], Awaitable[str | None]],
        write: Callable[[str], None],
        wait: Callable[[int], float] = backoff,
    ) -> None:
        self._url = url
        self._read_line = read_line
        self._write = write
        self._wait = wait
        self._view = View()
        self._progress = Progress(_new_id)
        self._leaving = False
        # Set while the server has said `connected` on the socket.
        self._socket: WebSocketConnection | None = None
        self._connected = trio.Event()

    async def run(self) -> int:
        """Chat until the input ends (0), or the server can't be had or wants no more of us (1)."""
        status = 0  # also when a goodbye that nobody answers cancels the nursery
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, nursery.cancel_scope)
            status = await self._stay_connected()
            nursery.cancel_scope.cancel()
        return status

    def _note(self, text: str) -> None:
        self._write(self._view.line(f"({text})"))

    async def _speak(self, whole: trio.CancelScope) -> None:
        while (line := await self._read_line()) is not None and line.strip() != "/quit":
            if line.strip():
                await self._say(line)
        self._leaving = True
        if self._socket is not None:
            await _leave(self._socket)
            await trio.sleep(GOODBYE_WITHIN)  # the server closes, and `_stay_connected` ends all
        whole.cancel()

    async def _say(self, line: str) -> None:
        while (socket := self._socket) is None:
            await self._connected.wait()
        frame = order(line, self._progress) or self._progress.say(line)
        if isinstance(frame, str):
            self._note(frame)
            return
        if socket.subprotocol != SUBPROTOCOL:
            self._progress.forget(frame)  # an older server acknowledges nothing, and would take it twice
        try:
            await send(socket, frame)
        except ConnectionClosed:
            if not self._progress.is_unacked(frame):
                self._note("the connection was lost; that may not have been done")

    async def _stay_connected(self) -> int:
        failures = 0
        ever = False
        while True:
            soon = None
            try:
                reason = await self._once()
            except Unreachable as error:
                if not ever:
                    self._note(str(error))
                    return 1
                failures += 1
            else:
                was_connected = self._connected.is_set()
                self._socket, self._connected = None, trio.Event()
                ever = ever or was_connected
                code = reason.code if reason else None
                if self._leaving:
                    return 0
                if not ever or code in _FINAL_CODES:
                    self._note(f"the server closed the connection ({why(reason)})")
                    return 1
                if was_connected:
                    failures = 0
                    lost = "the server restarts" if code == _RESTART else f"connection lost ({why(reason)})"
                    self._note(f"{lost}; reconnecting")
                failures += code != _RESTART
                soon = hinted(reason)
            if self._leaving:
                return 0
            await trio.sleep(self._wait(failures) if soon is None else soon)

    async def _once(self) -> CloseReason | None:
        """Connect, and show what comes until nothing more does; what the server said at the end."""
        cursor = {} if self._progress.cursor is None else {"cursor": self._progress.cursor}
        async with open_socket(extended(self._url, **cursor)) as socket:
            return await self._listen(socket)

    async def _listen(self, socket: WebSocketConnection) -> CloseReason | None:
        reason = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, socket, nursery.cancel_scope)
            try:
                while True:
                    frame = await receive(socket)
                    self._progress.hear(frame)
                    if (again := self._progress.put_off(frame)) is not None:
                        message, times = again
                        if times == 1:
                            self._note(f"{frame.get('message')}; trying again")
                        nursery.start_soon(self._try_again, socket, message, times)
                        continue
                    self._write(self._view.frame(frame))
                    if frame.get("type") == "connected":
                        await self._enter(socket)
            except ConnectionClosed as closed:
                reason = closed.reason
            nursery.cancel_scope.cancel()
        return reason

    async def _enter(self, socket: WebSocketConnection) -> None:
        """Say again what may not have arrived: by its ids the server knows what did."""
        self._note("connected; Ctrl-D or /quit leaves")
        for message in self._progress.unacked:
            await send(socket, message)
        self._socket = socket
        self._connected.set()

    async def _try_again(self, socket: WebSocketConnection, message: Frame, times: int) -> None:
        await trio.sleep(self._wait(times))
        if self._progress.is_unacked(message):
            with suppress(ConnectionClosed):  # then it is sent on the next one
                await send(socket, message)


async def _leave(socket: WebSocketConnection) -> None:
    with suppress(ConnectionClosed):
        await send(socket, _DISCONNECT)


def _new_id() -> str:
    return str(uuid.uuid4())


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _complain(text: str) -> None:
    print(f"triologue: {harmless(text)}", file=sys.stderr)
