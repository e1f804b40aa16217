"""A real Triologue in a process of its own, started in either way, and what the tests need to know of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]

ECHO = "00000000-0000-4000-8000-00000000000e"
SLOW = "00000000-0000-4000-8000-00000000005e"
SCRIPT = "00000000-0000-4000-8000-0000000000f1"
OTHER = "00000000-0000-4000-8000-0000000000f2"
DOWN = "00000000-0000-4000-8000-0000000000d0"

PIPELINES = f"""
[[pipelines]]
uuid = "{ECHO}"
name = "echo"
kind = "echo"

[[pipelines]]
uuid = "{SLOW}"
name = "slow echo"
kind = "echo"
delay = 0.02

[[pipelines]]
uuid = "{SCRIPT}"
name = "scripted"
kind = "python"
function = "tests.e2e.scripted:reply"
idle_timeout = 1.0
total_timeout = 5.0

[[pipelines]]
uuid = "{OTHER}"
name = "other"
kind = "python"
function = "tests.e2e.scripted:reply"

[[pipelines]]
uuid = "{DOWN}"
name = "down"
kind = "openai"
base_url = "http://user:hunter2@127.0.0.1:9/v1?key=hunter2"
model = "none"
retries = 0
"""

COMMANDS = {
    "serve": [sys.executable, "-m", "server", "serve"],
    "hypercorn": [sys.executable, "-m", "hypercorn", "--worker-class", "trio", "server.asgi:app"],
}
WAYS = tuple(COMMANDS)


class Triologue:
    """One running server process and everything it prints."""

    def __init__(
        self,
        way: str,
        folder: Path,
        settings: str = PIPELINES,
        bind: str = "127.0.0.1:0",
        options: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "triologue.toml"
        config.write_text(settings)
        command = list(COMMANDS[way])
        if way == "hypercorn":
            command += ["--bind", bind]
        command += options
        self.way = way
        self.folder = folder
        self.lines: list[str] = []
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "TRIOLOGUE_CONFIG": str(config),
                "TRIOLOGUE_DATA_DIR": str(folder / "data"),
                "TRIOLOGUE_BIND": bind,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.lines.append(line)
                self._grown.notify_all()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_output(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """The first match of *pattern* in what the process prints."""
        deadline = time.monotonic() + seconds
        with self._grown:
            while (match := re.search(pattern, self.output)) is None:
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no {pattern!r} in the output:\n{self.output}")
                self._grown.wait(min(left, 0.2))
        return match

    def wait_ready(self) -> Triologue:
        self.wait_output(r"Running on http://127\.0\.0\.1:\d+")
        return self

    @property
    def port(self) -> int:
        return int(self.wait_output(r"Running on http://127\.0\.0\.1:(\d+)")[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def socket_url(self, pipeline: str, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/pipelines/{pipeline}/ws/connect{query and '?' + query}"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request: status, headers with names in lower case, body."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urlopen(request, timeout=20) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def json(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """One HTTP request whose answer is JSON."""
        status, _, content = self.call(method, path, body)
        answer = json.loads(content)
        assert isinstance(answer, dict)
        return status, answer

    def terminate(self) -> None:
        """Ask it to end, as an operator or systemd would ask the main process."""
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, seconds: float = 30.0) -> int:
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """End it and what it started, however it is."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running(way: str, folder: Path, settings: str = PIPELINES) -> Iterator[Triologue]:
    """A server that is ready, and ended afterwards."""
    server = Triologue(way, folder, settings)
    try:
        yield server.wait_ready()
    finally:
        server.kill()
