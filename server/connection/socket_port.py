"""What a straight WebSocket needs of those around it: the socket below, the bounds, and who writes to it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from attrs import field, frozen

Glance = Callable[[list[Callable[[], None]]], bool]
"""Looks at what has come, and says whether it is done with it. What it puts into the list is called soon."""


class Socket(Protocol):
    """A connected byte stream: the *socket port*. What raises an `OSError` is gone; but see `send`.

    Waiting raises `trio.ClosedResourceError` once it was closed on this side, in whatever task.
    """

    def send(self, data: bytes | memoryview, /) -> int:
        """How many bytes were taken just now; `BlockingIOError` if it is full."""

    def recv_nowait(self, most: int) -> bytes | None:
        """What has come; nothing at the end, `None` while there is nothing."""

    async def wait_readable(self, at_once: Glance | None = None) -> None:
        """Wait until something has come, or the end; go on if *at_once* is called and done with it."""

    async def wait_writable(self) -> None: ...
    def wake(self) -> None:
        """Have whoever waits stop waiting, with `trio.ClosedResourceError`; nothing else changes."""

    def send_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


@frozen
class Bounds:
    """What a peer may take, in bytes and seconds; `hold` and `give_back` as in `Parser`."""

    message_size: int = 2**20
    message_timeout: float = inf
    send_timeout: float = 10.0
    hold: Callable[[int], bool] = field(default=lambda size: True)
    give_back: Callable[[int], None] = field(default=lambda size: None)


class Owner(Protocol):
    """Who writes to the socket."""

    def control(self, data: bytes, key: str) -> None:
        """Have a control frame written in its turn; of one *key* only the newest matters."""

    def go_on(self, data: bytes) -> None:
        """Have the end of what was written first written as soon as the socket takes it."""

    def goodbye(self, code: int | None) -> None:
        """Have the socket closed in its turn, because of what the peer sent."""
