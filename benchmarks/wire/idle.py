"""What a socket costs that only stays open, and what it took to open it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import evolve, frozen

from .contestants import Contestant
from .generator import Figures, held
from .work import Loaded, Metric, Pace

SETTLING = 1.5
"""How long the server is left alone before its memory is looked at."""


@frozen(kw_only=True)
class Idle(Loaded):
    """A server that holds sockets of which nothing is asked; loads of mode `hold`."""

    metrics: Sequence[Metric] = (
        Metric("kib_per_socket", "KiB a socket", less_is_better=True, digits=1),
        Metric("handshakes_per_cpu", "handshakes per CPU second"),
        Metric("idle_cpu_percent", "CPU while idle, %", less_is_better=True, digits=1),
    )

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """What a fresh server of *contestant* grew by for each socket, and spent on each handshake."""
        load = self.load_for(contestant)
        if load is None:
            return None
        with contestant.running() as server:
            with held(evolve(load, connections=8), server):
                pass  # what is made once, with the first sockets, is not theirs
            time.sleep(SETTLING)
            before = server.rss()
            with held(load, server) as sockets:
                time.sleep(SETTLING)
                after = server.rss()
                began, cpu = time.monotonic(), server.cpu()
                time.sleep(pace.seconds)
                idle = (server.cpu() - cpu) / (time.monotonic() - began)
                opening = sockets.opening
        return {
            **opening,
            "kib_per_socket": (after - before) / 1024 / opening["ready"],
            "handshakes_per_cpu": opening["ready"] / opening["connect_cpu_seconds"],
            "idle_cpu_percent": 100 * idle,
        }
