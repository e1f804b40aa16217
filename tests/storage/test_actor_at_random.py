"""The storage actor under random traffic, faults and crashes: what was acknowledged is there, once, in order.

`ACTORS_SEED=123 pytest -k at_random` repeats the run of that seed alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, field

from actors import Actor, ActorError, ActorRef, Answer
from actors.testing import given_seed, run_seeded
from server.chat import Busy, Command, ConversationKey, Refusal, Snapshot, StoreFailing
from server.messages import Commit, FindUnsettled, Load, Maintain
from server.storage import StoreError

from .scripted import ScriptedStore, command, number_of, running

GIVEN = given_seed()
SEEDS = range(60) if GIVEN is None else [GIVEN]
KEYS = [ConversationKey("p", "person", name) for name in "abc"]


class Boom(Exception):
    pass


@define
class Disk(ScriptedStore):
    """Does what it is told, or fails before or after it, or breaks; by the dice."""

    random: Random = field(factory=lambda: Random(0))
    at_work: int = 0
    done: dict[ConversationKey, list[int]] = field(factory=lambda: {key: [] for key in KEYS})

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        assert 1 <= len(commands) <= 5
        fate = self.random.random()
        if fate < 0.1:
            raise StoreError("before it")
        answers: list[Any] = []
        for each in commands:
            answers.append(self.random.choice([Busy(), StoreError("this one")] + [number_of(each)] * 8))
            if answers[-1] == number_of(each):
                self.done[each.key].append(number_of(each))
        if fate > 0.95:
            raise StoreError("after it")
        if fate > 0.92:
            raise Boom
        return answers

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        if self.random.random() < 0.1:
            raise StoreError("not now")
        return Snapshot(epoch=epoch, last_seq=len(self.done[key]))


class Teller(Actor[Any]):
    """Commits without waiting, and loads when it does not know what became of it, as conversations do."""

    capacity = 1

    def __init__(self, storage: ActorRef[Any], disk: Disk, books: Books, key: ConversationKey) -> None:
        self.storage = storage
        self.disk = disk
        self.books = books
        self.key = key

    async def handle(self, message: Any) -> None:
        match message:
            case int():
                self.books.told.setdefault(self.key, []).append(message)
                self.request(
                    self.storage,
                    Commit(command(message, self.key)),
                    partial(_pair, message),
                    timeout=self.disk.random.choice([0.01, 5, 1000]),
                )
            case (int() as number, Answer() as answer):
                self.books.settle(number, answer)
                if isinstance(answer.error, StoreFailing | ActorError):
                    sent = len(self.books.told[self.key])
                    then = partial(_pair, f"load after {sent}")
                    self.request(self.storage, Load(self.key, "e", 1), then, timeout=100)
            case (str() as load, Answer(error=None) as answer):
                self.books.loads.append((self.key, int(load.split()[-1]), answer.get().last_seq))


def _pair(what: int | str, answer: Answer[Any]) -> Any:
    return what, answer


@define
class Books:
    """What became of each number."""

    sent: int = 0
    acknowledged: list[int] = field(factory=list)
    declined: list[int] = field(factory=list)
    unknown: list[int] = field(factory=list)
    told: dict[ConversationKey, list[int]] = field(factory=dict)
    loads: list[tuple[ConversationKey, int, int]] = field(factory=list)
    """How many the teller had sent before it, and how much was done at the time of each."""

    def settle(self, number: int, answer: Answer[Any]) -> None:
        try:
            assert answer.get() == number
            self.acknowledged.append(number)
        except (StoreFailing, ActorError):
            self.unknown.append(number)
        except Refusal:
            self.declined.append(number)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Crashes are meant."""
    log = logging.getLogger("actors")
    was, log.propagate = log.propagate, False
    log.addHandler(logging.NullHandler())
    yield
    log.propagate = was


async def one_run(seed: int) -> tuple[Disk, Books]:
    random = Random(seed)
    disk, books = Disk(random=random), Books()

    async def execute_write(call: Any, /) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            disk.at_work += 1
            assert disk.at_work == 1, "two lives write at once"
            try:
                await trio.sleep(random.choice([0, 0.001, 0.1, 1]))
                return call()
            finally:
                await trio.sleep(random.choice([0, 0.001, 0.1]))
                disk.at_work -= 1
        raise AssertionError

    async def execute_read(call: Any, /) -> Any:
        await trio.sleep(random.choice([0, 0.001, 1]))
        return call()

    def next_number() -> int:
        books.sent += 1
        return books.sent

    async def ask_on(here: Any, key: ConversationKey) -> None:
        for _ in range(random.randint(5, 30)):
            number, answer = next_number(), None
            try:
                value = await here.storage.ask(
                    Commit(command(number, key)), timeout=random.choice([0.01, 5, 1000])
                )
                answer = Answer(value)
            except Exception as error:
                answer = Answer(error=error)
            books.settle(number, answer)
            if number in books.acknowledged:
                assert number in disk.done[key], "acknowledged, and not done"
            await trio.sleep(random.choice([0, 0, 0.01, 1]))

    async def disturb(here: Any) -> None:
        for _ in range(random.randint(0, 5)):
            await trio.sleep(random.uniform(0, 3))
            question: Any = random.choice([Maintain(), FindUnsettled()])
            disk.on_read = disk.on_maintain = random.choice([lambda: None, _break])
            with suppress(ActorError, StoreFailing):
                await here.storage.ask(question, timeout=10)

    executes: Any = {"execute_write": execute_write, "execute_read": execute_read}
    async with running(disk, **executes, batch=5, seed=seed) as here:
        tellers = [partial(Teller, here.storage, disk, books, key) for key in KEYS]
        root: Any = here.system.find("root")
        refs = [
            root._recipient.actor.spawn(teller, name=f"teller {number}")
            for number, teller in enumerate(tellers)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb, here)
            for key in KEYS * 2:
                nursery.start_soon(ask_on, here, key)
            for _ in range(random.randint(0, 60)):
                await random.choice(refs).tell(next_number())
                await trio.sleep(random.choice([0, 0, 0.01, 0.5]))
        await trio.sleep(2000)
        assert here.state()["waiting"] == "0"
        assert all(view.requests == 0 for view in here.system.actors("root/teller"))
    return disk, books


def _break() -> None:
    raise Boom


@pytest.mark.parametrize("seed", SEEDS)
def test_at_random_what_was_acknowledged_is_there_once_and_in_order(seed: int) -> None:
    """And everybody hears something, whatever happens to the store, its thread or its actor."""
    disk, books = run_seeded(one_run, seed, seed=seed)

    done = [number for numbers in disk.done.values() for number in numbers]
    assert len(done) == len(set(done)), "done twice"
    assert set(books.acknowledged) <= set(done)
    assert not set(books.declined) & set(done)
    settled = [*books.acknowledged, *books.declined, *books.unknown]
    assert sorted(settled) == list(range(1, books.sent + 1))
    for key, told in books.told.items():
        assert [number for number in told if number in done] == [n for n in disk.done[key] if n in told]
    for key, sent, shown in books.loads:
        late = set(disk.done[key][shown:]) & set(books.told[key][:sent])
        assert not late, "done after a load that was sent behind it"
