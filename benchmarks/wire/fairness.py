"""Whether a few that ping notice the many that get broadcasts.

    python -m benchmarks.wire.fairness [--sockets 9700] [--rounds 3]

16 sockets send pings at even intervals, 200 a second in all; a latency counts from the moment at which the
ping was due. Meanwhile the other sockets are idle, get a broadcast each second, or one after the other
without a pause. The longest time for which the server's loop was held is what its own watchdog saw, which
heeds 100 ms and more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from .asking import data, settle
from .contestants import PIECES, ROOT, SHORT, Contestant, ours
from .generator import BUILD, Figures, Load, LoadFailed, held, run
from .process import ServerProcess, keep_off_the_server
from .results import Measurement, Results, about_this_run
from .run import add_server_arguments
from .spread import spread
from .work import Metric, Pace
from .workloads import BROADCAST, IDLE, PING, connect

PINGERS = evolve(PING, path=connect(SHORT), connections=16, rate=200.0, sources=1, first_source=99)
"""Of another pipeline, so that no broadcast is theirs."""

METRICS = [
    Metric("final_p50_ms", "ping p50, ms", less_is_better=True, digits=1),
    Metric("final_p99_ms", "p99, ms", less_is_better=True, digits=1),
    Metric("final_max_ms", "longest, ms", less_is_better=True, digits=1),
    Metric("longest_hold_ms", "loop held longest, ms", less_is_better=True),
    Metric("holds", "holds", less_is_better=True),
    Metric("broadcasts_per_second", "broadcasts a second", digits=2),
]

CASES = {
    "all idle": "the others idle",
    "each second": "the others get a broadcast each second",
    "without a pause": "the others get broadcasts without a pause",
}


def measure(contestant: Contestant, case: str, sockets: int, pace: Pace) -> Figures:
    """What the pingers of a fresh server saw in *case*."""
    pings = evolve(PINGERS, seconds=pace.seconds, warm_up=pace.warm_up)
    with contestant.running() as server:
        with _others(server, case, sockets, pace) as told:
            before = _holds(server)[0]
            seen = run(pings, server)
            total, newest = _holds(server)
        holds = newest[len(newest) - min(total - before, len(newest)) :]
    return {
        **seen,
        "holds": total - before,
        "longest_hold_ms": max(holds, default=0.0) * 1e3,
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


def _holds(server: ServerProcess) -> tuple[int, list[float]]:
    """How often the loop was held so far, and the seconds of the newest times, the last one last."""
    holds = data(server, "/api/v1/admin/actors?prefix=nobody")["holds"]
    return int(holds["total"]), [float(hold["seconds"]) for hold in holds["recent"]]


def render_fairness(results: Results) -> str:
    """A table for each of our servers."""
    tables = []
    for name in dict.fromkeys(each.contestant for each in results.measurements):
        lines = [
            f"| 16 that ping ({name}), while | " + " | ".join(metric.title for metric in METRICS) + " |",
            "|---" * (len(METRICS) + 1) + "|",
        ]
        for case, title in CASES.items():
            cells = []
            for metric in METRICS:
                values = results.of(case, name, metric.key)
                cells.append(spread(list(values.values())).text(metric.digits) if values else "–")
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_server_arguments(parser)
    parser.add_argument("--sockets", type=int, default=9700)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of pings, for each measurement")
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--output", type=Path, default=BUILD / "results" / "fairness.json")
    arguments = parser.parse_args()
    keep_off_the_server()
    servers = arguments.server or {"triologue": ROOT}
    contestants = [ours(name, directory, arguments.python) for name, directory in servers.items()]
    pace = Pace(seconds=arguments.seconds, warm_up=arguments.warm_up)
    results = Results(
        about_this_run(servers, rounds=arguments.rounds, seconds=pace.seconds, sockets=arguments.sockets)
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.rounds):
        for case in CASES if number % 2 == 0 else reversed(CASES):
            for contestant in contestants:
                try:
                    figures = measure(contestant, case, arguments.sockets, pace)
                except (LoadFailed, RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"{case} {contestant.name}: {error}", file=sys.stderr)
                    continue
                results.measurements.append(Measurement(case, contestant.name, number, figures))
                results.save(arguments.output)
                shown = ", ".join(f"{each.title} {figures[each.key]:.{each.digits}f}" for each in METRICS)
                print(f"round {number + 1} {case}, {contestant.name}: {shown}", file=sys.stderr)
    print(render_fairness(results))


if __name__ == "__main__":
    main()
