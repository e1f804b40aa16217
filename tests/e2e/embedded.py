"""A whole Triologue inside the test's own trio loop, on a real socket, where a test can look at its tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from server import listener
from server.application import Application
from server.config import load

from .running import PIPELINES


@frozen
class Embedded:
    """A running application and where it listens."""

    app: Application
    port: int

    def socket_url(self, pipeline: str, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/pipelines/{pipeline}/ws/connect?{query}"

    def addresses(self, part: str) -> list[str]:
        """The living actors whose address has *part* in it."""
        return [view.address for view in self.app.system.actors() if part in view.address]


@asynccontextmanager
async def embedded(folder: Path, settings: str = PIPELINES) -> AsyncIterator[Embedded]:
    """A server, drained and ended afterwards."""
    (folder / "triologue.toml").write_text(settings)
    config = load(folder / "triologue.toml", {"TRIOLOGUE_DATA_DIR": str(folder / "data")})
    app = Application(lambda: config)
    enough = trio.Event()
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(
            partial(listener.run, app, bind=["127.0.0.1:0"], shutdown_trigger=enough.wait), name="http"
        )
        try:
            yield Embedded(app, int(urls[0].rpartition(":")[2]))
        finally:
            enough.set()
