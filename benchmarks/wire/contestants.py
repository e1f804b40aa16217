"""Who takes part: Triologue (as it lies in one or more directories) and its peers; how each is started."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from attrs import field, frozen

from . import peers
from .process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
SERVERS = Path(__file__).parent / "servers"

ECHO, PIECES, SHORT = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
"""Our pipelines: the built-in echo, a hundred pieces, one word."""


class Dialect(Enum):
    """What a server understands."""

    TRIOLOGUE = "our protocol"
    DOCUMENT = "the published document's, as LangBot's design serves it"
    PLAIN = "a path for each kind of work"


def _complete(environment: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", **environment}


@frozen
class Contestant:
    """One server program."""

    name: str
    dialect: Dialect
    command: Sequence[str]
    """What to run; the port comes last."""
    environment: dict[str, str] = field(converter=_complete)
    health: str | None = None

    @contextmanager
    def running(self, settings: str = "", *, patience: float = 60.0) -> Iterator[ServerProcess]:
        """A fresh process of it, in a fresh directory, for the length of the block."""
        with (
            tempfile.TemporaryDirectory(prefix="wire-") as directory,
            self.started(Path(directory), settings, patience=patience) as server,
        ):
            yield server

    def started(self, directory: Path, settings: str = "", *, patience: float = 60.0) -> ServerProcess:
        """A process of it in *directory*, with what an earlier one left there."""
        self.prepare(directory, settings)
        return ServerProcess(
            self._with_port, directory, self.environment, path=self.health, patience=patience
        )

    def prepare(self, directory: Path, settings: str = "") -> None:
        """Write into *directory* what a process of it reads there.

        Args:
            settings: Lines of `triologue.toml` before our pipelines. Only ours heeds them.
        """
        if self.dialect is Dialect.TRIOLOGUE:
            (directory / "triologue.toml").write_text(f"{settings}\n{PIPELINES}")

    def _with_port(self, port: int) -> list[str]:
        address = f"127.0.0.1:{port}" if self.dialect is Dialect.TRIOLOGUE else str(port)
        return [*self.command, address]


def ours(name: str = "triologue", directory: Path = ROOT, python: str = sys.executable) -> Contestant:
    """Our server, of the checkout in *directory*."""
    return Contestant(
        name,
        Dialect.TRIOLOGUE,
        [python, "-P", "-m", "server", "serve", "--bind"],
        {"PYTHONPATH": str(directory)},
        "/healthz",
    )


def all_peers() -> list[Contestant]:
    """Every peer that can take part on this machine."""
    found = [
        _python_peer("picows", "picows_server"),
        _python_peer("uvicorn", "uvicorn_server", health="/"),
        _python_peer("hypercorn-trio", "hypercorn_trio_server", health="/"),
        _python_peer("langbot", "langbot_design", Dialect.DOCUMENT, health="/healthz"),
    ]
    node = peers.node()
    if node is not None:
        environment = {"NODE_PATH": str(peers.NODE_MODULES)}
        command = [node, str(SERVERS / "node_server.js")]
        found.insert(1, Contestant("node-ws", Dialect.PLAIN, command, environment, "/"))
    return found


def _python_peer(
    name: str, module: str, dialect: Dialect = Dialect.PLAIN, health: str | None = None
) -> Contestant:
    command = [str(peers.PYTHON), "-P", "-m", f"benchmarks.wire.servers.{module}"]
    return Contestant(name, dialect, command, {"PYTHONPATH": str(ROOT)}, health)


def bot(uuid: str, function: str) -> str:
    """The settings of a pipeline that is a *function* of `servers/bots.py`."""
    return f"""
[[pipelines]]
uuid = "{uuid}"
name = "{function}"
kind = "python"
function = "bots:{function}"
path = "{SERVERS}"
"""


PIPELINES = f"""
[[pipelines]]
uuid = "{ECHO}"
name = "echo"
kind = "echo"
{bot(PIECES, "pieces")}{bot(SHORT, "short")}"""
