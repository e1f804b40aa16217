"""What may grow in a server, and what is to be measured of it at each size."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import evolve, frozen

from .asking import cost, data, fetch, settle
from .contestants import ECHO, SHORT, Contestant
from .generator import Figures, Load, held, run
from .work import Metric, Pace
from .workloads import BROADCAST, GROUP, IDLE, PING, connect

CONVERSATIONS = 5
"""How many conversations of each length are opened."""
PAGES = 20


@frozen(kw_only=True)
class Growth:
    """One thing that grows."""

    name: str
    title: str
    unit: str
    sizes: Sequence[int]
    metrics: Sequence[Metric]
    """Costs of one unit of what the work must touch: where they don't rise, the whole is linear or better."""
    at: Callable[[Contestant, int, Pace], Figures]
    """Measures at a size."""

    def works(self) -> list[AtSize]:
        """One kind of work for each size."""
        return [AtSize(self, size) for size in self.sizes]


@frozen
class AtSize:
    """What *growth* costs at one size."""

    growth: Growth
    size: int

    @property
    def name(self) -> str:
        return f"{self.growth.name} {self.size}"

    @property
    def title(self) -> str:
        return f"{self.growth.title}: {self.size:,}"

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.growth.metrics

    def measure(self, contestant: Contestant, pace: Pace) -> Figures:
        """By a fresh server of *contestant*."""
        return self.growth.at(contestant, self.size, pace)


def sockets(contestant: Contestant, size: int, pace: Pace) -> Figures:
    """*size* idle sockets: joining, leaving, being counted; and as many that get broadcasts."""
    with contestant.running() as server:
        statistics = f"/api/v1/pipelines/{ECHO}/ws/connections"
        with held(evolve(IDLE, connections=8), server):
            fetch(server, statistics)
        settle(server)
        before = server.rss()
        with held(evolve(IDLE, connections=size, sources=4), server) as those:
            settle(server)
            after = server.rss()
            counting = cost(server, statistics, 5)
            settle(server)
            leaving = server.cpu()
            those.close()
            settle(server)
            leaving = server.cpu() - leaving
        left = data(server, statistics)["stats"]["total_connections"]
        if left:
            raise RuntimeError(f"{left} sockets have not left")
        load = evolve(BROADCAST, connections=size, sources=4, seconds=pace.seconds, warm_up=pace.warm_up)
        broadcasts = run(load, server)
    return {
        "join_us": those.opening["connect_cpu_seconds"] / size * 1e6,
        "leave_us": leaving / size * 1e6,
        "kib_per_socket": (after - before) / 1024 / size,
        "statistics_us": counting / size * 1e6,
        "frame_us": 1e6 / broadcasts["messages_per_cpu"],
    }


def history(contestant: Contestant, size: int, pace: Pace) -> Figures:
    """Conversations of *size* messages, which a restarted server has in its store alone."""
    with tempfile.TemporaryDirectory(prefix="wire-") as path:
        directory = Path(path)
        contestant.prepare(directory)
        (directory / "history.jsonl").write_bytes(b"\n".join(_export(size)) + b"\n")
        subprocess.run(
            [*contestant.command[:4], "db", "import", "history.jsonl"],
            cwd=directory,
            env=contestant.environment,
            check=True,
            capture_output=True,
        )
        with contestant.started(directory) as server:
            with held(evolve(IDLE, connections=8), server):
                pass
            settle(server)
            with held(_one_by_one, server) as those:
                page = f"/api/v1/pipelines/{ECHO}/ws/messages/person?session_id=c0&limit=50"
                paging = cost(server, f"{page}&before={size // 2 + 1}", PAGES)
                opening = those.opening
            return {
                "open_ms": opening["connect_cpu_seconds"] / CONVERSATIONS * 1e3,
                "open_wall_ms": opening["ready_p50_ms"],
                "page_ms": paging * 1e3,
                "start_ms": server.seconds_to_serve * 1e3,
            }


