"""The same laws as in `test_mark`, of real stores in real files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.chat import Posted
from server.storage import PlainVault
from server.storage.copies import back_up
from server.storage.marked import MarkedStore
from server.storage.opening import open_store, opened_beside
from tests.conformance.places import START
from tests.conformance.saying import HERE, post


class Stores(RuleBasedStateMachine):
    """Each kill leaves the files as they are at that moment; the next process finds them elsewhere."""

    @initialize()
    def set_up(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lives = 0
        self.data = Path(self.folder.name) / "data0"
        self.data.mkdir()
        self.store: MarkedStore | None = None
        self.copies: list[bytes] = []
        self.seen: dict[tuple[str, int], str] = {}
        self.said = 0
        self.put_back = False
        self.epoch = ""

    def teardown(self) -> None:
        if self.store is not None:
            self.store.close()
        self.folder.cleanup()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.data}/triologue.db"

    @precondition(lambda self: self.store is None)
    @rule()
    def start(self) -> None:
        self.store = open_store(
            self.url, mark=self.data / "mark", readers=2, vault=PlainVault(), now=lambda: START
        )
        epoch = self.store.load(HERE, epoch="", messages=1).epoch
        assert self.put_back or epoch == self.epoch
        self.epoch, self.put_back = epoch, False

    @precondition(lambda self: self.store is not None)
    @rule(count=st.integers(1, 3))
    def say(self, count: int) -> None:
        assert self.store is not None
        texts = [str(self.said + number) for number in range(count)]
        self.said += count
        # As a server does, which offers another one to each conversation that it opens.
        offered = f"offered{self.said}"
        answers = self.store.write([evolve(post(text), epoch=offered) for text in texts])
        self.epoch = self.store.load(HERE, epoch="", messages=1).epoch
        for answer, text in zip(answers, texts, strict=True):
            assert isinstance(answer, Posted)
            self.seen[self.epoch, answer.seq] = text

    @precondition(lambda self: self.store is not None)
    @rule()
    def end(self) -> None:
        assert self.store is not None
        self.store.close()
        self.store = None

    @precondition(lambda self: self.store is not None)
    @rule()
    def kill(self) -> None:
        assert self.store is not None
        self.lives += 1
        left = self.data.with_name(f"data{self.lives}")
        shutil.copytree(self.data, left)
        self.store.close()
        self.store, self.data = None, left

    @precondition(lambda self: (self.data / "triologue.db").exists())
    @rule()
    def take_a_copy(self) -> None:
        path = Path(self.folder.name) / "copy"
        with opened_beside(self.url) as engine:
            back_up(engine, path, overwrite=True)
        self.copies.append(path.read_bytes())

    @precondition(lambda self: self.store is None and self.copies)
    @rule(age=st.sampled_from([0, 0, 0, 1, 2, 5]))
    def put_a_copy_back(self, age: int) -> None:
        for rest in ("-wal", "-shm"):
            (self.data / f"triologue.db{rest}").unlink(missing_ok=True)
        (self.data / "triologue.db").write_bytes(self.copies[-1 - age % len(self.copies)])
        self.put_back = True

    @precondition(lambda self: self.store is not None)
    @rule(before=st.integers(0, 2), after=st.integers(1, 2), ended=st.booleans())
    def put_a_fresh_copy_back(self, before: int, after: int, ended: bool) -> None:
        """What people do after an accident. Chance alone would seldom get there in so few steps."""
        for _ in range(before):
            self.say(1)
        self.take_a_copy()
        for _ in range(after):
            self.say(1)
        self.end() if ended else self.kill()
        self.put_a_copy_back(0)
        self.start()

    @invariant()
    def no_cursor_leads_into_another_history(self) -> None:
        store = getattr(self, "store", None)
        if store is None:
            return
        there = store.load(HERE, epoch="", messages=1, after=0)
        texts = {fact.seq: fact.message.content for fact in there.facts}
        for (epoch, seq), text in self.seen.items():
            assert epoch != there.epoch or texts.get(seq) == text


Stores.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStores = Stores.TestCase


def test_the_machine_would_notice() -> None:
    """A store that is opened without its mark keeps the epoch of an older copy, which is what must not be."""
    machine = Stores()
    machine.set_up()
    machine.start()
    machine.say(1)
    machine.take_a_copy()
    machine.say(1)
    machine.end()
    machine.put_a_copy_back(0)
    with opened_beside(machine.url) as engine, engine.connect() as connection:
        epochs = connection.exec_driver_sql("SELECT epoch FROM conversations").scalars().all()
    first = machine.epoch
    assert (first, 2) in machine.seen
    assert epochs == [first]

    machine.start()

    machine.no_cursor_leads_into_another_history()
    assert machine.epoch != first
    machine.teardown()
