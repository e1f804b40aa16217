"""One process owns a data directory, so that no two servers write into one history.

The owner holds `flock` on the file `owner` in it, and writes there who it is and whether it serves or drains.
The lock is the truth and the text only explains it: the kernel frees a crashed owner's lock, whatever the
text still says. A successor waits for an owner that drains, which makes a restart that overlaps work.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

import trio
from attrs import evolve, field, frozen, mutable

State = Literal["serving", "draining"]

WAIT = 60.0
_POLL = 0.1
# Short texts are written over longer ones in one call; a reader must never see two mixed.
_SIZE = 256


class DirectoryError(Exception):
    """This process can't have the data directory. Its text is one line for the operator."""


class DirectoryUnusable(DirectoryError):
    """The data directory can't be made, written or locked."""


class DirectoryInUse(DirectoryError):
    """Another process owns the data directory; `pid` is None if it doesn't say who it is."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


@frozen
class Owner:
    """What an owner says of itself; `since` is when it claimed the directory, in ISO 8601."""

    pid: int
    state: State
    since: str


def _now() -> datetime:
    return datetime.now(UTC)


@mutable(eq=False)
class DataDirectory:
    """A data directory that this process owns until `release`, or until it ends.

    Not to be carried over `fork`: a forked child would keep the lock. It is closed on `exec`.
    """

    path: Path
    _owner: Owner
    _lock: int | None = field(repr=False)

    @classmethod
    async def claim(
        cls,
        path: Path,
        *,
        on_wait: Callable[[str], None] = lambda line: None,
        now: Callable[[], datetime] = _now,
    ) -> DataDirectory:
        """Own *path*, making it (mode 0700) if it isn't there.

        Waits up to 60 s for an owner that drains, and tells *on_wait* once in one line for whom it waits.

        Raises:
            DirectoryInUse: A process serves from it, or has not finished after 60 s.
            DirectoryUnusable: It can't be made, written or locked.
        """
        lock = _open(path)
        try:
            await _lock_in_turn(lock, path, on_wait)
            owner = Owner(os.getpid(), "serving", now().isoformat(timespec="seconds"))
            _write(lock, path, owner)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, owner, lock)

    def mark_draining(self) -> None:
        """Let a successor wait instead of refusing to start. Nothing once released."""
        if self._lock is not None and self._owner.state == "serving":
            self._owner = evolve(self._owner, state="draining")
            # A disk that fails now must not keep the server from draining; the successor is refused then.
            with suppress(DirectoryUnusable):
                _write(self._lock, self.path, self._owner)

    def release(self) -> None:
        """Give the directory free, once everything in it is written. Again is nothing."""
        if self._lock is not None:
            # The file stays: unlinked, a waiting process would lock one that nobody else can find.
            lock, self._lock = self._lock, None
            os.close(lock)

    def __enter__(self) -> DataDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


async def _lock_in_turn(lock: int, path: Path, on_wait: Callable[[str], None]) -> None:
    """Lock, when no one else has it, or whoever has it goes."""
    told: int | None = None
    before: object = ...
    with trio.move_on_after(WAIT):
        while not _lock_nowait(lock, path):
            owner = _read(lock)
            if owner is not None and owner.state == "draining":
                if told != owner.pid:
                    told = owner.pid
                    on_wait(f"waiting for process {owner.pid} to finish with data directory {path}")
            elif owner == before:
                # Seen twice, because between an owner's lock and its first word the file still says what
                # its predecessor said, or nothing.
                raise DirectoryInUse(
                    f"data directory {path} is in use by {_who(owner)}; "
                    "give this one its own with TRIOLOGUE_DATA_DIR",
                    owner.pid if owner else None,
                )
            before = owner
            await trio.sleep(_POLL)
        return
    owner = _read(lock)
    raise DirectoryInUse(
        f"data directory {path} is still in use by {_who(owner)}, {WAIT:.0f} s after this one began to wait; "
        "end it and start again",
        owner.pid if owner else None,
    )


def _who(owner: Owner | None) -> str:
    return f"process {owner.pid}" if owner else "another process"


def _open(path: Path) -> int:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The owner's file may be there already in a directory that takes no others.
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # Python opens close-on-exec: no child that runs a program keeps the lock.
        return os.open(path / "owner", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(path, error) from None


def _lock_nowait(lock: int, path: Path) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unusable(path, error) from None
    return True


def _write(lock: int, path: Path, owner: Owner) -> None:
    text = json.dumps({"pid": owner.pid, "state": owner.state, "since": owner.since})
    try:
        os.pwrite(lock, f"{text:<{_SIZE - 1}}\n".encode(), 0)
    except OSError as error:
        raise _unusable(path, error) from None


def _read(lock: int) -> Owner | None:
    """What the owner says, or None for nothing of sense."""
    try:
        match json.loads(os.pread(lock, _SIZE, 0)):
            case {"pid": int(pid), "state": "serving" | "draining" as state, "since": str(since)}:
                return Owner(pid, state, since)
    except (OSError, ValueError):
        pass
    return None


def _unusable(path: Path, error: OSError) -> DirectoryUnusable:
    return DirectoryUnusable(
        f"data directory {path} can't be used: {error.strerror}; choose another with TRIOLOGUE_DATA_DIR"
    )