def pipelines(contestant: Contestant, size: int, pace: Pace) -> Figures:
    """*size* pipelines beside our usual three."""
    more = "".join(
        f'[[pipelines]]\nuuid = "00000000-0000-4000-9000-{number:012}"\n'
        f'name = "echo-{number}"\nkind = "echo"\n'
        for number in range(size)
    )
    with contestant.running(more) as server:
        started, memory = server.cpu(), server.rss()
        pings = run(evolve(PING, seconds=pace.seconds, warm_up=pace.warm_up), server)
        return {
            "start_ms": server.seconds_to_serve * 1e3,
            "start_cpu_ms": started * 1e3,
            "start_cpu_per_pipeline_ms": started * 1e3 / (size + 3),
            "mib": memory / 2**20,
            "ping_us": 1e6 / pings["messages_per_cpu"],
        }


def members(contestant: Contestant, size: int, pace: Pace) -> Figures:
    """A group of *size*, in which one speaks and is answered with one word."""
    load = evolve(GROUP, connections=size, seconds=pace.seconds, warm_up=pace.warm_up)
    with contestant.running() as server:
        seen = run(load, server)
    return {
        "exchange_us": seen["cpu_seconds"] / (seen["finals"] / size) * 1e6,
        "frame_us": 1e6 / seen["messages_per_cpu"],
    }


def _less(key: str, title: str, digits: int = 1) -> Metric:
    return Metric(key, title, less_is_better=True, digits=digits)


GROWTHS = [
    Growth(
        name="sockets",
        title="sockets of one server",
        unit="sockets",
        sizes=(100, 1000, 9700),
        metrics=[
            _less("join_us", "join: CPU µs a socket", 0),
            _less("leave_us", "leave: CPU µs a socket", 0),
            _less("kib_per_socket", "KiB a socket"),
            _less("statistics_us", "statistics: CPU µs a socket"),
            _less("frame_us", "broadcast: CPU µs a frame"),
        ],
        at=sockets,
    ),
    Growth(
        name="history",
        title="messages of one conversation",
        unit="messages",
        sizes=(10, 1000, 100_000),
        metrics=[
            _less("open_ms", "open a conversation: CPU ms", 2),
            _less("open_wall_ms", "… ms by the clock", 2),
            _less("page_ms", "a page of 50 from the middle: CPU ms", 2),
            _less("start_ms", "start: ms by the clock", 0),
        ],
        at=history,
    ),
    Growth(
        name="pipelines",
        title="pipelines of one server",
        unit="pipelines",
        sizes=(1, 10, 100, 1000),
        metrics=[
            _less("start_ms", "start: ms by the clock", 0),
            _less("start_cpu_ms", "start: CPU ms", 0),
            _less("start_cpu_per_pipeline_ms", "… a pipeline", 2),
            _less("mib", "MiB after the start"),
            _less("ping_us", "ping: CPU µs"),
        ],
        at=pipelines,
    ),
    Growth(
        name="members",
        title="members of one conversation",
        unit="members",
        sizes=(1, 10, 100, 1000),
        metrics=[
            _less("exchange_us", "a message and its reply: CPU µs", 0),
            _less("frame_us", "… a delivered frame"),
        ],
        at=members,
    ),
]


_one_by_one: Load = evolve(
    IDLE, path=connect(ECHO, session_id="c{i}"), connections=CONVERSATIONS, handshakes=1
)


def _export(size: int) -> Iterator[bytes]:
    """`CONVERSATIONS` conversations of *size* messages, as lines of `triologue db import`."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    yield _line("export", format=1, at=_at(began))
    for number in range(CONVERSATIONS):
        yield _line(
            "conversation",
            pipeline=ECHO,
            session_type="person",
            session_id=f"c{number}",
            last_id=size,
            last_seq=size,
            floor=0,
            gone=0,
        )
        for id_ in range(1, size + 1):
            reply = id_ % 2 == 0
            body = {
                "chain": [{"text": f"{id_}: as long as people write, about so.", "type": "Plain"}],
                "name": "echo" if reply else "Guest",
                "connection_id": SHORT,
            }
            yield _line(
                "message",
                id=id_,
                seq=id_,
                question=id_ - 1 if reply else None,
                alternative_of=None,
                superseded=False,
                recalled=False,
                sender="assistant" if reply else "guest-1",
                at=_at(began + timedelta(seconds=id_)),
                edited_at=None,
                body={**body, "finish_reason": "stop"} if reply else body,
            )
    yield _line("end", conversations=CONVERSATIONS, messages=CONVERSATIONS * size)


def _line(kind: str, /, **fields: object) -> bytes:
    return json.dumps({kind: fields}).encode()


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
