"""`GET /metrics`: the server in numbers, for Prometheus.

Labels are names of classes, never addresses or ids: each of those would be a time series of its own for ever.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from quart import Blueprint, Response

from .measures import Measures, Snapshot


def metrics(measure: Callable[[], Snapshot]) -> Blueprint:
    """The route that tells what *measure* finds."""
    blueprint = Blueprint("metrics", __name__)
    exposition, limiter = Exposition(), trio.CapacityLimiter(1)

    @blueprint.get("/metrics")
    async def show() -> Response:
        # In a thread: with ten thousand sockets, counting the open files alone takes 10 ms.
        text = await trio.to_thread.run_sync(exposition.write, measure(), limiter=limiter)  # noqa: TID251
        # The format that every scraper reads, whatever else it would have liked.
        return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return blueprint


class Exposition:
    """Writes snapshots in Prometheus's text format, with the process's own numbers beside them."""

    def __init__(self) -> None:
        # Its own: prometheus_client's is one for the whole process, whoever else uses it.
        self._registry = CollectorRegistry()
        self._measures = Measures()
        self._registry.register(self._measures)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def write(self, snapshot: Snapshot) -> bytes:
        """*snapshot* as text. One call at a time."""
        self._measures.snapshot = snapshot
        return generate_latest(self._registry)
