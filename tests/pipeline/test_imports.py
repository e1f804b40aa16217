"""What a pipeline costs at start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["port", "errors", "echo", "python", "local_model"])
def test_only_pipelines_that_need_http_load_httpx(module: str) -> None:
    """It doubles the time that a server with an echo takes to start."""
    code = (
        f"import sys, server.pipeline.{module}; sys.exit(bool({{'httpx', 'cyllama'}} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
