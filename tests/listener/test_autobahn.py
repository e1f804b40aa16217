"""The cases of the Autobahn test suite, driven by kosoku, against an echo on both paths of a WebSocket.

Left out are those for permessage-deflate (12 and 13), which is never accepted.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.listener.servers import PATHS, Kind, serving

KOSOKU = Path(sys.executable).with_name("kosoku")
# The largest messages of the suite, of 16 MiB, are to be echoed and not refused.
LIMITS = {"message_size": 2**24, "partial_messages": 2**26}


@pytest.mark.skipif(not KOSOKU.exists(), reason="needs kosoku, of the `test` extra")
@pytest.mark.parametrize("kind", PATHS)
async def test_every_case_of_autobahn_passes(kind: Kind, tmp_path: Path) -> None:
    """Fragments, control frames between them, bad UTF-8, bad lengths, closes of all kinds, large messages."""
    async with serving(kind, LIMITS=LIMITS) as server:
        url = f"ws://127.0.0.1:{server.port}/echo"
        command = [str(KOSOKU), url, "-x", "12.*", "-x", "13.*", "-p", "4", "-o", str(tmp_path)]
        done = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=tmp_path
        )

    said = done.stdout.decode()
    assert done.returncode == 0, said
    assert "301 cases passed" in said
