"""Random trees of actors under a seeded scheduler: whatever happens, the laws hold.

`ACTORS_SEED=123 pytest -k random` repeats the run of that seed alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import ActorSystem, Envelope, Observer, Origin, RestartBudgetSpent, State
from actors.testing import given_seed, run_seeded

from .puppets import Boom, running_tasks, settle
from .trial import Trial
from .wild import Wild

GIVEN = given_seed()
SEEDS = st.integers(0, 2**32) if GIVEN is None else st.just(GIVEN)


class Causes(Observer):
    """Checks that every message comes of one that was begun before, and shares its origin."""

    def __init__(self) -> None:
        self.origins: dict[int, Origin] = {}
        self.log: list[object] = []
        self._first = 0

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        self._check(envelope)
        self._note("sent", envelope, address)

    def began(self, envelope: Envelope, address: str, queued: int) -> None:
        self._check(envelope)
        self._note("began", envelope, address)
        self.origins[envelope.id] = envelope.origin

    def ended(self, envelope: Envelope, address: str, error: BaseException | None) -> None:
        self._note(type(error).__name__, envelope, address)

    def changed(self, address: str, state: State) -> None:
        self.log.append((trio.current_time(), address, state))

    def _check(self, envelope: Envelope) -> None:
        if envelope.cause:
            assert envelope.origin == self.origins[envelope.cause]
        else:
            assert envelope.origin.id == envelope.id

    def _note(self, what: str, envelope: Envelope, address: str) -> None:
        # Ids grow over all runs of the process; only their distances can be the same again.
        self._first = self._first or envelope.id
        self.log.append((trio.current_time(), what, address, envelope.kind, envelope.id - self._first))


class Crashes(logging.Handler):
    """Hears of every crash, and keeps those that were not meant: a broken law shows as one."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            error = record.exc_info[1]
            errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            self.others += [each for each in errors if each is not None and not _is_meant(each)]


def _is_meant(error: BaseException) -> bool:
    return isinstance(error, Boom | RestartBudgetSpent) or "unhashable" in str(error)


@pytest.fixture(autouse=True)
def crashes() -> Iterator[Crashes]:
    log, heard = logging.getLogger("actors"), Crashes()
    log.addHandler(heard)
    log.propagate = False
    yield heard
    log.removeHandler(heard)
    log.propagate = True


async def wild_run(seed: int, crashes: Crashes, observed: bool = True) -> Causes:
    """One random tree, its end by itself, by a stop or by cancellation, and what must be true then."""
    random = Random(seed)
    system = ActorSystem(random=random)
    trial, causes = Trial(random, system), Causes()
    if observed:
        system.attach(causes)

    async def send_some(sender: str) -> None:
        for _ in range(random.randint(0, 30)):
            await trial.send(sender, random.choice(trial.refs))
            await trio.sleep(trial.pause())

    async def run_system() -> None:
        with suppress(Boom, RestartBudgetSpent):  # an end like any other
            await system.run(lambda: Wild(trial, "root"), name="root")

    with trio.fail_after(10_000):
        async with trio.open_nursery() as outside:
            outside.start_soon(run_system)
            await settle()
            async with trio.open_nursery() as nursery:
                for number in range(random.randint(1, 5)):
                    nursery.start_soon(send_some, f"sender {number}")
                await trio.sleep(random.uniform(0, 20))
                match random.choice(["wait", "stop", "cancel"]):
                    case "stop":
                        system.stop()
                    case "cancel":
                        outside.cancel_scope.cancel()
            system.stop()

    assert crashes.others == []
    assert running_tasks() == []
    assert system.actors() == []
    assert trial.edges == []
    assert trial.counts["asked"] == trial.counts["settled"]
    assert all(number == 1 for number in trial.downs.values())
    assert all(number == 1 for number in trial.ticks.values())
    assert all(number == 1 for number in trial.heard.values())
    assert not any(story.open for story in trial.stories.values())
    for handled in trial.handled.values():
        assert len(handled) == len(set(handled))
        for sender in {sender for sender, _ in handled}:
            numbers = [number for who, number in handled if who == sender]
            assert numbers == sorted(numbers)
    return causes


@given(SEEDS, st.booleans())
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=150 if GIVEN is None else 2,
)
def test_whatever_happens_the_promises_hold(crashes: Crashes, seed: int, observed: bool) -> None:
    """It ends; asks settle in time; groups restart whole; nothing is handled twice or out of order."""
    run_seeded(wild_run, seed, crashes, observed, seed=seed)
