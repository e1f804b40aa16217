"""The pure parts of the wire benchmark: what rounds say together, and the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.wire.goals import goals_table
from benchmarks.wire.results import Measurement, Results
from benchmarks.wire.spread import Spread, paired, spread
from benchmarks.wire.tables import render


def results(*rows: tuple[str, str, int, dict[str, float]]) -> Results:
    return Results({"commits": {"triologue": "abc"}}, [Measurement(*row) for row in rows])


def pings(contestant: str, number: int, rate: float) -> tuple[str, str, int, dict[str, float]]:
    return "ping1", contestant, number, {"messages_per_cpu": rate, "frame_bytes": 54.0}


def test_a_spread_is_the_median_with_the_extremes() -> None:
    """One slow round of a busy machine must neither hide nor count."""
    assert spread([3.0, 100.0, 1.0]) == Spread(3.0, 1.0, 100.0)


def test_a_ratio_is_of_the_same_round() -> None:
    """The machine changes between rounds; two figures of one round saw the same machine."""
    ratio = paired({0: 10.0, 1: 100.0, 2: 30.0}, {0: 5.0, 1: 50.0, 2: 15.0})

    assert ratio == Spread(2.0, 2.0, 2.0)


def test_a_round_without_a_peer_makes_no_ratio() -> None:
    """A measurement may fail; what is left of its round has nothing to stand beside."""
    assert paired({0: 10.0, 1: 8.0}, {1: 4.0}) == Spread(2.0, 2.0, 2.0)
    assert paired({0: 10.0}, {1: 4.0}) is None


def test_a_single_value_has_no_range() -> None:
    """A range of one value would look as if there had been rounds."""
    assert spread([1234.5]).text(1) == "1,234.5"
    assert spread([1.0, 2.0, 4.0]).text() == "2 (1–4)"


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    """A report is rendered from the file, often long after the run."""
    wrote = results(pings("triologue", 0, 10.0), pings("uvicorn", 0, 5.0))
    wrote.save(tmp_path / "results.json")

    assert Results.load(tmp_path / "results.json") == wrote


@pytest.mark.parametrize(
    ("rate", "standing"),
    [
        (40.0, "> uvicorn **yes** 2.00 | 1.5 × uvicorn **yes** 2.00"),
        (24.0, "> uvicorn **yes** 1.20 | 1.5 × uvicorn no 1.20"),
        (10.0, "> uvicorn no 0.50 | 1.5 × uvicorn no 0.50"),
    ],
)
def test_a_goal_beside_a_peer_is_met_by_the_paired_ratio(rate: float, standing: str) -> None:
    """A goal is a promise: the table must say no where it is not kept."""
    table = goals_table(results(pings("triologue", 0, rate), pings("uvicorn", 0, 20.0)), "triologue")

    assert standing in table


def test_a_goal_whose_peer_is_missing_is_left_open() -> None:
    """Nobody to compare with is no victory."""
    assert "> uvicorn: not measured" in goals_table(results(pings("triologue", 0, 1.0)), "triologue")


def test_a_limit_is_met_up_to_itself() -> None:
    """`At most` includes the limit."""
    idle = results(("idle", "triologue", 0, {"kib_per_socket": 20.0}))

    assert "| idle socket | 20.0 | ≤ 20 KiB **yes** | ≤ 14 KiB no |" in goals_table(idle, "triologue")


def test_a_table_names_everybody_and_ours_beside_each() -> None:
    """Who reads it looks for the ratio first."""
    seen = results(pings("triologue", 0, 10.0), pings("picows", 0, 40.0), pings("triologue", 1, 20.0))

    assert "| picows | 40 | – | – | 54 | 0.25 |" in render(seen)
    assert "| triologue | 15 (10–20) | – | – | 54 | – |" in render(seen)
