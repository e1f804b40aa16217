"""The mark notices every older copy of a history that is put back, and nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from attrs import evolve, field, frozen, mutable
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.storage.mark import SYNC_EVERY, Known, Mark, judge
from server.storage.port import StoreError, StoreUnusable


class Killed(Exception):
    """The process ends here."""


@frozen
class Disk:
    """What of a database survives its process: one conversation, its epoch and its facts."""

    run: str = ""
    commits: int = 0
    epoch: int = 0
    facts: tuple[int, ...] = ()


@mutable
class Process:
    """A process that may be killed before any of its steps; `left` counts down to that."""

    left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@mutable
class Database:
    """A history as the mark sees it, on a disk that a test may exchange."""

    disk: Disk = Disk()
    epochs: Iterator[int] = field(factory=lambda: iter(range(1, 10**6)))
    process: Process = field(factory=Process)

    @property
    def run(self) -> str:
        return self.disk.run

    @property
    def commits(self) -> int:
        return self.disk.commits

    @property
    def empty(self) -> bool:
        return not self.disk.epoch

    def begin_run(self, run: str) -> None:
        self.process.step()
        self.disk = evolve(self.disk, run=run)
        self.process.step()

    def new_epochs(self) -> None:
        self.process.step()
        self.disk = evolve(self.disk, epoch=next(self.epochs))
        self.process.step()

    def commit(self, fact: int) -> None:
        disk = self.disk
        self.disk = evolve(
            disk,
            epoch=disk.epoch or next(self.epochs),
            commits=disk.commits + 1,
            facts=(*disk.facts, fact),
        )


class Histories(RuleBasedStateMachine):
    """Commits, kills, power cuts, and copies of the database that are taken and put back, in any order.

    `seen` is what clients remember: in the history of that epoch, that fact had that place.
    """

    @initialize(trusting=st.booleans())
    def set_up(self, trusting: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "mark"
        self.trusting = trusting
        self.database = Database()
        self.mark: Mark | None = None
        self.clock = 0.0
        self.safe = b""  # what a power cut leaves of the mark
        self.doubtful: Known | None = None  # what a power cut took from it
        self.copies: list[Disk] = []
        self.seen: dict[tuple[int, int], int] = {}
        self.put_back = False
        self.epoch = 0  # when the last start was complete, or the first fact came
        self.runs = 0
        self.facts = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    def _sync(self, fd: int) -> None:
        self.database.process.step()
        os.fsync(fd)
        self.safe = self.path.read_bytes()
        self.database.process.step()

    @precondition(lambda self: self.mark is None)
    @rule(left=st.sampled_from([None] * 6 + list(range(10))))
    def start(self, left: int | None) -> None:
        """A process starts, and may be killed before it serves anybody."""
        self.database.process = Process(left)
        self.runs += 1
        mark = Mark.open(self.path, sync=self._sync, clock=lambda: self.clock)
        try:
            mark.begin(self.database, f"run{self.runs}", trusting=self.trusting)
        except Killed:
            os.close(mark._fd)
            return
        self.database.process.left = None
        self.mark = mark
        if not self.put_back:
            assert self.database.disk.epoch == self.epoch
        self.put_back = False
        self.doubtful = None
        self.epoch = self.database.disk.epoch

    @precondition(lambda self: self.mark is not None)
    @rule(
        killed=st.sampled_from([None, None, None, "before the mark", "before the ack"]), passed=st.booleans()
    )
    def commit(self, killed: str | None, passed: bool) -> None:
        assert self.mark is not None
        self.clock += SYNC_EVERY * passed
        self.facts += 1
        self.database.commit(self.facts)
        self.epoch = self.database.disk.epoch
        if killed != "before the mark":
            self.mark.note(self.database.commits)
        if killed is not None:
            self._end()
            return
        disk = self.database.disk
        self.seen[disk.epoch, len(disk.facts)] = self.facts

    def _end(self) -> None:
        assert self.mark is not None
        os.close(self.mark._fd)
        self.mark = None

    @precondition(lambda self: self.mark is not None)
    @rule()
    def kill(self) -> None:
        self._end()

    @precondition(lambda self: self.mark is not None)
    @rule(copied=st.integers(0, 2), more=st.integers(1, 2))
    def kill_and_put_a_fresh_copy_back(self, copied: int, more: int) -> None:
        """What people do after an accident, and what is nearest to going unnoticed."""
        for _ in range(copied):
            self.commit(None, False)
        self.take_a_copy()
        for _ in range(more):
            self.commit(None, False)
        self._end()
        self.put_a_copy_back(0)

    @precondition(lambda self: self.mark is not None)
    @rule()
    def end(self) -> None:
        assert self.mark is not None
        self.mark.close()
        self.mark = None
        assert self.safe == self.path.read_bytes()

    @precondition(lambda self: self.mark is not None)
    @rule()
    def cut_the_power(self) -> None:
        """The database was synchronised, the mark perhaps not."""
        assert self.mark is not None
        self.doubtful = self.mark.known
        self._end()
        self.path.write_bytes(self.safe)

    @rule()
    def take_a_copy(self) -> None:
        self.copies.append(self.database.disk)

    @precondition(lambda self: self.mark is None and self.copies)
    @rule(age=st.sampled_from([0, 0, 0, 1, 1, 2, 5, 9]))
    def put_a_copy_back(self, age: int) -> None:
        copy = self.copies[-1 - age % len(self.copies)]
        if self.doubtful is not None:
            # A copy of the very last moment before a power cut: what the docs say can't be told.
            known = Known.parse(self.path.read_bytes())
            newest = known is None or copy.commits >= known.commits
            if newest and copy.run == self.doubtful.run and copy.commits < self.doubtful.commits:
                return
        if copy != self.database.disk:
            self.database.disk = copy
            self.put_back = True

    @precondition(lambda self: self.mark is None and not self.trusting)
    @rule(rest=st.sampled_from([None, b"", b"half"]))
    def lose_the_mark(self, rest: bytes | None) -> None:
        if rest is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_bytes(rest)
        self.safe = rest or b""
        self.doubtful = None
        self.put_back = True  # for all that the mark can know

    @invariant()
    def no_cursor_leads_into_another_history(self) -> None:
        """Whoever is served, and holds a cursor of this epoch, holds a beginning of this history."""
        if getattr(self, "mark", None) is None:
            return
        disk = self.database.disk
        for (epoch, seq), fact in self.seen.items():
            if epoch == disk.epoch:
                assert len(disk.facts) >= seq, "the history is shorter than what was acknowledged"
                assert disk.facts[seq - 1] == fact


Histories.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase


@contextmanager
def opened(path: Path, **options: Callable[..., object]) -> Iterator[Mark]:
    mark = Mark.open(path, **options)  # type: ignore[arg-type]
    try:
        yield mark
    finally:
        mark.close()


def begun(path: Path, database: Database, run: str = "r", *, trusting: bool = False) -> str:
    with opened(path) as mark:
        return mark.begin(database, run, trusting=trusting)


def test_a_database_that_lost_everything_begins_anew(tmp_path: Path) -> None:
    """There is nothing to mistake for what was, and the mark must not come in the way."""
    database = Database(Disk("", 0, 5, (1, 2)))
    begun(tmp_path / "mark", database)
    database.disk = Disk()

    assert begun(tmp_path / "mark", database, "r2") == "empty"
    assert database.disk == Disk(run="r2")


def test_an_empty_database_does_not_make_the_mark_forget(tmp_path: Path) -> None:
    """Deleted, started, killed at once, an old copy put back: all in the worst order."""
    path, database = tmp_path / "mark", Database()
    begun(path, database, "r1")
    for fact in range(9):
        database.commit(fact)
    old = database.disk
    database.commit(9)
    with opened(path) as mark:
        mark.note(database.commits)
    database.disk = Disk(run="r1")
    database.process.left = 0
    with suppress(Killed), opened(path) as mark:
        mark.begin(database, "r2", trusting=False)
    database.process.left, database.disk = None, old

    assert begun(path, database, "r3") == "foreign"
    assert database.disk.epoch != old.epoch


def test_only_a_trusting_mark_takes_a_history_on_its_word(tmp_path: Path) -> None:
    """A server's database outlives the machines that use it; a file that came without its mark was copied."""
    history = Disk("r", 3, 5, (1, 2, 3))
    trusted, copied = Database(history), Database(history)

    assert begun(tmp_path / "a", trusted, "s", trusting=True) == "unmarked"
    assert begun(tmp_path / "b", copied, "s") == "unmarked"

    assert (trusted.disk.epoch, copied.disk.epoch != 5) == (5, True)


