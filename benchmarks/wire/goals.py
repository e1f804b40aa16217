"""What our server is to reach, beside whom, as it was laid down before anything was measured."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .results import Results
from .spread import Spread, paired, spread


@frozen
class Beside:
    """More than *times* what *peer* does in the same round."""

    peer: str
    times: float = 1.0

    def text(self) -> str:
        """As it stands in the table."""
        return f"> {self.peer}" if self.times == 1 else f"{self.times:g} × {self.peer}"


@frozen
class AtMost:
    """No more than *limit*."""

    limit: float
    unit: str

    def text(self) -> str:
        """As it stands in the table."""
        return f"≤ {self.limit:g} {self.unit}"


Bar = Beside | AtMost


@frozen(kw_only=True)
class Goal:
    """What is to be reached with the figure *key* of *work*; and what to reach for beyond that.

    The peers' figure is that of *peers_work*, if it is another.
    """

    title: str
    work: str
    key: str
    goal: Sequence[Bar]
    reach: Sequence[Bar] = ()
    digits: int = 0
    peers_work: str | None = None


GOALS = [
    Goal(
        title="broadcast to 1,000",
        work="broadcast",
        key="messages_per_cpu",
        goal=[Beside("node-ws"), Beside("uvicorn"), Beside("langbot", 10)],
        reach=[Beside("picows", 0.9)],
    ),
    Goal(
        title="message in a group of 1,000",
        work="group",
        key="messages_per_cpu",
        goal=[Beside("node-ws"), Beside("uvicorn"), Beside("langbot", 10)],
        reach=[Beside("picows", 0.9)],
    ),
    Goal(
        title="200 streams of 100 chunks, delta",
        work="delta",
        key="messages_per_cpu",
        goal=[Beside("uvicorn"), Beside("node-ws")],
        reach=[Beside("picows")],
    ),
    Goal(
        title="… in whole replies",
        work="delta",
        key="finals_per_cpu",
        goal=[Beside("uvicorn"), Beside("node-ws")],
        reach=[Beside("picows")],
    ),
    Goal(
        title="… in whole replies, told as by default",
        work="delta-default",
        key="finals_per_cpu",
        goal=[Beside("uvicorn"), Beside("node-ws")],
        reach=[Beside("picows")],
        peers_work="delta",
    ),
    Goal(
        title="the same, cumulative",
        work="cumulative",
        key="messages_per_cpu",
        goal=[Beside("uvicorn")],
        reach=[Beside("node-ws")],
    ),
    Goal(
        title="… in whole replies",
        work="cumulative",
        key="finals_per_cpu",
        goal=[Beside("uvicorn")],
        reach=[Beside("node-ws")],
    ),
    Goal(
        title="… in whole replies, told as by default",
        work="cumulative-default",
        key="finals_per_cpu",
        goal=[Beside("uvicorn")],
        reach=[Beside("node-ws")],
        peers_work="cumulative",
    ),
    Goal(
        title="ping→pong, 64 sockets, one outstanding",
        work="ping1",
        key="messages_per_cpu",
        goal=[Beside("uvicorn")],
        reach=[Beside("uvicorn", 1.5)],
    ),
    Goal(
        title="eight outstanding",
        work="ping8",
        key="messages_per_cpu",
        goal=[Beside("uvicorn"), Beside("node-ws")],
        reach=[Beside("picows")],
    ),
    Goal(
        title="message → first chunk from `echo`, durable: p99 at half load",
        work="first",
        key="first_p99_ms",
        goal=[AtMost(10, "ms")],
        digits=1,
    ),
    Goal(
        title="idle socket",
        work="idle",
        key="kib_per_socket",
        goal=[AtMost(20, "KiB")],
        reach=[AtMost(14, "KiB")],
        digits=1,
    ),
    Goal(
        title="handshakes",
        work="idle",
        key="handshakes_per_cpu",
        goal=[Beside("uvicorn")],
        reach=[Beside("uvicorn", 1.5)],
    ),
    Goal(
        title="start to first byte served",
        work="start",
        key="serve_seconds",
        goal=[AtMost(1.0, "s")],
        reach=[AtMost(0.5, "s")],
        digits=2,
    ),
]


def goals_table(results: Results, ours: str) -> str:
    """How *ours* stands beside every goal that was measured, as Markdown."""
    lines = [f"| {ours} | seen | goal | reach for |", "|---|---|---|---|"]
    for goal in GOALS:
        values = results.of(goal.work, ours, goal.key)
        if values:
            seen = spread(list(values.values())).text(goal.digits)
            bars = (_standing(results, goal, ours, each) for each in (goal.goal, goal.reach))
            lines.append(f"| {goal.title} | {seen} | " + " | ".join(bars) + " |")
    return "\n".join(lines)


def _standing(results: Results, goal: Goal, ours: str, bars: Sequence[Bar]) -> str:
    return "<br>".join(_against(results, goal, ours, bar) for bar in bars)


def _against(results: Results, goal: Goal, ours: str, bar: Bar) -> str:
    values = results.of(goal.work, ours, goal.key)
    if isinstance(bar, AtMost):
        return f"{bar.text()} {_mark(spread(list(values.values())).median <= bar.limit)}"
    theirs = results.of(goal.peers_work or goal.work, bar.peer, goal.key)
    ratio: Spread | None = paired(values, theirs)
    if ratio is None:
        return f"{bar.text()}: not measured"
    return f"{bar.text()} {_mark(ratio.median > bar.times)} {ratio.text(2)}"


def _mark(met: bool) -> str:
    return "**yes**" if met else "no"
