"""A run that went wrong can be repeated, step by step."""

from __future__ import annotations

import pytest
import trio
from trio._core import _run as trio_run

from actors.testing import given_seed, run_seeded

from .puppets import Part, stage
from .test_random_trees import Crashes, crashes, wild_run

__all__ = ["crashes"]


def test_two_runs_of_one_seed_are_the_same_event_for_event(crashes: Crashes) -> None:
    """Messages, lives and times: else a failure could not be looked at twice."""
    for seed in range(5):
        first, second = (run_seeded(wild_run, seed, crashes, seed=seed) for _ in range(2))
        assert len(first.log) > 20
        assert first.log == second.log


def test_a_run_does_not_depend_on_what_ran_before_it(crashes: Crashes) -> None:
    """A seed found in a long run of tests is repeated in a process of its own."""
    first = run_seeded(wild_run, 2, crashes, seed=2)
    for number in range(1, 16):
        run_seeded(tell_some, number, seed=0)
        assert run_seeded(wild_run, 2, crashes, seed=2).log == first.log


async def tell_some(number: int) -> None:
    async with stage() as here:
        ref = here.spawn(Part())
        for _ in range(number):
            await ref.tell("A")


def test_runs_of_different_seeds_differ(crashes: Crashes) -> None:
    """With the same dice, by the scheduler alone: else one seed would do."""
    logs = [run_seeded(wild_run, 1, crashes, seed=seed).log for seed in range(5)]

    assert all(one != other for number, one in enumerate(logs) for other in logs[:number])


def test_time_is_simulated() -> None:
    """A year is over at once."""
    assert run_seeded(sleep_for, 365 * 24 * 3600.0, seed=0) == 365 * 24 * 3600


async def sleep_for(seconds: float) -> float:
    await trio.sleep(seconds)
    return trio.current_time()


@pytest.mark.parametrize("fails", [False, True])
def test_trios_own_scheduler_is_as_before_afterwards(fails: bool) -> None:
    """Other tests want its real randomness."""
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    if fails:
        with pytest.raises(ZeroDivisionError) as raised:
            run_seeded(fail, 1, seed=3)
        assert raised.value.__notes__ == ["To repeat this run: ACTORS_SEED=3"]
    else:
        run_seeded(sleep_for, 1, seed=3)
    assert (trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()) == before


async def fail(_: object) -> None:
    raise ZeroDivisionError


def test_the_environment_names_the_seed_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one run can be repeated without touching a test."""
    monkeypatch.delenv("ACTORS_SEED", raising=False)
    assert given_seed() is None
    monkeypatch.setenv("ACTORS_SEED", "123")
    assert given_seed() == 123