@pytest.mark.parametrize("trusting", [True, False])
@pytest.mark.parametrize("rest", [b"half", b"\0" * 128, b"run=r next= commits=3 check=00000000\n"])
def test_a_mark_of_no_sense_is_no_witness(tmp_path: Path, rest: bytes, trusting: bool) -> None:
    """Something happened to it, and perhaps to the database as well."""
    (tmp_path / "mark").write_bytes(rest)
    database = Database(Disk("r", 3, 5, (1, 2, 3)))

    assert begun(tmp_path / "mark", database, "s", trusting=trusting) == "garbled"
    assert database.disk.epoch != 5


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_mark_is_its_owner_s_alone(tmp_path: Path, umask: int) -> None:
    """Whatever the umask says, and whoever put it there."""
    copied = tmp_path / "copied"
    copied.touch(0o666)
    before = os.umask(umask)
    try:
        with opened(tmp_path / "mark"), opened(copied):
            pass
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "mark").stat().st_mode) == 0o600
    assert stat.S_IMODE(copied.stat().st_mode) == 0o600


def test_a_mark_that_cannot_be_had_is_told_in_one_line(tmp_path: Path) -> None:
    """The start ends with it."""
    (tmp_path / "mark").mkdir()

    with pytest.raises(StoreUnusable, match=r"^the mark .*/mark can't be used: Is a directory$"):
        Mark.open(tmp_path / "mark")


