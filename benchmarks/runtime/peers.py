"""Who takes part, in which interpreter, and how to install those that can't live in ours.

triotp 0.2.1 asks for trio 0.19, and gets it: an environment of its own. Since much has happened to trio in
the meantime, it also takes part a second time, on the trio that `actors` runs on: its demand is overridden.

    python -m benchmarks.runtime.peers      installs both; a second time it does nothing
"""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = Path(sys.prefix) / "peers"
"""Beside what our own interpreter has installed, so that cleaning up takes them along."""

TRIOTP = "triotp==0.2.1"


@dataclass(frozen=True)
class Contestant:
    """One library in one interpreter; `path` is what goes before all else when it imports."""

    name: str
    module: str
    python: str
    path: str

    def command(self, *arguments: str) -> list[str]:
        """Run the contestant's own program with *arguments*; the current directory plays no part."""
        return [self.python, "-P", "-m", f"benchmarks.runtime.{self.module}", *arguments]

    def environment(self) -> dict[str, str]:
        """The variables it runs with."""
        return {"PYTHONPATH": self.path, "PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"}


def ours(name: str = "actors", directory: Path | None = None, module: str = "peer_actors") -> Contestant:
    """Our runtime: of this repository, or the package `actors` that lies in *directory*."""
    path = str(ROOT) if directory is None else f"{directory}:{ROOT}"
    return Contestant(name, module, sys.executable, path)


def triotp(module: str = "peer_triotp") -> list[Contestant]:
    """triotp as it comes, and on our own trio."""
    return [
        Contestant("triotp", module, str(_python("triotp")), str(ROOT)),
        Contestant(f"triotp on trio {version('trio')}", module, str(_python("triotp-new-trio")), str(ROOT)),
    ]


def pykka() -> Contestant:
    """Pykka, which gets along with everything."""
    return Contestant("Pykka", "peer_pykka", sys.executable, str(ROOT))


def install() -> None:
    """Make the environments that are missing."""
    _make("triotp", [TRIOTP])
    _make(
        "triotp-new-trio",
        [f"trio=={version('trio')}", "Logbook>=1.7,<2", "tenacity>=8.2.3,<9", "trio-util"],
        ["--no-deps", TRIOTP],
    )


def _python(environment: str) -> Path:
    return ENVIRONMENTS / environment / "bin" / "python"


def _make(environment: str, *installations: list[str]) -> None:
    complete = ENVIRONMENTS / environment / "complete"
    if complete.exists():
        return
    venv.create(complete.parent, with_pip=True)
    for what in installations:
        subprocess.run([_python(environment), "-m", "pip", "install", "--quiet", *what], check=True)
    complete.touch()


if __name__ == "__main__":
    install()
