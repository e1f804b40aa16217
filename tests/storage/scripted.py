"""A store that does what a test says, and an actor tree around the storage actor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, TypeVar

import trio
import trio.testing
from attrs import define, field, frozen

from actors import Actor, ActorRef, ActorSystem, RestartBudget, Supervisor
from server.chat import Command, ConversationKey, Fact, MarkRead, Message, Plain, Post, Sender, Snapshot
from server.messages import Commit, StorageMessage, Trimmed
from server.storage import Execute, Storage, Store

T = TypeVar("T")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = ConversationKey("a-pipeline", "person", "a")
OTHER = ConversationKey("a-pipeline", "person", "b")


def command(number: int, key: ConversationKey = KEY) -> MarkRead:
    """A small command, told from others by its number; a `ScriptedStore` answers it with that."""
    return MarkRead(key=key, epoch="e", at=NOON, by="somebody", up_to=number)


def large(number: int, size: int) -> Post:
    """A command of *size* characters."""
    return Post(
        key=KEY,
        epoch="e",
        at=NOON,
        chain=(Plain("x" * size),),
        sender=Sender("somebody", "Somebody"),
        connection_id=str(number),
    )


def number_of(command: Command[Any]) -> int:
    return command.up_to if isinstance(command, MarkRead) else int(getattr(command, "connection_id", 0))


@define
class ScriptedStore(Store):
    """Remembers what was asked of it. `on_write` and `on_read` may raise, or answer instead of it."""

    batches: list[list[int]] = field(factory=list)
    calls: list[str] = field(factory=list)
    on_write: Callable[[Sequence[Command[Any]]], list[Any] | None] = lambda commands: None
    on_read: Callable[[], None] = lambda: None
    on_maintain: Callable[[], None] = lambda: None
    trimmed: tuple[Trimmed, ...] = ()
    snapshot: Snapshot = field(factory=lambda: Snapshot(epoch="e"))

    @property
    def written(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    def write(self, commands: Sequence[Command[Any]]) -> list[Any]:
        numbers = [number_of(command) for command in commands]
        self.calls.append(f"write {' '.join(map(str, numbers))}")
        answers = self.on_write(commands)
        self.batches.append(numbers)
        return list(numbers) if answers is None else answers

    def load(self, key: ConversationKey, *, epoch: str, messages: int, after: int | None = None) -> Snapshot:
        self.calls.append(f"load {key.session_id}")
        self.on_read()
        return self.snapshot

    def facts(self, key: ConversationKey, *, after: int, upto: int, limit: int) -> tuple[Fact, ...]:
        self.calls.append(f"facts {key.session_id} {after} {upto} {limit}")
        self.on_read()
        return ()

    def messages(
        self,
        key: ConversationKey,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        alternatives: bool = False,
    ) -> tuple[Message, ...]:
        self.calls.append(f"messages {key.session_id} {limit} {before} {after} {alternatives}")
        self.on_read()
        return ()

    def unsettled(self) -> tuple[ConversationKey, ...]:
        self.calls.append("unsettled")
        self.on_read()
        return (KEY,)

    def trim(self, *, before: datetime | None, keep: int | None) -> tuple[Trimmed, ...]:
        self.calls.append(f"trim {before} {keep}")
        self.on_maintain()
        trimmed, self.trimmed = self.trimmed, ()
        return trimmed

    def maintain(self) -> None:
        self.calls.append("maintain")
        self.on_maintain()

    def close(self) -> None:
        self.calls.append("close")


def taking(seconds: float) -> Execute:
    """Runs a call here, in the middle of so many seconds that can't be cut short: like a thread."""

    async def execute(call: Callable[[], T], /) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        await _sleep_through(seconds / 2)
        try:
            return call()
        finally:
            await _sleep_through(seconds / 2)

    return execute


async def _sleep_through(seconds: float) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


class Root(Supervisor):
    """Forgives every crash."""

    def __init__(self, children: dict[str, Callable[[], Actor[Any]]]) -> None:
        self._children = children

    def budget(self) -> RestartBudget:
        return RestartBudget(restarts=1_000_000)

    async def started(self) -> None:
        for name, child in self._children.items():
            self.spawn(child, name=name)


@frozen
class Running:
    """A system with a storage actor in it."""

    system: ActorSystem

    def find(self, name: str) -> ActorRef[Any]:
        ref = self.system.find(f"root/{name}")
        assert ref is not None
        return ref

    @property
    def storage(self) -> ActorRef[StorageMessage]:
        return self.find("storage")

    def state(self) -> dict[str, str]:
        """What one sees of the storage actor from outside."""
        return dict(self.system.get_state("root/storage") or {})


@asynccontextmanager
async def running(
    store: Store,
    *,
    write: float = 1.0,
    read: float = 1.0,
    execute_write: Execute | None = None,
    execute_read: Execute | None = None,
    seed: int = 0,
    beside: dict[str, Callable[[], Actor[Any]]] | None = None,
    **options: Any,
) -> AsyncIterator[Running]:
    """A storage actor over *store*, whose calls take so many seconds of the mock clock."""
    storage = partial(
        Storage,
        store=store,
        execute_write=execute_write or taking(write),
        execute_read=execute_read or taking(read),
        **options,
    )
    system = ActorSystem(random=Random(seed))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(system.run, lambda: Root({"storage": storage, **(beside or {})}), name="root")
        )
        await trio.testing.wait_all_tasks_blocked()
        yield Running(system)
        system.stop()


@define
class Outcomes:
    """What came of each question, by its name, and when; in the order in which it came."""

    results: dict[object, Any] = field(factory=dict)
    times: dict[object, float] = field(factory=dict)

    async def ask(self, ref: ActorRef[Any], question: Any, name: object, timeout: float = 60) -> None:
        try:
            self.results[name] = await ref.ask(question, timeout=timeout)
        except Exception as error:
            self.results[name] = error
        self.times[name] = trio.current_time()

    async def commit(self, ref: ActorRef[Any], *numbers: int, timeout: float = 60) -> None:
        """Ask for the commands of these numbers, in this order and at the same time; wait for all."""
        async with trio.open_nursery() as nursery:
            for number in numbers:
                nursery.start_soon(self.ask, ref, Commit(command(number)), number, timeout)
                # Else trio would start them in any order.
                await trio.testing.wait_all_tasks_blocked()

    def kinds(self) -> dict[object, str]:
        """The errors' names, and the other answers as they are."""
        return {
            name: type(result).__name__ if isinstance(result, Exception) else result
            for name, result in self.results.items()
        }
