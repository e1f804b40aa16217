"""`triologue trace`: what a running server does for a while, in a file, and what is to be seen in it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from attrs import asdict

from .looking.admin import Admin, complain, look
from .looking.recording import NoTrace, Recording, read
from .looking.terminal import make_console, printing
from .looking.trace_view import path_view, summary_view

DEFAULT = Path("trace.json")


def run(arguments: argparse.Namespace) -> int:
    """Record or read a trace and tell of it: 0; 1 if that can't be done, 2 if it makes no sense."""
    if arguments.file is not None and arguments.output is not None:
        complain("a trace is either read from a FILE or recorded to one (-o)")
        return 2
    whole = arguments.json and arguments.output is None and arguments.follow is None
    if whole and sys.stdout.isatty():
        complain("a whole trace is nothing for a terminal: send it to a file or a pipe")
        return 2
    try:
        if arguments.file is not None:
            return printing(lambda: _tell(arguments.file, arguments))
        if whole:
            return look(arguments.url, lambda admin: _record(admin, arguments.seconds, sys.stdout.buffer))
        return _record_to(arguments.output or DEFAULT, arguments)
    except OSError as error:
        complain(f"{arguments.file or arguments.output or DEFAULT}: {error.strerror}")
        return 1


def _record_to(path: Path, arguments: argparse.Namespace) -> int:
    if path.exists() and not arguments.force:
        complain(f"{path} is there already; --force overwrites it")
        return 1
    if sys.stderr.isatty():
        print(f"recording for {arguments.seconds:g} s …", file=sys.stderr)
    with _replacing(path) as file:
        status = look(arguments.url, lambda admin: _record(admin, arguments.seconds, file))
        if status != 0:
            return status
        file.flush()
        try:
            recording = read(Path(file.name).read_bytes())
        except NoTrace:
            complain("what the server sent is no trace")
            return 1
        Path(file.name).replace(path)
    return printing(lambda: _show(recording, path, arguments))


async def _record(admin: Admin, seconds: float, file: IO[bytes]) -> int:
    await admin.record(seconds, file)
    return 0


def _tell(path: Path, arguments: argparse.Namespace) -> int:
    content = path.read_bytes()
    try:
        recording = read(content)
    except NoTrace:
        complain(f"{path} is no trace")
        return 1
    if arguments.json and arguments.follow is None:
        sys.stdout.buffer.write(content)
        return 0
    return _show(recording, path, arguments)


def _show(recording: Recording, path: Path, arguments: argparse.Namespace) -> int:
    if arguments.follow is None:
        if not arguments.json:
            make_console().print(summary_view(recording, str(path)))
        return 0
    found = recording.follow(arguments.follow)
    if not found:
        complain(f"nothing in {path} came of an origin #{arguments.follow}")
        return 1
    if arguments.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        make_console().print(path_view(found))
    return 0


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside *path*, which is to take its place; gone afterwards if it has not."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
        finally:
            with suppress(FileNotFoundError):
                os.unlink(file.name)
