"""Servers in processes of their own: stock hypercorn, guarded hypercorn, and `server.listener.run`, embedded,
or with an application that takes the TCP sockets of plain WebSockets itself (straight)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import attrs
import trio

ROOT = Path(__file__).parents[2]
Kind = Literal["stock", "guarded", "embedded", "straight"]
# Both paths that a WebSocket may go.
PATHS: tuple[Kind, ...] = ("embedded", "straight")

_RUNNING = re.compile(r"Running on (\w+)://\S+?:(\d+) ")
# Seconds after which a test hangs instead of waiting; nothing takes this long.
PATIENCE = 30.0


@attrs.define(eq=False)
class Server:
    """A running server: what it printed, and how it ended."""

    process: trio.Process
    port: int = 0
    lines: list[str] = attrs.field(factory=list)
    _news: trio.Event = attrs.field(factory=trio.Event)
    _silent: trio.Event = attrs.field(factory=trio.Event)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        """How it ended, once all it printed is in `lines`."""
        with trio.fail_after(PATIENCE):
            await self._silent.wait()
            return await self.process.wait()

    async def printed(self, text: str) -> str:
        """The first line with *text* in it, as soon as it is printed."""
        with trio.fail_after(PATIENCE):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                assert not self._silent.is_set(), "".join(self.lines)
                await self._news.wait()

    async def get(self, path: str) -> Any:
        """The JSON that a `GET` of *path* answers, over a connection of its own."""
        with trio.fail_after(PATIENCE):
            stream = await trio.open_tcp_stream("127.0.0.1", self.port)
            async with stream:
                await stream.send_all(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
                answer = b"".join([chunk async for chunk in stream])
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    async def _listen(self, begun: str, task_status: trio.TaskStatus[None]) -> None:
        assert self.process.stderr is not None
        rest, started = b"", False
        async for chunk in self.process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.lines.append(line.decode())
                if found := _RUNNING.search(self.lines[-1]):
                    self.port = int(found[2])
                if not started and (found or begun in self.lines[-1]):
                    started = True
                    task_status.started()
            self._news.set()
            self._news = trio.Event()
        self._silent.set()
        self._news.set()
        if not started:
            task_status.started()


@contextlib.asynccontextmanager
async def serving(
    kind: Kind,
    *options: str,
    bind: str = "127.0.0.1:0",
    ready: bool = True,
    begun: str = "Running on",
    **environment: Any,
) -> AsyncIterator[Server]:
    """A server of this *kind*, killed with all its processes at the end of the block.

    *options* are hypercorn's own. The block begins once it listens, has printed *begun*, or, unless it
    has to get *ready*, has failed to.
    """
    python = [sys.executable, "-W", "error::ResourceWarning", "-m"]
    if kind in PATHS:
        command = [*python, f"tests.listener.{kind}", bind]
    else:
        module = "tests.listener.apps:app" if kind == "stock" else "tests.listener.guarded:app"
        command = [*python, "hypercorn", "--worker-class", "trio", "--bind", bind, *options, module]
    variables = {name: v if isinstance(v, str) else json.dumps(v) for name, v in environment.items()}
    process = await trio.lowlevel.open_process(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    server = Server(process)
    # One nursery is open while the block runs; as an async context manager, not a fixture, that is sound.
    async with trio.open_nursery() as nursery:
        try:
            with trio.fail_after(PATIENCE):
                await nursery.start(server._listen, begun)
            assert server.port or not ready, "\n".join(server.lines)
            yield server
        finally:
            with trio.CancelScope(shield=True):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            nursery.cancel_scope.cancel()
    assert process.stderr is not None
    await process.stderr.aclose()
