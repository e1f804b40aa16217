"""A server for the page that does nothing of itself: a test says what it answers, frame by frame."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from server.rest.app import PAGE_HEADERS
from server.web import page

Frame = dict[str, Any]
# Seconds for the page to say what it should.
PATIENCE = 15

ROBOT = {"id": "assistant", "name": "robot"}
ME = {"id": "guest-me", "name": "me"}
OTHER = {"id": "guest-other", "name": "other"}


class Socket:
    """The server's end of one WebSocket of the page."""

    def __init__(self, connection: ServerConnection, owner: ScriptedServer) -> None:
        assert connection.request is not None
        self._connection = connection
        self._owner = owner
        self._frames: Queue[Frame] = Queue()
        self.query = {k: v[0] for k, v in parse_qs(urlsplit(connection.request.path).query).items()}
        self.level = 2 if connection.subprotocol == "triologue.v1" else 1

    def read(self) -> None:
        """Take frames in until the page leaves."""
        try:
            for text in self._connection:
                self._frames.put(json.loads(text))
        except ConnectionClosed:
            pass

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self._connection.send(json.dumps(frame))

    def greet(self, cursor: str, *, resumed: bool = False, **more: Any) -> Socket:
        """Say `connected`."""
        self.send(
            {
                "type": "connected",
                "connection_id": f"c{len(self._owner.accepted)}",
                "cursor": cursor,
                "resumed": resumed,
                "user": ME,
                **more,
            }
        )
        return self

    def receive(self) -> Frame:
        """The next frame of the page that is no ping."""
        while (frame := self._frames.get(timeout=PATIENCE))["type"] == "ping":
            pass
        return frame

    def is_silent(self) -> bool:
        """Whether the page has said nothing since."""
        return self._frames.empty()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._connection.close(code, reason)

    def cut(self) -> None:
        """Be gone, as a killed server is: without a word."""
        self._connection.socket.close()


class ScriptedServer:
    """Serves the page, and hands over its sockets to the test.

    Attributes:
        history: What the history routes answer: messages; or an error's text.
        older: Knows nothing of subprotocols.
        held: While cleared, the history is not sent, though it is that of the moment when it was asked for.
    """

    def __init__(self) -> None:
        self.history: list[Frame] | str = []
        self.older = False
        self.held = threading.Event()
        self.held.set()
        self.requests: list[str] = []
        self._asked: Queue[None] = Queue()
        self.accepted: list[Socket] = []
        self.refused = 0
        self._sockets: Queue[Socket] = Queue()
        self.server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def accept(self) -> Socket:
        """The page's next socket."""
        return self._sockets.get(timeout=PATIENCE)

    def has_socket(self) -> bool:
        """Whether the page has opened one that was not accepted yet."""
        return not self._sockets.empty()

    def wait_asked_for_history(self) -> None:
        """Wait until the page's next request for it is there."""
        self._asked.get(timeout=PATIENCE)

    def asked_for_history(self) -> int:
        return sum("/ws/messages/" in path for path in self.requests)

    # -- in the server's threads

    def handle(self, connection: ServerConnection) -> None:
        socket = Socket(connection, self)
        self.accepted.append(socket)
        self._sockets.put(socket)
        socket.read()

    def choose(self, connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        if self.older and offered:
            self.refused += 1
        return None if self.older or not offered else offered[0]

    def respond(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path.endswith("/connect"):
            return None
        self.requests.append(request.path)
        if path == "/api/v1/pipelines":
            return _json(200, {"code": 0, "data": {"pipelines": [{"uuid": "one", "name": "robot"}]}})
        if "/ws/messages/" in path:
            answer = self._messages(request.path)
            self._asked.put(None)
            self.held.wait(PATIENCE)
            return answer
        found = page(path)
        if found is None:
            return _json(404, {"code": -1, "msg": "Not Found"})
        content, content_type = found
        return _response(200, content, {**PAGE_HEADERS, "Content-Type": content_type})

    def _messages(self, path: str) -> Response:
        if isinstance(self.history, str):
            return _json(503, {"code": -1, "msg": self.history})
        query = parse_qs(urlsplit(path).query)
        before = int(query.get("before", ["1000000000"])[0])
        found = [message for message in self.history if message["id"] < before]
        data: dict[str, Any] = {"messages": found[-100:]}
        if not self.older:
            data["more"] = len(found) > 100
        return _json(200, {"code": 0, "data": data})


def _json(status: int, body: object) -> Response:
    return _response(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _response(status: int, body: bytes, headers: dict[str, str]) -> Response:
    length = {"Content-Length": str(len(body)), "Connection": "close"}
    return Response(status, "OK", Headers({**headers, **length}), body)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server on a port of its own, in threads."""
    scripted = ScriptedServer()
    with serve(
        scripted.handle,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("triologue.v1")],
        select_subprotocol=scripted.choose,
        process_request=scripted.respond,
        ping_interval=None,
        close_timeout=1,
        max_size=2**24,
    ) as scripted.server:
        thread = threading.Thread(target=scripted.server.serve_forever)
        thread.start()
        try:
            yield scripted
        finally:
            scripted.held.set()
            for socket in scripted.accepted:
                socket.cut()
            scripted.server.shutdown()
            thread.join()


def message(number: int, text: str, *, seq: int | None = None, sender: Frame = OTHER, **more: Any) -> Frame:
    """A MESSAGE."""
    return {
        "id": number,
        "role": "assistant" if sender is ROBOT else "user",
        "content": text,
        "message_chain": [{"type": "Plain", "text": text}],
        "timestamp": "2026-01-01T00:00:00.000Z",
        "is_final": True,
        "connection_id": "elsewhere",
        "sender": sender,
        "seq": number if seq is None else seq,
        **more,
    }


def posted(number: int, text: str, **more: Any) -> Frame:
    """A user's message, as it happens."""
    return {"type": "user_message", "session_type": "person", "data": message(number, text, **more)}


def delta(number: int, text: str, offset: int) -> Frame:
    data = {"id": number, "delta": text, "offset": offset}
    return {"type": "response", "session_type": "person", "data": data}


def final(number: int, text: str, **more: Any) -> Frame:
    """The end of a reply."""
    data = message(number, text, sender=ROBOT, delta="", offset=len(text), **more)
    return {"type": "response", "session_type": "person", "data": data}
