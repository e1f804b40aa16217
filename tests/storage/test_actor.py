"""The storage actor: what it promises to those who commit and read, whatever the store does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.chat import Busy, Command, ConversationKey, Snapshot
from server.messages import (
    Commit,
    FindUnsettled,
    Load,
    Maintain,
    ReadFacts,
    ReadMessages,
    StorageMessage,
    Trim,
    Trimmed,
)
from server.storage import StoreError, in_threads
from server.storage.backlog import Limits

from .scripted import KEY, NOON, OTHER, Outcomes, ScriptedStore, command, large, number_of, running

LOG = "server.storage.actor"


def fails(*_: Any) -> Any:
    raise StoreError("the disk is full")


def breaks(*_: Any) -> Any:
    raise ZeroDivisionError


def load(key: ConversationKey = KEY) -> Load:
    return Load(key, "e", 10)


# -- batches


async def test_a_commit_is_answered_after_it_was_written(autojump_clock: MockClock) -> None:
    """An acknowledgement before that would be no promise."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store) as here:
        await outcomes.commit(here.storage, 7)

    assert store.batches == [[7]]
    assert outcomes.results == {7: 7}
    assert outcomes.times == {7: 1.0}


async def test_what_comes_while_a_batch_is_written_is_the_next_one(autojump_clock: MockClock) -> None:
    """A sync of the disk costs the same for one as for many; and all are done in the order they came."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(0.5)
        nursery.start_soon(partial(outcomes.commit, here.storage, *range(2, 100)))

    assert store.batches == [[1], list(range(2, 100))]
    assert outcomes.results == {number: number for number in range(1, 100)}
    assert set(outcomes.times.values()) == {1.0, 2.0}


async def test_whoever_was_just_answered_gets_into_the_next_batch(autojump_clock: MockClock) -> None:
    """Otherwise half of those who write one after the other would wait for two syncs each time."""
    store = ScriptedStore()

    async def write_on(storage: Any, first: int) -> None:
        for number in range(first, first + 5):
            await storage.ask(Commit(command(number)), timeout=60)

    async with running(store) as here, trio.open_nursery() as nursery:
        for first in range(0, 1000, 10):
            nursery.start_soon(write_on, here.storage, first)

    assert sum(map(len, store.batches)) == 500
    assert len(store.batches) <= 6


async def test_a_batch_is_bounded_in_number(autojump_clock: MockClock) -> None:
    """The last of a large one would be held up by all the others."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, batch=3) as here, trio.open_nursery() as nursery:
        nursery.start_soon(partial(outcomes.commit, here.storage, *range(8)))

    assert [len(batch) for batch in store.batches if len(batch) > 3] == []
    assert store.written == list(range(8))


async def test_a_batch_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
    """One picture may be a million times a word; one that is larger than a batch goes alone."""
    store = ScriptedStore()
    sizes = [10, 6_000_000, 6_000_000, 6_000_000, 20_000_000, 10]
    async with running(store) as here, trio.open_nursery() as nursery:
        for number, size in enumerate(sizes):
            nursery.start_soon(partial(here.storage.ask, Commit(large(number, size)), timeout=60))
            await wait_all_tasks_blocked()

    assert store.batches == [[0], [1, 2], [3], [4], [5]]


