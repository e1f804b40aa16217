"""A file that is there whole, safe from a power cut, and its owner's alone; or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class FileThere(Exception):
    """There is a file of that name already, and nobody said that it may go."""


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty file beside *path* (mode 0600, whatever the umask), which takes its place at the end.

    Not if the end is an exception: then nothing is left of it.

    Raises:
        FileThere: *path* is there, and *overwrite* is not said.
        OSError: It can't be made or put there.
    """
    if not overwrite and os.path.lexists(path):
        raise FileThere(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(made, 0o600)
        finally:
            os.close(made)
        yield beside
        _sync(beside)
        try:
            # With a link, whoever made the file meanwhile keeps it.
            (os.replace if overwrite else os.link)(beside, path)
        except FileExistsError:
            raise FileThere(path) from None
        _sync(path.parent)
    finally:
        # SQLite's companions too, should it have been one.
        for rest in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                os.unlink(f"{beside}{rest}")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
