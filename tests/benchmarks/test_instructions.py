"""What a message may cost. Instructions are counted, for a clock on a shared machine can't be trusted."""

from __future__ import annotations

import pytest

from benchmarks.instructions import budgets
from benchmarks.instructions.counting import NoValgrind, instructions
from benchmarks.instructions.scenarios import SCENARIOS

# Valgrind is slow, and all is counted in one go.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def costs() -> dict[str, tuple[int, int]]:
    """Of each operation, what it takes and what it may take."""
    try:
        allowed = budgets.load()
        seen = instructions()
        budgets.check_build(allowed, seen)
    except (NoValgrind, budgets.NoBudgets) as error:
        pytest.skip(str(error))
    return {name: (seen[name], allowed[name]) for name in seen}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != budgets.YARDSTICK])
def test_an_operation_stays_within_its_budget(costs: dict[str, tuple[int, int]], name: str) -> None:
    """What a message costs creeps up by a few percent at a time, and no timing here would tell."""
    cost, budget = costs[name]

    assert cost <= budget * (1 + budgets.TOLERANCE), (
        f"{SCENARIOS[name].operation}: {cost:,} instructions, {cost / budget - 1:+.1%} of the budget. If that"
        " is what it is worth: python -m benchmarks.instructions --write"
    )


def test_a_budget_is_for_one_build_of_python() -> None:
    """Another compiler makes other instructions of the same interpreter: no fault of ours."""
    with pytest.raises(budgets.NoBudgets):
        budgets.check_build({budgets.YARDSTICK: 100}, {budgets.YARDSTICK: 104})
    budgets.check_build({budgets.YARDSTICK: 100}, {budgets.YARDSTICK: 101})
