"""Where the peers live, and how to install them.

    python -m benchmarks.wire.peers      a second time it does nothing

The Python ones share an environment, as `requirements.txt` says; node's `ws` comes from npm, and is left
out where there is no node.
"""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

from .generator import BUILD, HERE

PYTHON = BUILD / "peers" / "bin" / "python"
NODE_MODULES = BUILD / "node" / "node_modules"


def install() -> None:
    """Make what is missing."""
    _install_python()
    _install_node()


def node() -> str | None:
    """The node to run, `None` if there is none, or no `ws` for it."""
    return shutil.which("node") if (NODE_MODULES / "ws").exists() else None


def _install_python() -> None:
    wanted = HERE / "requirements.txt"
    complete = BUILD / "peers" / "complete"
    if complete.exists() and complete.read_text() == wanted.read_text():
        return
    venv.create(complete.parent, with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
    complete.write_text(wanted.read_text())


def _install_node() -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("There is no node, or no npm: its `ws` does not take part.")
        return
    if (NODE_MODULES / "ws").exists():
        return
    directory = NODE_MODULES.parent
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "servers" / "package.json", directory)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=directory, check=True)


def installed() -> bool:
    """Whether the Python peers are there."""
    return Path(PYTHON).exists()


if __name__ == "__main__":
    install()
