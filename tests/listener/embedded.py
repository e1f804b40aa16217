"""`apps.app` served by `server.listener.run`, in a process of its own: `-m tests.listener.embedded BIND…`."""

from __future__ import annotations

import os
import sys
from typing import Any

import trio

from server.listener import run
from tests.listener.apps import app


class Announcement:
    """A task status that prints where the server runs, as hypercorn does."""

    def started(self, urls: Any = None) -> None:
        for url in urls:
            print(f"Running on {url} (embedded)", file=sys.stderr, flush=True)


async def main(served: Any) -> None:
    certificate = os.environ.get("CERTIFICATE")
    await run(
        served, bind=sys.argv[1:], certfile=certificate, keyfile=certificate, task_status=Announcement()
    )


if __name__ == "__main__":
    trio.run(main, app)
