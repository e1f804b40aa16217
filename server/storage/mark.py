"""How far the history went, known outside the database: what notices an older copy that was put back.

Every start draws a *run*, kept in the database and in the mark. The database counts its commits, and the
mark is told of each before anybody else is. So the database is as new as it ever was if it is of the mark's
run and has counted at least as far; otherwise cursors that clients hold may lead into another history, and
every conversation gets a new epoch.

What a crash leaves behind, step by step:

- Between a commit and its word to the mark: the database has counted further, which is no fault.
- At a power cut the mark may be up to `SYNC_EVERY` seconds older than the database: the same.
- While a run begins: the mark first names the next run beside the last one, then the database takes it, then
  the mark forgets the last. Whichever of the two the database has, the mark knows it.
- While epochs are drawn: the mark then names the next run alone, so that they are drawn once more.

A mark that was put back together with the database notices nothing: that is for `triologue db new-epoch`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol
from zlib import crc32

from attrs import evolve, field, frozen, mutable

from .port import StoreError, StoreUnusable

SYNC_EVERY = 1.0
"""Seconds of commits whose number a power cut may take from the mark."""

# One sector at most, which a disk writes wholly or not at all.
_SIZE = 128
_LINE = re.compile(rb"(run=(\w*) next=(\w*) commits=(\d{1,18})) check=([0-9a-f]{8}) *\n", re.ASCII)

Verdict = Literal["same", "empty", "unmarked", "garbled", "foreign", "older"]


class History(Protocol):
    """What of a store has to do with its mark."""

    @property
    def run(self) -> str:
        """Who wrote last; "" if nobody did."""
        ...

    @property
    def commits(self) -> int: ...

    @property
    def empty(self) -> bool:
        """Whether there are no conversations."""
        ...

    def begin_run(self, run: str) -> None:
        """Durably."""
        ...

    def new_epochs(self) -> None:
        """Give every conversation a new epoch, durably."""
        ...


@frozen
class Known:
    """What the mark says: the database is of run `run` or `next`, and has counted `commits` at least."""

    run: str
    next: str
    commits: int

    def spell(self) -> bytes:
        said = b"run=%b next=%b commits=%d" % (self.run.encode(), self.next.encode(), self.commits)
        return b"%b check=%08x" % (said, crc32(said))

    @classmethod
    def parse(cls, line: bytes) -> Known | None:
        """What *line* says, `None` if it is none that `spell` made."""
        match = _LINE.fullmatch(line)
        if match is None or int(match[5], 16) != crc32(match[1]):
            return None
        return cls(match[2].decode(), match[3].decode(), int(match[4]))


def judge(history: History, known: Known | None, *, garbled: bool = False) -> Verdict:
    """How the database stands to what the mark knows."""
    if history.empty:
        return "empty"
    if garbled:
        return "garbled"
    if known is None:
        return "unmarked"
    if not history.run or history.run not in (known.run, known.next):
        return "foreign"
    return "older" if history.commits < known.commits else "same"


@mutable(eq=False)
class Mark:
    """The file at `path`. One process at a time has it: the owner of its directory.

    Attributes:
        known: What it says; `None` if it says nothing yet, or nothing of sense (`garbled`).
    """

    path: Path
    known: Known | None
    garbled: bool
    _fd: int = field(repr=False)
    _sync: Callable[[int], None] = field(repr=False)
    _clock: Callable[[], float] = field(repr=False)
    _synced_at: float = field(init=False, repr=False)
    _lock: Lock = field(factory=Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._synced_at = self._clock()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        sync: Callable[[int], None] = os.fsync,
        clock: Callable[[], float] = time.monotonic,
    ) -> Mark:
        """Read what is there, or make the file (mode 0600).

        Raises:
            StoreUnusable: It can't be made or read.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.fchmod(fd, 0o600)  # whatever the umask, and whoever copied it here
                line = os.pread(fd, _SIZE + 1, 0)
                _sync_folder(path)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise StoreUnusable(f"the mark {path} can't be used: {error.strerror}") from None
        known = Known.parse(line)
        # Nothing at all is what a start leaves that was killed before its first word.
        return cls(path, known, bool(line) and known is None, fd, sync, clock)

    def begin(self, history: History, run: str, *, trusting: bool) -> Verdict:
        """Judge *history*, draw its epochs anew if need be, and begin *run* in both.

        A *trusting* mark that knows nothing takes the history for the newest.

        Raises:
            StoreError: One of the two can't be written. The next start does the rest.
        """
        verdict = judge(history, self.known, garbled=self.garbled)
        fits = verdict == "same" or (verdict == "unmarked" and trusting)
        if not fits and verdict != "empty":
            history.new_epochs()
        # What does not fit now must not fit the next time: until it has its new run the mark won't know it.
        self._tell(Known(history.run if fits else "", run, history.commits), lasting=True)
        history.begin_run(run)
        self._tell(Known(run, "", history.commits), lasting=True)
        return verdict

    def note(self, commits: int) -> None:
        """Know that the database has counted to *commits*, before anybody else may know.

        That survives the process at once; a power cut only after `SYNC_EVERY` seconds of commits, or `close`.
        May be called from several threads.

        Raises:
            StoreError: It can't be written.
        """
        assert self.known is not None, "begin comes first"
        with self._lock:
            if commits > self.known.commits:
                due = self._clock() - self._synced_at >= SYNC_EVERY
                self._tell(evolve(self.known, commits=commits), lasting=due)

    def close(self) -> None:
        """Let go of the file, with everything it was told safe from a power cut. Again is nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            # What is lost with a disk that fails now is a number that may be too small.
            with suppress(OSError):
                self._sync(fd)
            os.close(fd)

    def _tell(self, known: Known, *, lasting: bool) -> None:
        try:
            os.pwrite(self._fd, known.spell().ljust(_SIZE - 1) + b"\n", 0)
            if lasting:
                self._sync(self._fd)
                self._synced_at = self._clock()
        except OSError as error:
            raise StoreError(f"the mark {self.path} can't be written: {error.strerror}") from error
        self.known, self.garbled = known, False


def _sync_folder(path: Path) -> None:
    """Have the file's name survive a power cut."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
