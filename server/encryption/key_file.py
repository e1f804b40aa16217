"""The file of master keys: text that people can read, and that nobody but its owner may.

A line for each key, `id  base64  created`, oldest first; the last one wraps, the others only unwrap. Empty
lines and those that begin with `#` say nothing. A change is a new file that takes the old one's place, so
that whoever reads meets one or the other, also after a power cut.
"""

from __future__ import annotations

import binascii
import errno
import fcntl
import os
import re
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from attrs import frozen

from .errors import KeyFileError
from .keys import KEY_SIZE, MasterKey

_HEAD: Final = (
    "# Triologue's master keys: id, key, time of making. The last one wraps, the others still unwrap.\n"
    "# Whoever has this file and the key store can read every message; without it nobody can.\n"
)
_LARGEST: Final = 2**20

Keys: TypeAlias = tuple[MasterKey, ...]


@frozen
class Stamp:
    """Which file it was: another one has another."""

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def read(path: Path) -> tuple[Stamp, Keys]:
    """The keys in *path*, oldest first, and which file that was.

    Raises:
        KeyFileError: It can't be read, others may read it, or it is no file of keys.
    """
    stamp, text = _text(path)
    keys = tuple(_keys(path, text))
    if not keys:
        raise KeyFileError(f"key file {path} holds no key; make one: triologue keys new {path}")
    return stamp, keys


def stamp_of(path: Path) -> Stamp | None:
    """Which file *path* is now; `None` if there is none to be had."""
    try:
        return Stamp.of(os.stat(path))
    except OSError:
        return None


def create(path: Path, key: MasterKey) -> None:
    """Make the file *path* with *key* alone in it, and no folder for it.

    Raises:
        KeyFileError: It can't be made, or is there already.
    """
    with _changing(path) as target:
        if target.exists():
            raise KeyFileError(f"key file {path} is there already")
        _replace(target, _HEAD + _line(key))


def change(path: Path, make: Callable[[Keys], Keys]) -> None:
    """Have what *make* returns of *path*'s keys, if any, take their place.

    Lines that say nothing stay at the top. Two that change it at once do so one after the other.

    Raises:
        KeyFileError: It can't be read or written.
    """
    with _changing(path) as target:
        _, text = _text(target)
        after = make(tuple(_keys(path, text)))
        said = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
        _replace(target, "".join(said) + "".join(_line(key) for key in after))


def _text(path: Path) -> tuple[Stamp, str]:
    try:
        # Not to wait for a writer, should it be a pipe.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"key file {path} is no file")
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise KeyFileError(
                    f"key file {path} may be read by others (mode {mode:04o}); "
                    f"make it its owner's alone: chmod 600 {path}"
                )
            content = os.read(file, _LARGEST + 1)
        finally:
            os.close(file)
    except OSError as error:
        raise _unusable(path, "read", error) from None
    if len(content) > _LARGEST:
        raise KeyFileError(f"key file {path} is too large to be one")
    # What is no UTF-8 is no line of a key either.
    return Stamp.of(status), content.decode("utf-8", "replace")


def _keys(path: Path, text: str) -> Iterator[MasterKey]:
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key = _parse(line)
        # What stands there is not told: it may be most of a key.
        if key is None:
            raise KeyFileError(f"key file {path}: line {number}: expected `id  base64  created`")
        if key.id in seen:
            raise KeyFileError(f"key file {path}: line {number}: a second key {key.id}")
        seen.add(key.id)
        yield key


def _parse(line: str) -> MasterKey | None:
    parts = line.split()
    if len(parts) != 3 or not re.fullmatch("[0-9a-f]{8}", parts[0], re.ASCII):
        return None
    try:
        secret = b64decode(parts[1], validate=True)
        created = datetime.strptime(parts[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (binascii.Error, ValueError):
        return None
    return MasterKey(parts[0], created, secret) if len(secret) == KEY_SIZE else None


def _line(key: MasterKey) -> str:
    return f"{key.id}  {b64encode(key.reveal()).decode()}  {key.created:%Y-%m-%dT%H:%M:%SZ}\n"


@contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """Where *path* leads, with nobody else changing it."""
    try:
        # Secrets are often mounted as links: what they lead to is to be replaced, not they.
        target = Path(os.path.realpath(path))
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The folder's lock, because the file is another one afterwards.
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield target
        finally:
            os.close(folder)
    except OSError as error:
        raise _unusable(path, "changed", error) from None


def _replace(path: Path, text: str) -> None:
    """Have *path* hold *text*, durably, and its owner stay its owner."""
    # Under the folder's lock; what a killed process left goes.
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            with suppress(FileNotFoundError):
                owner = os.stat(path)
                if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                    # An operator's root must not take the keys away from the server's user.
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
        os.rename(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unusable(path: Path, what: str, error: OSError) -> KeyFileError:
    said = os.strerror(error.errno) if error.errno else "it failed"
    hint = f"; make one: triologue keys new {path}" if error.errno == errno.ENOENT and what == "read" else ""
    return KeyFileError(f"key file {path} can't be {what}: {said}{hint}")
