"""A real server, with or without its traces, and what it spends on a client's messages.

`python -m benchmarks.runtime.on_the_wire bare|traced` runs the server; `measure` starts one and drives it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from .untraced import untraced

SOCKETS = 8
TEXT = "hello"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Processor seconds of process *pid* so far, its threads' among them (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def ping(socket: WebSocketConnection, number: int) -> None:
    for _ in range(number):
        await socket.send_message('{"type":"ping"}')
        await socket.get_message()


async def chat(socket: WebSocketConnection, number: int) -> None:
    say = json.dumps({"type": "message", "message": [{"type": "Plain", "text": TEXT}]})
    for _ in range(number):
        await socket.send_message(say)
        while True:
            frame = json.loads(await socket.get_message())
            if frame["type"] == "response" and frame["data"]["is_final"]:
                break


WORK = {"ping": (ping, 1000), "chat message": (chat, 200)}


async def drive(url: str, pid: int, what: str) -> float:
    """Server's processor seconds per message, over several sockets at once."""
    work, number = WORK[what]
    async with trio.open_nursery() as nursery:
        sockets = []
        for index in range(SOCKETS):
            socket = await nursery.start(hold, f"{url}?session_type=person&session_id=bench-{index}")
            await socket.get_message()  # connected
            sockets.append(socket)
        for measured in (False, True):  # once to warm up
            began = cpu_of(pid)
            async with trio.open_nursery() as clients:
                for socket in sockets:
                    clients.start_soon(work, socket, number if measured else 5)
            cost = (cpu_of(pid) - began) / (SOCKETS * number)
        nursery.cancel_scope.cancel()
    return cost


async def hold(url: str, *, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
    async with open_websocket_url(url) as socket:
        task_status.started(socket)
        await trio.sleep_forever()


def measure(what: str, *, bare: bool) -> float:
    """Start a server in a process of its own, drive it with *what*, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, "bare" if bare else "traced"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TRIOLOGUE_DATA_DIR": folder},
        )
        try:
            assert server.stdout is not None
            found: dict[str, str] = {}
            for line in server.stdout:
                if address := re.search(r"http://(\S+?)/", line):
                    found["host"] = address[1]
                if pipeline := re.search(r"pipeline +(\S+)", line):
                    found["pipeline"] = pipeline[1]
                    break
            url = f"ws://{found['host']}/api/v1/pipelines/{found['pipeline']}/ws/connect"
            return trio.run(drive, url, server.pid, what)
        finally:
            server.terminate()
            server.communicate(timeout=30)


def main() -> None:
    from server.__main__ import main as serve

    bare = sys.argv[1] == "bare"
    sys.argv[1:] = ["serve", "--bind", "127.0.0.1:0"]
    with untraced() if bare else nullcontext():
        serve()


if __name__ == "__main__":
    main()
