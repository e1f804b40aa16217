"""Who looks after the store: when, and what becomes of what it forgets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from actors import Actor, ActorRef
from server.messages import DirectoryMessage, Forgotten, Trimmed
from server.storage import Keeper, StoreError

from .scripted import KEY, NOON, OTHER, Running, ScriptedStore, running


def now() -> datetime:
    return NOON + timedelta(seconds=trio.current_time())


@define
class Told:
    """What the directory was told."""

    messages: list[DirectoryMessage] = field(factory=list)


class ListeningDirectory(Actor[DirectoryMessage]):
    capacity = 1

    def __init__(self, told: Told) -> None:
        self._told = told

    async def handle(self, message: DirectoryMessage) -> None:
        await trio.sleep(0.1)
        self._told.messages.append(message)


@asynccontextmanager
async def keeping(
    store: ScriptedStore,
    *,
    every: float = 3600.0,
    age: timedelta | None = None,
    keep: int | None = None,
) -> AsyncIterator[tuple[Running, Told]]:
    """A keeper over a storage actor over *store*, beside a directory that listens."""
    told = Told()
    refs: dict[str, ActorRef[Any]] = {}

    def make() -> Keeper:
        return Keeper(
            storage=refs["storage"], directory=refs["directory"], every=every, age=age, keep=keep, now=now
        )

    class Parent(Actor[Any]):
        async def started(self) -> None:
            refs["storage"] = here.storage
            refs["directory"] = here.find("directory")
            self.spawn(make, name="keeper")

        async def handle(self, message: object) -> None:
            self.spawn(make, name="keeper")

    beside: dict[str, Callable[[], Actor[Any]]] = {"directory": partial(ListeningDirectory, told)}
    async with running(store, beside=beside) as here:
        root = here.system.find("root")
        assert root is not None
        cell: Any = root._recipient
        cell.actor.spawn(Parent, name="parent")
        yield here, told


async def test_the_store_is_maintained_soon_after_a_start_and_then_every_so_often(
    autojump_clock: MockClock,
) -> None:
    """What a crash left behind is not to wait; and a server that restarts each hour is maintained too."""
    store = ScriptedStore()
    async with keeping(store):
        await trio.sleep(70)
        assert store.calls == ["maintain"]
        await trio.sleep(3600)
        assert store.calls == ["maintain"] * 2
        await trio.sleep(36_100)
        assert store.calls == ["maintain"] * 12


async def test_a_short_interval_is_kept_from_the_beginning(autojump_clock: MockClock) -> None:
    """Whoever configures seconds means them."""
    store = ScriptedStore()
    async with keeping(store, every=5):
        await trio.sleep(5.8)
        assert store.calls == ["maintain"]


async def test_nothing_is_forgotten_unless_one_says_so(autojump_clock: MockClock) -> None:
    """Retention is off by default."""
    store = ScriptedStore()
    async with keeping(store):
        await trio.sleep(10_000)

    assert set(store.calls) == {"maintain"}


@pytest.mark.parametrize(
    ("age", "keep", "call"),
    [
        (timedelta(days=1), None, f"trim {NOON + timedelta(days=-1, seconds=60)} None"),
        (None, 50, "trim None 50"),
        (timedelta(days=1), 50, f"trim {NOON + timedelta(days=-1, seconds=60)} 50"),
    ],
)
async def test_what_is_too_old_or_too_much_is_forgotten_before_the_store_is_tidied_up(
    autojump_clock: MockClock, age: timedelta | None, keep: int | None, call: str
) -> None:
    """By age, by number, or both; the age counts from the moment of trimming."""
    store = ScriptedStore()
    async with keeping(store, age=age, keep=keep):
        await trio.sleep(70)

    assert store.calls == [call, "maintain"]


async def test_the_directory_hears_what_was_forgotten(autojump_clock: MockClock) -> None:
    """Every conversation that is there has to know its new floor; however many there are."""
    trimmed = (Trimmed(KEY, 7, 5), Trimmed(OTHER, 2, 1), *(Trimmed(KEY, n, n) for n in range(10, 300)))
    store = ScriptedStore(trimmed=trimmed)
    async with keeping(store, keep=1) as (_, told):
        await trio.sleep(200)

    assert told.messages == [Forgotten(one.key, one.floor, one.message_id) for one in trimmed]


async def test_a_store_that_fails_is_left_for_the_next_time(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no crash, and costs nothing until then."""

    def fail() -> None:
        raise StoreError("the disk is full")

    store = ScriptedStore(on_maintain=fail)
    with caplog.at_level(logging.WARNING):
        async with keeping(store, every=100, keep=1) as (here, told):
            await trio.sleep(170)
            assert store.calls == ["trim None 1"] * 2
            store.on_maintain = lambda: None
            store.trimmed = (Trimmed(KEY, 7, 5),)
            await trio.sleep(100)
            assert store.calls == [*["trim None 1"] * 4, "maintain"]
            view = here.system.actor("root/parent/keeper")
            assert view is not None
            assert view.restarts == 0
            assert len(told.messages) == 1

    assert [r.levelname for r in caplog.records if r.name == "server.storage.keeper"] == ["WARNING"] * 2


@pytest.mark.parametrize("who", ["storage", "directory"])
async def test_a_keeper_outlives_those_it_talks_to(autojump_clock: MockClock, who: str) -> None:
    """Whether they come back or not is not its to decide."""
    store = ScriptedStore(trimmed=(Trimmed(KEY, 7, 5),))
    async with keeping(store, every=100, keep=1) as (here, _):
        await trio.sleep(60.5)
        here.find(who).stop()
        await trio.sleep(300)
        view = here.system.actor("root/parent/keeper")
        assert view is not None
        assert view.restarts == 0
        assert view.counts["Due"] >= 3


async def test_a_keeper_that_comes_back_goes_on(autojump_clock: MockClock) -> None:
    """Its timer went with its last life."""

    def breaks() -> None:
        raise ZeroDivisionError

    store = ScriptedStore(on_maintain=breaks)
    async with keeping(store, every=10) as (here, _):
        await trio.sleep(11)
        store.on_maintain = lambda: None
        here.find("parent/keeper").tell_nowait("no message")
        await trio.sleep(30)

    assert len(store.calls) > 2
