"""A server in a process of its own, pinned to one core: started, looked at from outside, ended."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

SERVER_CORE = "0"
LOAD_CORE = "1"
"""Where the load generator runs; with one core only, everything shares it."""

PAGE = resource.getpagesize()


def pinned(core: str, command: Sequence[str]) -> list[str]:
    """*command*, on *core* alone if there is more than one."""
    return ["taskset", "-c", core, *command] if (os.cpu_count() or 1) > 1 else list(command)


def keep_off_the_server() -> None:
    """Run this process on the load generator's core."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {int(LOAD_CORE)})


class ServerProcess:
    """A running server; a context manager that ends it.

    Args:
        command: What to run, given the port to listen at.
        directory: Its working directory; what it prints goes to `server.log` there.
        path: Fetched over HTTP until it is answered 200: then the server serves. `None`: until it accepts.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        directory: Path,
        environment: Mapping[str, str],
        *,
        path: str | None = None,
        patience: float = 60.0,
    ) -> None:
        self.port = _free_port()
        self.log = directory / "server.log"
        self.started = time.monotonic()
        """On the clock `time.monotonic`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                pinned(SERVER_CORE, command(self.port)),
                cwd=directory,
                env=dict(environment),
                stdout=log,
                stderr=log,
                preexec_fn=_allow_many_files,
            )
        try:
            self._wait(path, patience)
        except BaseException:
            self.end()
            raise
        self.seconds_to_serve = time.monotonic() - self.started
        """From the start of the process to the first byte it served."""

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants."""
        found, unseen = [], [self._process.pid]
        while unseen:
            pid = unseen.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                unseen.extend(map(int, children.read_text().split()))
        return found

    def cpu(self) -> float:
        """Processor seconds so far, of all threads, ended ones too (Linux)."""
        # clock_getcpuclockid(3): the number of a process's clock is made of its pid.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids)

    def rss(self) -> int:
        """Bytes of memory in use."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in self.pids)

    def end(self) -> None:
        """Terminate it, and kill what has not ended within ten seconds."""
        pids = self.pids if self._process.poll() is None else []
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _wait(self, path: str | None, patience: float) -> None:
        while time.monotonic() < self.started + patience:
            if self._process.poll() is not None:
                break
            if self._serves(path):
                return
            time.sleep(0.002)
        raise RuntimeError(f"the server does not serve: {self.log.read_text()[-2000:]}")

    def _serves(self, path: str | None) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                if path is None:
                    return True
                request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                return connection.recv(4096)[9:12] == b"200"
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _allow_many_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
