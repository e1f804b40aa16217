"""The real store behind a bad disk: it is slow, it refuses, it does what it says it did not.

Where the calls run is simulated as well: inline instead of in threads, with time passing before and after.
Every commit is told to the `Truth` the moment it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from typing import Any, TypeVar

import trio

from server.chat import Command, ConversationKey, Fact, Message, Snapshot
from server.messages import Trimmed
from server.storage import Store, StoreError

from .faults import Faults
from .plan import Plan
from .truth import Truth

T = TypeVar("T")


class Disk:
    """What survives the process: which faults it has at the moment, and until when."""

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._plan = plan
        self._faults = faults
        self.dice = Random(f"disk {plan.seed}")
        self.calm = False
        """No faults any more."""
        self._fails_until = 0.0

    def failing(self) -> bool:
        """Whether nothing works at the moment."""
        return self._faults.journal.now < self._fails_until

    def has(self, fault: str, *keys: ConversationKey, seconds: float = 0.0) -> bool:
        """Whether that fault happens now; it is noted then."""
        if self.calm or fault not in self._plan.store_faults or self.dice.random() >= self._plan.store_risk:
            return False
        self._faults.add(f"store {fault}", *keys, seconds=seconds)
        return True

    def begin_period(self) -> None:
        """Perhaps begin a time in which nothing works."""
        seconds = self.dice.uniform(0.1, 5.0)
        if not self.failing() and self.dice.random() < 0.3 and self.has("failing period", seconds=seconds):
            self._fails_until = self._faults.journal.now + seconds

    def settle(self) -> None:
        """From now on all is well."""
        self.calm, self._fails_until = True, 0.0


class FaultyStore:
    """A `Store` on *inner* that fails as *disk* wants, and tells *truth* what was committed."""

    def __init__(self, inner: Store, disk: Disk, truth: Truth, faults: Faults) -> None:
        self._inner = inner
        self._disk = disk
        self._truth = truth
        self._faults = faults

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        self._fail_before()  # for whoever waits as well
        number = self._disk.dice.randrange(len(commands))
        if self._disk.has("one refused", commands[number].key):
            others = [*commands[:number], *commands[number + 1 :]]
            answers = self._write(others) if others else []
            return [*answers[:number], StoreError("simulated: this one could not be done"), *answers[number:]]
        answers = self._write(commands)
        if self._disk.has("unknown"):  # whoever waits meanwhile is refused as well
            raise StoreError("simulated: lost after the commit")
        return answers

    def _write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        answers = self._inner.write(commands)
        journal = self._faults.journal
        self._truth.committed(commands, answers, journal.now)
        for command, answer in zip(commands, answers, strict=True):
            shown = f"seq {answer.seq}" if hasattr(answer, "seq") else type(answer).__name__
            journal.note("store", f"{command.key.session_id} {type(command).__name__} → {shown}")
        return answers

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        self._fail_before(key)
        return self._inner.load(key, epoch=epoch, messages=messages, after=after)

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]:
        self._fail_before(key)
        return self._inner.facts(key, after=after, upto=upto, limit=limit)

    def messages(
        self,
        key: ConversationKey,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        alternatives: bool = False,
    ) -> tuple[Message, ...]:
        self._fail_before(key)
        return self._inner.messages(key, limit=limit, before=before, after=after, alternatives=alternatives)

    def unsettled(self) -> tuple[ConversationKey, ...]:
        self._fail_before()
        return self._inner.unsettled()

    def trim(self, *, before: datetime | None, keep: int | None) -> tuple[Trimmed, ...]:
        self._fail_before()
        trimmed = self._inner.trim(before=before, keep=keep)
        self._truth.trimmed(trimmed)
        for each in trimmed:
            self._faults.journal.note("store", f"{each.key.session_id} trimmed to {each.floor}")
            self._faults.journal.count("trimmed")
        return trimmed

    def maintain(self) -> None:
        self._fail_before()
        self._inner.maintain()

    def close(self) -> None:
        self._inner.close()

    def _fail_before(self, *keys: ConversationKey) -> None:
        self._disk.begin_period()
        if self._disk.failing() or self._disk.has("refused", *keys):
            raise StoreError("simulated: could not be read or written")


class Execution:
    """Runs the store's calls in the caller's task, in simulated time.

    As with a thread, neither a crash of the actor that asks nor its end breaks a call off; the death of the
    process does, and what had not been called by then never is.

    Args:
        moment: Called before and after each call: somebody may want to strike just then.
    """

    def __init__(self, plan: Plan, disk: Disk, faults: Faults, moment: Callable[[], None]) -> None:
        self._latency = plan.latency
        self._disk = disk
        self._faults = faults
        self._moment = moment
        self._running: set[trio.CancelScope] = set()
        self._dead = False

    async def __call__(self, call: Callable[[], T]) -> T:
        await self._pass_time(self._delay())
        try:
            return call()
        finally:
            await self._pass_time(self._delay() / 2)

    def die(self) -> None:
        """The process is gone."""
        self._dead = True
        for scope in self._running:
            scope.cancel()

    def _delay(self) -> float:
        self._moment()
        seconds = self._disk.dice.uniform(0.5, 8.0)
        if self._disk.has("slow", seconds=seconds):
            return seconds
        return self._disk.dice.uniform(0.0, self._latency)

    async def _pass_time(self, seconds: float) -> None:
        with trio.CancelScope(shield=True) as scope:
            self._running.add(scope)
            await trio.sleep(seconds)
        self._running.discard(scope)
        if self._dead:
            await trio.sleep_forever()