async def test_what_waits_is_bounded(autojump_clock: MockClock) -> None:
    """In number and in bytes: a store that is too slow is not to fill the memory."""
    store, outcomes = ScriptedStore(), Outcomes()
    limits = Limits()
    async with running(store, write=100) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 0)
        await wait_all_tasks_blocked()
        for number in range(1, 5):
            question = Commit(large(number, limits.waiting_bytes // 3))
            nursery.start_soon(outcomes.ask, here.storage, question, number, 1000)
            await wait_all_tasks_blocked()
        assert outcomes.kinds() == {3: "StoreFailing", 4: "StoreFailing"}
        assert trio.current_time() == 0

    assert store.written == [0, 1, 2]


# -- what is declined


async def test_a_refusal_is_its_askers_alone(autojump_clock: MockClock) -> None:
    """And so is a fault of a single command, which the others of its batch have nothing to do with."""

    def choose(commands: Sequence[Command[Any]]) -> list[Any]:
        special = {2: Busy(), 3: StoreError("this text can't be stored")}
        return [special.get(number, number) for number in map(number_of, commands)]

    store, outcomes = ScriptedStore(on_write=choose), Outcomes()
    async with running(store) as here:
        await outcomes.commit(here.storage, 1, 2, 3, 4)

    assert outcomes.kinds() == {1: 1, 2: "Busy", 3: "StoreFailing", 4: 4}


async def test_a_store_that_fails_declines_all_that_waits_at_once(autojump_clock: MockClock) -> None:
    """Batch after batch, each would take its time to fail, and a queue would build."""
    store, outcomes = ScriptedStore(on_write=fails), Outcomes()
    async with running(store, batch=2) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, *range(20))

    assert set(outcomes.kinds().values()) == {"StoreFailing"}
    assert set(outcomes.times.values()) == {1.0}
    assert len(store.calls) == 1
    assert len({id(result) for result in outcomes.results.values()}) == 20  # an error is raised once


async def test_a_store_that_works_again_is_used_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a restart; the log says once that it began to fail, and once that it stopped."""
    store, outcomes = ScriptedStore(), Outcomes()
    with caplog.at_level(logging.INFO, LOG):
        async with running(store) as here:
            for number in range(40):
                store.on_write = fails if number % 20 >= 10 else lambda commands: None
                await outcomes.commit(here.storage, number)
            assert here.state()["failures"] == "20"

    kinds = outcomes.kinds()
    assert [kinds[number] for number in range(40)] == [
        "StoreFailing" if number % 20 >= 10 else number for number in range(40)
    ]
    said = [record.levelname for record in caplog.records if record.name == LOG]
    assert said == ["ERROR", "INFO", "ERROR"]
    assert "the disk is full" in caplog.text


async def test_reading_and_writing_fail_each_for_themselves(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk one can still read."""
    store, outcomes = ScriptedStore(on_write=fails), Outcomes()
    with caplog.at_level(logging.INFO, LOG):
        async with running(store) as here:
            await outcomes.commit(here.storage, 1)
            await outcomes.ask(here.storage, load(), "read")
            store.on_read = fails
            for number in range(5):
                await outcomes.ask(here.storage, load(), f"failed {number}")
            store.on_read = lambda: None
            await outcomes.ask(here.storage, load(), "read again")

    assert outcomes.results["read"] == outcomes.results["read again"] == Snapshot(epoch="e")
    assert [outcomes.kinds()[f"failed {number}"] for number in range(5)] == ["StoreFailing"] * 5
    assert [record.levelname for record in caplog.records if record.name == LOG] == ["ERROR", "ERROR", "INFO"]


async def test_a_commit_that_nobody_waits_for_and_did_not_begin_is_skipped(autojump_clock: MockClock) -> None:
    """Its asker was told that it failed; and doing it would make those behind it late too."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, write=10) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(1)
        nursery.start_soon(partial(outcomes.commit, here.storage, 2, 3, timeout=5))
        nursery.start_soon(outcomes.commit, here.storage, 4)

    assert store.batches == [[1], [4]]
    assert outcomes.kinds() == {1: 1, 2: "AskTimeout", 3: "AskTimeout", 4: 4}


# -- reading


async def test_each_question_reads_what_it_asks_for(autojump_clock: MockClock) -> None:
    """With all that it says."""
    store = ScriptedStore()
    questions: list[Any] = [
        Load(KEY, "e", 10, 7),
        ReadFacts(KEY, 1, 9, 5),
        ReadMessages(KEY, 5, before=9, after=1, alternatives=True),
        FindUnsettled(),
    ]
    async with running(store) as here:
        answers = [await here.storage.ask(question, timeout=60) for question in questions]

    assert store.calls == ["load a", "facts a 1 9 5", "messages a 5 9 1 True", "unsettled"]
    assert answers == [Snapshot(epoch="e"), (), (), (KEY,)]


async def test_reads_go_on_beside_a_write_and_each_other(autojump_clock: MockClock) -> None:
    """However slow the disk is to sync."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, write=100, read=1) as here, trio.open_nursery() as nursery:
        nursery.start_soon(partial(outcomes.commit, here.storage, 0, timeout=1000))
        await trio.sleep(1)
        for number in range(1, 6):
            nursery.start_soon(outcomes.ask, here.storage, ReadFacts(KEY, 0, 9, 9), number)

    assert [outcomes.times[number] for number in range(6)] == [100, 2, 2, 2, 2, 2]


async def test_a_conversation_is_loaded_as_all_that_was_sent_before_leaves_it(
    autojump_clock: MockClock,
) -> None:
    """One that comes back from a crash must not miss what commands of its last life are still to do."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, write=10, read=1) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(1)
        nursery.start_soon(outcomes.ask, here.storage, Commit(command(2)), 2)
        await wait_all_tasks_blocked()
        nursery.start_soon(outcomes.ask, here.storage, Commit(command(3, OTHER)), 3)
        await wait_all_tasks_blocked()
        nursery.start_soon(outcomes.ask, here.storage, load(), "load")
        nursery.start_soon(outcomes.ask, here.storage, load(ConversationKey("p", "group", "c")), "a third")
        await wait_all_tasks_blocked()
        nursery.start_soon(outcomes.ask, here.storage, Commit(command(4)), 4)

    assert store.batches == [[1], [2, 3, 4]]
    assert outcomes.times == {"a third": 2, 1: 10, 2: 20, 3: 20, 4: 20, "load": 21}


async def test_a_load_waits_no_longer_when_the_store_fails(autojump_clock: MockClock) -> None:
    """What was declined is decided as well."""
    store, outcomes = ScriptedStore(on_write=fails), Outcomes()
    async with running(store, write=10, read=1) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(1)
        nursery.start_soon(outcomes.commit, here.storage, 2)
        await wait_all_tasks_blocked()
        nursery.start_soon(outcomes.ask, here.storage, load(), "load")

    assert outcomes.times == {1: 10, 2: 10, "load": 11}


async def test_a_read_that_nobody_waits_for_is_not_begun() -> None:
    """A page of history whose reader has gone away costs nothing."""
    store, outcomes = ScriptedStore(), Outcomes()
    reading, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert go_on.wait(10)

    store.on_read = wait
    async with running(store, execute_read=in_threads(1)) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.ask, here.storage, ReadFacts(KEY, 1, 1, 1), "first")
        assert await trio.to_thread.run_sync(reading.wait, 10)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as second:
                second.start_soon(outcomes.ask, here.storage, ReadFacts(KEY, 2, 2, 2), "second")
                await wait_all_tasks_blocked()
                scope.cancel()
        nursery.start_soon(outcomes.ask, here.storage, ReadFacts(KEY, 3, 3, 3), "third")
        await wait_all_tasks_blocked()
        go_on.set()

    assert store.calls == ["facts a 1 1 1", "facts a 3 3 3"]
    assert outcomes.results == {"first": (), "third": ()}


# -- maintenance


async def test_trimming_and_maintaining_take_their_turn_among_the_batches(autojump_clock: MockClock) -> None:
    """The store does one such thing at a time, and a commit before it is not overtaken."""
    trimmed = (Trimmed(KEY, 3, 2),)
    store, outcomes = ScriptedStore(trimmed=trimmed), Outcomes()
    async with running(store) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(0.5)
        questions: list[StorageMessage] = [
            Commit(command(2)),
            Trim(NOON, 5),
            Maintain(),
            Commit(command(3)),
            Commit(command(4)),
        ]
        for question in questions:
            nursery.start_soon(outcomes.ask, here.storage, question, type(question))
            await wait_all_tasks_blocked()

    assert store.calls == ["write 1", "write 2", f"trim {NOON} 5", "maintain", "write 3 4"]
    assert outcomes.results[Trim] == trimmed
    assert outcomes.times[Trim] == 3


async def test_maintenance_that_fails_harms_nobody_else(autojump_clock: MockClock) -> None:
    """The keys may be kept elsewhere, and that be down."""
    store, outcomes = ScriptedStore(on_maintain=fails), Outcomes()
    async with running(store) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.ask, here.storage, Maintain(), "maintain")
        await trio.sleep(0.5)
        nursery.start_soon(outcomes.commit, here.storage, 1)

    assert outcomes.kinds() == {"maintain": "StoreFailing", 1: 1}


# -- crashes and the end


@pytest.mark.parametrize("where", ["write", "read", "maintain"])
async def test_a_store_that_breaks_is_the_actors_crash_and_it_comes_back(
    autojump_clock: MockClock, where: str
) -> None:
    """Whatever that error is, it is no failing disk; all who wait hear of it at once."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, read=0.5) as here, trio.open_nursery() as nursery:
        match where:
            case "write":
                store.on_write = breaks
            case "read":
                store.on_read = breaks
            case "maintain":
                store.on_maintain = breaks
        nursery.start_soon(outcomes.ask, here.storage, load(), "read")
        if where == "maintain":
            nursery.start_soon(outcomes.ask, here.storage, Maintain(), "maintain")
        await wait_all_tasks_blocked()
        nursery.start_soon(outcomes.commit, here.storage, 1, 2)
        await trio.sleep(0.7)
        store.on_write = lambda commands: None
        store.on_read = store.on_maintain = lambda: None
        nursery.start_soon(outcomes.commit, here.storage, 3)
        await trio.sleep(5)
        await outcomes.commit(here.storage, 4)
        view = here.system.actor("root/storage")
        assert view is not None
        assert (view.restarts, [crash.error for crash in view.crashes]) == (1, ["ZeroDivisionError()"])

    kinds = outcomes.kinds()
    assert [kinds[number] for number in (1, 2, 4)] == ["ActorDied", "ActorDied", 4]


async def test_no_life_writes_beside_the_thread_of_the_last_one() -> None:
    """The store takes one write at a time, and the next must find what the last one did."""
    store, outcomes = ScriptedStore(), Outcomes()
    writing, go_on = threading.Event(), threading.Event()
    at_once, most = 0, 0

    def write(commands: Sequence[Command[Any]]) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        writing.set()
        assert go_on.wait(10)
        at_once -= 1

    store.on_write = write
    async with (
        running(store, execute_write=in_threads(1), execute_read=in_threads(4)) as here,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(outcomes.commit, here.storage, 1)
        assert await trio.to_thread.run_sync(writing.wait, 10)
        store.on_read = breaks
        await outcomes.ask(here.storage, FindUnsettled(), "breaks")
        await wait_all_tasks_blocked()
        assert outcomes.kinds() == {"breaks": "ActorDied", 1: "ActorDied"}
        nursery.start_soon(outcomes.commit, here.storage, 2)
        await wait_all_tasks_blocked()
        assert store.batches == []
        go_on.set()

    assert most == 1
    assert store.batches == [[1], [2]]
    assert outcomes.results[2] == 2


async def test_a_stop_finishes_the_batch_that_is_being_written_and_begins_no_other(
    autojump_clock: MockClock,
) -> None:
    """So that the store can be closed; whoever waits learns at once that none will come."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, write=3) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 1)
        await trio.sleep(1)
        nursery.start_soon(outcomes.commit, here.storage, 2)
        nursery.start_soon(outcomes.ask, here.storage, load(), "read")
        await wait_all_tasks_blocked()
        here.storage.stop()
        await here.storage.wait_gone()
        assert trio.current_time() == 3

    assert store.calls == ["write 1"]
    assert set(outcomes.kinds().values()) == {"ActorDied"}
    assert set(outcomes.times.values()) == {1}


async def test_the_actor_is_not_gone_before_its_thread_is() -> None:
    """Or the store would be closed under it."""
    store, outcomes = ScriptedStore(), Outcomes()
    writing, go_on = threading.Event(), threading.Event()

    def write(commands: Sequence[Command[Any]]) -> None:
        writing.set()
        assert go_on.wait(10)

    store.on_write = write
    async with running(store, execute_write=in_threads(1)) as here:
        storage = here.storage
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcomes.commit, storage, 1)
            assert await trio.to_thread.run_sync(writing.wait, 10)
            storage.stop()
        await wait_all_tasks_blocked()
        assert here.system.actor("root/storage") is not None
        go_on.set()
        await storage.wait_gone()
        assert store.batches == [[1]]


async def test_the_storage_actor_counts_what_it_does(autojump_clock: MockClock) -> None:
    """Whoever looks sees how large the batches are, how long they take, and whether a queue builds."""
    store, outcomes = ScriptedStore(), Outcomes()
    async with running(store, write=2) as here, trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.commit, here.storage, 0)
        await trio.sleep(1)
        nursery.start_soon(outcomes.commit, here.storage, 1, 2, 3)
        await trio.sleep(0.5)
        assert here.state()["waiting"] == "3"
        await trio.sleep(5)
        state = here.state()
        counted = {name: state[name] for name in ("batches", "commands", "largest", "seconds", "failures")}
        assert counted == {"batches": "2", "commands": "4", "largest": "3", "seconds": "4.0", "failures": "0"}
        assert state["waiting"] == "0"


async def test_a_foreign_message_is_a_crash(autojump_clock: MockClock) -> None:
    """Whoever adds a message forgets nothing."""
    async with running(ScriptedStore()) as here:
        await here.storage.tell(StorageMessage())
        await trio.sleep(1)
        view = here.system.actor("root/storage")
        assert view is not None
        assert view.restarts == 1
