"""Whether a few that ping notice the many that get broadcasts.

    python -m benchmarks.wire.fairness [--sockets 9700] [--rounds 3]

16 sockets send pings at even intervals, 200 a second in all; a latency counts from the moment at which the
ping was due. Meanwhile the other sockets are idle, get a broadcast each second, or one after the other
without a pause. How long the turns of the server's loop last, in which everybody else waits, is noted by a
pipeline that it runs (`bots.turns`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio
from attrs import evolve, frozen
from trio_websocket import open_websocket_url

from .asking import data, settle
from .contestants import PIECES, SHORT, Contestant, bot
from .generator import BUILD, Figures, Load, LoadFailed, held, run
from .process import ServerProcess
from .results import Results
from .runner import arguments_parser, measure
from .tables import cell
from .work import Metric, Pace
from .workloads import BROADCAST, IDLE, PING, connect, say

PINGERS = evolve(PING, path=connect(SHORT), connections=16, rate=200.0)
"""Of another pipeline, so that no broadcast is theirs."""

TURNS = "00000000-0000-4000-8000-000000000004"

METRICS = [
    Metric("final_p50_ms", "ping p50, ms", less_is_better=True, digits=1),
    Metric("final_p99_ms", "p99, ms", less_is_better=True, digits=1),
    Metric("final_max_ms", "longest, ms", less_is_better=True, digits=1),
    Metric("longest_turn_ms", "the loop's longest turn, ms", less_is_better=True, digits=1),
    Metric("turns_over", "turns over 5 ms", less_is_better=True),
    Metric("turns", "of"),
    Metric("broadcasts_per_second", "broadcasts a second", digits=2),
]

CASES = {
    "all idle": "the others idle",
    "each second": "the others get a broadcast each second",
    "without a pause": "the others get broadcasts without a pause",
}


@frozen
class Pings:
    """The pings, in one of the `CASES`."""

    name: str
    sockets: int
    metrics: Sequence[Metric] = METRICS

    @property
    def title(self) -> str:
        return f"16 that ping, while {CASES[self.name]}"

    def measure(self, contestant: Contestant, pace: Pace) -> Figures | None:
        """What the pingers of a fresh server saw."""
        pings = evolve(PINGERS, seconds=pace.seconds, warm_up=pace.warm_up)
        with (
            contestant.running(bot(TURNS, "turns")) as server,
            _others(server, self.name, self.sockets, pace) as told,
        ):
            _turns(server)
            seen = run(pings, server)
            turns = _turns(server)
        return {
            **seen,
            "longest_turn_ms": turns["longest_ms"],
            "turns_over": turns["over"],
            "turns": turns["turns"],
            "broadcasts_per_second": told(),
        }


@contextmanager
def _others(server: ServerProcess, case: str, sockets: int, pace: Pace) -> Iterator[Callable[[], float]]:
    """The many, for the length of the block; afterwards, how many broadcasts a second they got."""
    if case == "all idle":
        with held(evolve(IDLE, connections=sockets, sources=4), server):
            settle(server)
            yield lambda: 0.0
        return
    load = evolve(
        BROADCAST,
        connections=sockets,
        sources=4,
        rate=1.0 if case == "each second" else 0.0,
        warm_up=1.0,
        # They go on for longer than the pings.
        seconds=pace.warm_up + pace.seconds + 2,
    )
    seen: list[Figures | LoadFailed] = []
    thread = threading.Thread(target=lambda: seen.append(_run(load, server)))
    thread.start()
    try:
        while thread.is_alive() and _sockets(server) < sockets:
            time.sleep(0.2)
        time.sleep(1.0)
        yield lambda: _rate(seen[0], sockets)
    finally:
        thread.join()


def _run(load: Load, server: ServerProcess) -> Figures | LoadFailed:
    try:
        return run(load, server, yielding=True)
    except LoadFailed as error:
        return error


def _rate(seen: Figures | LoadFailed, sockets: int) -> float:
    if isinstance(seen, LoadFailed):
        raise seen
    return seen["finals"] / sockets / seen["elapsed_seconds"]


def _sockets(server: ServerProcess) -> int:
    # Asked of a pipeline that has none, so that the answer is short.
    statistics = data(server, f"/api/v1/pipelines/{PIECES}/ws/connections")["stats"]
    return int(statistics["total_connections"])


def _turns(server: ServerProcess) -> Figures:
    """What the loop's turns were like since this was asked before; the first time, nothing is noted yet."""

    async def ask() -> Figures:
        async with open_websocket_url(f"ws://127.0.0.1:{server.port}{connect(TURNS)}") as socket:
            await socket.send_message(say("how long?"))
            while True:
                frame = json.loads(await socket.get_message())
                if frame["type"] == "response" and frame["data"]["is_final"]:
                    found: Figures = json.loads(frame["data"]["content"])
                    return found

    return trio.run(ask)


def render_fairness(results: Results) -> str:
    """A table for each of our servers."""
    tables = []
    for name in results.contestants():
        lines = [
            f"| 16 that ping ({name}), while | " + " | ".join(metric.title for metric in METRICS) + " |",
            "|---" * (len(METRICS) + 1) + "|",
        ]
        for case, title in CASES.items():
            cells = [cell(results, case, name, metric) for metric in METRICS]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def main() -> None:
    """What the command line asks for."""
    parser = arguments_parser(__doc__, BUILD / "results" / "fairness.json", seconds=5.0)
    parser.add_argument("--sockets", type=int, default=9700)
    arguments = parser.parse_args()
    print(render_fairness(measure(arguments, [Pings(case, arguments.sockets) for case in CASES])))


if __name__ == "__main__":
    main()