def test_what_can_not_be_marked_is_no_success(tmp_path: Path) -> None:
    """An acknowledgement that the mark knows nothing of would be one that a copy could undo unnoticed."""

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    mark = Mark.open(tmp_path / "mark", sync=fail)

    with pytest.raises(StoreError, match="can't be written: Input/output error"):
        mark.begin(Database(), "r", trusting=False)
    mark.close()


def test_numbers_do_not_go_back(tmp_path: Path) -> None:
    """Two threads may tell theirs in either order."""
    with opened(tmp_path / "mark") as mark:
        mark.begin(Database(), "r", trusting=False)
        mark.note(5)
        mark.note(4)

    with opened(tmp_path / "mark") as mark:
        assert mark.known == Known("r", "", 5)


def test_the_disk_is_bothered_once_a_second(tmp_path: Path) -> None:
    """A commit costs no second wait for the disk; and a power cut takes a second's numbers at most."""
    now, syncs = 0.0, 0

    def count(fd: int) -> None:
        nonlocal syncs
        syncs += 1

    with opened(tmp_path / "mark", sync=count, clock=lambda: now) as mark:
        mark.begin(Database(), "r", trusting=False)
        before = syncs
        for commits in range(1, 1001):
            now += SYNC_EVERY / 100
            mark.note(commits)

        assert 9 <= syncs - before <= 10


@settings(deadline=None)
@given(run=st.from_regex(r"\w{0,12}", fullmatch=True).filter(str.isascii), commits=st.integers(0, 10**17))
def test_a_mark_says_what_it_was_told_or_nothing(run: str, commits: int) -> None:
    """A flipped bit is not taken for a number."""
    known = Known(run, "n", commits)
    line = known.spell().ljust(127) + b"\n"

    assert Known.parse(line) == known
    for place in range(0, len(line), 7):
        bent = bytearray(line)
        bent[place] ^= 1
        assert Known.parse(bytes(bent)) in (None, known)


def test_a_history_of_nobody_is_nobody_s() -> None:
    """No run at all must not pass for the last of a mark that names none."""
    database = Database(Disk("", 7, 5, (1,)))

    assert judge(database, Known("", "", 3)) == "foreign"
