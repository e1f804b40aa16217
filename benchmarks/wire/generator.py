"""The load generator `wsload.c`: compiled when needed, run on a core of its own, and what it found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, fields, frozen

from .process import LOAD_CORE, ServerProcess, pinned

HERE = Path(__file__).parent
BUILD = HERE / ".build"
"""What is made on demand: the generator, the peers' environments. Git ignores it."""

Figures = dict[str, float]
"""What was measured, by name; seconds unless the name says otherwise."""


@frozen(kw_only=True)
class Load:
    """What `wsload` is to do; its own head says what each of these means."""

    path: str
    mode: str = "ask"
    connections: int = 64
    message: str = ""
    outstanding: int = 1
    greeting: str | None = None
    subprotocol: str | None = None
    expect: str | None = None
    final: str | None = None
    post: str | None = None
    rate: float = 0.0
    handshakes: int = 64
    sources: int = 1
    seconds: float = 3.0
    warm_up: float = 1.0

    def command(self, server: ServerProcess) -> list[str]:
        """How to run it against *server*."""
        command = [str(program()), "--port", str(server.port), "--pids", ",".join(map(str, server.pids))]
        for name, value in self._options().items():
            if value is not None:
                command += [f"--{name.replace('_', '-')}", str(value)]
        return pinned(LOAD_CORE, command)

    def _options(self) -> dict[str, str | int | float | None]:
        return {each.name: getattr(self, each.name) for each in fields(Load)}


class LoadFailed(Exception):
    """The generator could not do what it was to do: the server refused, or broke off."""


def run(load: Load, server: ServerProcess, *, yielding: bool = False) -> Figures:
    """Drive *server* with *load*, and tell what was seen.

    Args:
        yielding: To another generator on the same core, which then measures as if it were alone.

    Raises:
        LoadFailed: Not all connections came about, some were lost, or some were never answered.
    """
    ran = subprocess.run(
        # Not `nice`: even the nicest process is left to end its turn, of some milliseconds.
        [*(["chrt", "--idle", "0"] if yielding else []), *load.command(server)],
        capture_output=True,
        text=True,
        timeout=load.warm_up + load.seconds + 180,
    )
    figures = _parsed(ran.stdout, ran.stderr)
    if ran.returncode or figures["lost"] or figures["failed_writes"] or figures["unanswered"]:
        raise LoadFailed(f"{load.path}: {figures} {ran.stderr[-600:]}")
    if not figures["messages"]:
        raise LoadFailed(f"{load.path}: nothing came; {ran.stderr[-600:]}")
    for what in ("messages", "finals"):
        figures[f"{what}_per_cpu"] = figures[what] / figures["cpu_seconds"]
    figures["frame_bytes"] = figures["bytes"] / figures["messages"]
    return figures


@define
class Held:
    """Connections that are being held open."""

    opening: Figures
    """What opening them took."""
    _process: subprocess.Popen[str] = field(alias="process")

    def close(self) -> None:
        """Close them all, now rather than at the end of the block."""
        if self._process.poll() is None:
            self._process.communicate("", timeout=60)


@contextmanager
def held(load: Load, server: ServerProcess) -> Iterator[Held]:
    """The connections of *load*, a load of mode `hold`, for the length of the block."""
    with subprocess.Popen(
        load.command(server), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            those = Held(_parsed(process.stdout.readline(), ""), process)
            if those.opening["ready"] < load.connections:
                raise LoadFailed(f"{load.path}: {those.opening}")
            yield those
        finally:
            if process.returncode is None:
                process.communicate("", timeout=60)


def program() -> Path:
    """The compiled generator, made if its source is newer.

    Raises:
        subprocess.CalledProcessError: It does not compile; the compiler said why.
    """
    source, binary = HERE / "wsload.c", BUILD / "wsload"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        subprocess.run(
            ["cc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source)], check=True
        )
    return binary


def _parsed(out: str, errors: str) -> Figures:
    try:
        figures: Figures = json.loads(out)
    except ValueError:
        raise LoadFailed(f"no figures, but {out!r} {errors[-600:]}") from None
    return figures
