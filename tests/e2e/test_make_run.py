"""The first of the two commands, as a new user gives it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from .running import ROOT

STAMP = ROOT / ".venv" / ".run"


def is_installed() -> bool:
    """Whether `make` would find its environment as it wants it."""
    wanted = max((ROOT / name).stat().st_mtime for name in ("pyproject.toml", "constraints.txt"))
    return STAMP.exists() and STAMP.stat().st_mtime >= wanted


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.skipif(not is_installed(), reason="needs the environment that `make test` makes")
def test_make_run_starts_a_server_and_says_where_without_the_network(tmp_path: Path) -> None:
    """Once installed it works offline: with no index to ask, pip must not be needed."""
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    environment |= {"TRIOLOGUE_BIND": "127.0.0.1:0", "TRIOLOGUE_DATA_DIR": str(tmp_path / "data")}
    command = subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert command.stdout is not None
        printed = ""
        while "pipeline" not in printed:
            line = command.stdout.readline()
            assert line, printed
            printed += line
        address = re.search(r"chat page +(\S+)", printed)
        assert address is not None, printed
        assert re.search(r"pipeline +00000000-0000-4000-8000-000000000001 ", printed), printed
        with urlopen(address[1], timeout=20) as page:
            assert b"Triologue" in page.read()
        assert (tmp_path / "data").is_dir()
    finally:
        os.killpg(command.pid, signal.SIGTERM)
        command.communicate(timeout=30)
