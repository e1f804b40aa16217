"""Reading beside writing, and several processes on one PostgreSQL database."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from attrs import evolve

from server.chat import ConversationKey, MessageAdded, ReplyEnded
from server.storage import SqlStore

from .places import Place, Server, careless
from .saying import HERE, begin, do, end, facts, post, snapshot
from .writer import KEYS


def test_a_reader_sees_whole_commits(store: SqlStore) -> None:
    """A snapshot is of one moment: its parts fit together, and facts have no holes, whoever writes."""
    over = Event()

    def look() -> int:
        looks = last = 0
        while not over.is_set() or looks < 20:
            now = snapshot(store)
            assert [fact.seq for fact in now.facts] == list(range(1, now.last_seq + 1))
            # A batch posts, answers the first and leaves the second waiting.
            assert len(now.questions) * 3 == now.last_seq
            assert now.open_reply is None
            assert now.last_seq >= last
            assert len(facts(store)) >= now.last_seq
            last = now.last_seq
            looks += 1
        return looks

    with ThreadPoolExecutor(3) as threads:
        looking = [threads.submit(look) for _ in range(3)]
        try:
            for batch in range(40):
                number = batch * 3 + 1
                store.write([post("a"), begin(number), end(number + 1), post("b")])
        finally:
            over.set()
        assert all(one.result() >= 20 for one in looking)


def test_what_was_acknowledged_is_read_at_once(store: SqlStore) -> None:
    """By every reader: a client that was told `ack` may ask for the history on another connection."""
    with ThreadPoolExecutor(1) as thread:
        for number in range(1, 40):
            posted = do(store, post(str(number)))
            assert thread.submit(facts, store).result()[-1] == posted.fact


def test_two_writers_of_one_file_wait_for_each_other(file_place: Place) -> None:
    """A command of the operator's may write beside the server; neither fails for it."""
    stores = [file_place.open(prepare=careless) for _ in range(2)]

    def write(store: SqlStore) -> None:
        for _ in range(100):
            do(store, post("a"))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, stores))

    assert [fact.seq for fact in facts(stores[0])] == list(range(1, 201))


def test_processes_that_write_at_once_leave_no_holes(server: Server) -> None:
    """They begin the same conversations at the same time, lock them in one order, and wait for each other."""
    with Place(server.new_database()) as place:
        store = place.open()
        writers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.conformance.writer", place.url, name, "40"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in ("one", "two", "three")
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            print("go", file=writer.stdin, flush=True)
        told: dict[ConversationKey, list[tuple[int, int, str]]] = {key: [] for key in KEYS}
        for writer in writers:
            said, _ = writer.communicate()
            assert writer.returncode == 0
            for key, number, seq, text in json.loads(said):
                told[ConversationKey(*key)].append((number, seq, text))

        for key in KEYS:
            kept = [
                (fact.message.id, fact.seq, fact.message.content)
                for fact in facts(store, key)
                if isinstance(fact, MessageAdded | ReplyEnded)
            ]
            assert [seq for _, seq, _ in kept] == list(range(1, len(kept) + 1))
            assert sorted(kept) == sorted(told[key])
            assert sorted(number for number, _, _ in kept) == list(range(1, len(kept) + 1))
        # A commit of a process is counted by all.
        assert store.read_commits() == 3 * (40 + 20 + 20)


def test_the_first_to_begin_a_conversation_names_its_epoch(server: Server) -> None:
    """Later ones find it named."""
    with Place(server.new_database()) as place:
        one, two = place.open(), place.open()
        do(one, post("a"))
        do(two, evolve(post("b"), epoch="e2"))

        assert snapshot(two, HERE).epoch == "e1"
