"""The task in which the application answers one request, and the inbox it receives from."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper
from structlog.typing import FilteringBoundLogger

from .errors import leaves, whereabouts

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Bytes a request may have waiting for its application, besides one message that is larger by itself; and
# what an event costs whatever is in it, so that empty ones are bounded too.
_INBOX_SIZE = 64 * 2**10
_EVENT_SIZE = 512
_LAST = frozenset({"http.disconnect", "websocket.disconnect"})

Send = Callable[[Any], Awaitable[None]]


async def no_threads(*_: object) -> NoReturn:
    """Stand where hypercorn hands WSGI applications their threads.

    Raises:
        RuntimeError: Always; only ASGI applications are served.
    """
    raise RuntimeError("only ASGI 3 applications are served")


class Inbox:
    """The ASGI events that wait for one application task: bounded, in order, ended by a disconnect.

    hypercorn's channel has no room for the disconnect when it is full, so that an application which answers
    without reading waits for itself (fault 8).
    """

    def __init__(self) -> None:
        self._events: deque[tuple[Any, int]] = deque()
        self._size = 0
        self._last: Any = None
        self._abandoned = False
        self._room = trio.lowlevel.ParkingLot()
        self._arrival = trio.lowlevel.ParkingLot()

    async def put(self, event: Any) -> None:
        """Queue *event*, waiting for room; a disconnect never waits, and nothing can follow it."""
        if event["type"] in _LAST:
            if self._last is None:
                self._last = event
                self._room.unpark_all()
                self._arrival.unpark_all()
            return
        size = _EVENT_SIZE + len(event.get("text") or event.get("bytes") or event.get("body") or b"")
        while not self._settled and self._events and self._size + size > _INBOX_SIZE:
            await self._room.park()
        if not self._settled:
            self._events.append((event, size))
            self._size += size
            self._arrival.unpark()

    async def get(self) -> Any:
        """The next event; after the last one, the disconnect again and again."""
        if self._events or self._last is not None:
            # An application may loop on what is there already, and others want a turn.
            await trio.lowlevel.checkpoint()
        while not self._events:
            if self._last is not None:
                return self._last
            await self._arrival.park()
        event, size = self._events.popleft()
        self._size -= size
        self._room.unpark()
        return event

    def abandon(self) -> None:
        """Drop what is queued and what still comes: nobody will ever read it."""
        self._abandoned = True
        self._events.clear()
        self._size = 0
        self._room.unpark_all()

    @property
    def _settled(self) -> bool:
        return self._abandoned or self._last is not None


class ConnectionTasks(TaskGroup):
    """The tasks of one connection; none of them can take down more than its own request (fault 1)."""

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Any, send: Send
    ) -> Callable[[Any], Awaitable[None]]:
        inbox = Inbox()
        name = f"{scope['type']} {scope['raw_path'].decode('ascii', 'replace')}"
        self.spawn_named(name, self._run_app, name, app, scope, inbox, send)
        return inbox.put

    def spawn_named(self, name: str, run: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Start *run* as a task that can be told by its *name*."""
        assert self._nursery is not None
        self._nursery.start_soon(run, *args, name=name)

    async def _run_app(self, name: str, app: AppWrapper, scope: Any, inbox: Inbox, send: Send) -> None:
        try:
            await app(scope, inbox.get, send, no_threads, no_threads)
        # A boundary: the application's fault ends its own request. The rest passes, so that
        # cancellation and a wish to exit are heard.
        except* Exception as group:
            inner = leaves(group)
            _log.error(
                "the application failed", request=name, exc_info=inner[0] if len(inner) == 1 else group
            )
        finally:
            inbox.abandon()
            try:
                await send(None)
            except* Exception as group:
                faults = [whereabouts(leaf) for leaf in leaves(group)]
                _log.warning("the end of a request failed", request=name, faults=faults)
