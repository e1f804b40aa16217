"""A socket that is not read: it alone pays for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from . import client
from .client import connect
from .running import ECHO, PIPELINES, SCRIPT, WAYS, Triologue, running

pytestmark = pytest.mark.usefixtures("path")

SETTINGS = "[limits]\nmailbox = 16\n[timeouts]\nsend = 20.0\nchunk_interval = 0\n" + PIPELINES


@pytest.fixture(scope="module", params=WAYS)
def triologue(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Triologue]:
    """A server whose mailboxes are small."""
    with running(request.param, tmp_path_factory.mktemp("slow"), SETTINGS) as server:
        yield server


class Lazy:
    """A raw WebSocket that reads only when told to, with little room in the kernel for it."""

    def __init__(self, url: str, port: int) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.connect(("127.0.0.1", port))
        path = "/" + url.split("/", 3)[3]
        more = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in client.always)
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n".encode()
        )
        self.reader = self.socket.makefile("rb")
        while self.reader.readline() != b"\r\n":
            pass
        assert self.frame()["type"] == "connected"

    def raw_frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        head = self.reader.read(2)
        if len(head) < 2:
            return -1, b""
        length = head[1] & 127
        if length == 126:
            length = int.from_bytes(self.reader.read(2))
        elif length == 127:
            length = int.from_bytes(self.reader.read(8))
        return head[0] & 15, self.reader.read(length)

    def frame(self) -> dict[str, Any]:
        while True:
            opcode, payload = self.raw_frame()
            if opcode == 1:
                frame = json.loads(payload)
                assert isinstance(frame, dict)
                return frame
            assert opcode == 9, (opcode, payload)

    def until_closed(self) -> tuple[list[dict[str, Any]], int]:
        """Every frame that still comes, and the close code."""
        frames = []
        while True:
            opcode, payload = self.raw_frame()
            if opcode == 1:
                frames.append(json.loads(payload))
            elif opcode != 9:
                return frames, int.from_bytes(payload[:2]) if opcode == 8 else 1006


@contextmanager
def lazy(triologue: Triologue, pipeline: str, query: str) -> Iterator[Lazy]:
    slow = Lazy(triologue.socket_url(pipeline, query), triologue.port)
    try:
        yield slow
    finally:
        slow.reader.close()
        slow.socket.close()


async def test_chunks_that_wait_collapse_into_the_newest(triologue: Triologue, tmp_path: Path) -> None:
    """Many more chunks than its mailbox has room for cost a slow reader nothing but detail."""
    query = f"session_type=group&session_id=collapse-{triologue.way}-{len(client.always)}"
    with lazy(triologue, SCRIPT, query) as slow:
        async with connect(triologue.socket_url(SCRIPT, query)) as quick:
            await quick.say("many 2000")
            seen = await quick.until_final()
        frames = [slow.frame()]
        while not (frames[-1]["type"] == "response" and frames[-1]["data"]["is_final"]):
            frames.append(slow.frame())

    assert frames[-1] == seen[-1]
    assert frames[-1]["data"]["content"] == "".join(f"{n} " for n in range(2000))
    contents = [frame["data"]["content"] for frame in frames[1:]]
    assert all(later.startswith(earlier) for earlier, later in pairwise(contents))
    assert len(frames) < 2000  # how many the other sees depends on its own pace


async def test_a_mailbox_that_overflows_closes_that_socket_alone_with_4408(triologue: Triologue) -> None:
    """What can't be collapsed is not kept for ever; the others have seen everything meanwhile."""
    query = f"session_type=group&session_id=overflow-{triologue.way}-{len(client.always)}"
    with lazy(triologue, ECHO, query) as slow:
        async with connect(triologue.socket_url(ECHO, query)) as quick:
            for number in range(40):
                await quick.say(f"{number} " + "x" * 200_000, stream=False)
                await quick.until_final()
            await quick.ping()
        frames, code = await trio.to_thread.run_sync(slow.until_closed)

    assert code == 4408
    assert (frames[-1]["type"], frames[-1]["code"], frames[-1]["retry"]) == ("error", "too_slow", True)
    ids = [frame["data"]["id"] for frame in frames[:-1]]
    assert ids == sorted(ids)
