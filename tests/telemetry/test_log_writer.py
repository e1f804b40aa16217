"""Standard error that is gone, full or slow: nobody who logs fails or waits."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from server.telemetry.writer import Writer


def tell_lost(lines: int) -> bytes:
    return f"lost {lines}\n".encode()


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe's reading end and, as a stream, its writing end."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    yield reading, stream
    with suppress(OSError):
        os.close(reading)
    with suppress(OSError):
        stream.close()


def drain(reading: int, size: int) -> bytes:
    """*size* bytes, or what is there until the end."""
    read = b""
    while len(read) < size and (more := os.read(reading, size - len(read))):
        read += more
    return read


def test_lines_arrive_in_order(pipe: tuple[int, TextIO]) -> None:
    """One thread writes them all."""
    reading, stream = pipe
    writer = Writer(stream)
    lines = [f"{number}\n".encode() for number in range(1000)]

    for line in lines:
        writer.put(line)

    assert drain(reading, len(b"".join(lines))) == b"".join(lines)
    assert writer.flush()
    assert writer.lost == 0


def test_a_reader_that_is_gone_is_survived_and_counted(pipe: tuple[int, TextIO]) -> None:
    """`triologue serve 2>&1 | head` must not end the server."""
    reading, stream = pipe
    os.close(reading)
    writer = Writer(stream, tell_lost=tell_lost)

    for _ in range(3):
        writer.put(b"line\n")

    assert writer.flush()
    assert writer.lost == 3


def test_a_full_disk_is_survived_and_counted() -> None:
    """It fills just when there is much to say."""
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not there")
    with open("/dev/full", "w") as full:
        writer = Writer(full, tell_lost=tell_lost)
        writer.put(b"line\n")

        assert writer.flush()
        assert writer.lost == 1
        # Nothing was written to the stream, so that closing it flushes nothing.


def test_no_standard_error_is_survived() -> None:
    """A service may be started without one, and its number may belong to another file by now."""
    writer = Writer(None)
    writer.put(b"line\n")

    assert writer.flush()
    assert writer.lost == 1


def test_a_closed_stream_is_survived(pipe: tuple[int, TextIO]) -> None:
    """Somebody closed it after we looked."""
    _, stream = pipe
    writer = Writer(stream)
    stream.close()
    writer.put(b"line\n")

    assert writer.flush()
    assert writer.lost == 1


def fill(writing: int) -> int:
    """Bytes written until no more fit."""
    written = 0
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            written += os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    return written


def test_a_reader_that_sleeps_holds_nobody_up(pipe: tuple[int, TextIO]) -> None:
    """What has no room is lost, and said to be once there is room again; what was taken before arrives."""
    reading, stream = pipe
    before = fill(stream.fileno())
    line = b"x" * 999 + b"\n"
    writer = Writer(stream, room=10 * len(line), tell_lost=tell_lost)

    for _ in range(1000):
        writer.put(line)
    assert writer.lost == 990
    assert not writer.flush(0)

    notice = tell_lost(990)
    assert drain(reading, before) == b"." * before
    assert drain(reading, 10 * len(line) + len(notice)) == line + notice + 9 * line
    writer.put(b"again\n")
    assert drain(reading, 6) == b"again\n"
    assert writer.lost == 990


def test_a_pipe_that_does_not_block_gets_whole_lines(pipe: tuple[int, TextIO]) -> None:
    """Who shares it with us may have made it so."""
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    writer = Writer(stream)
    line = b"x" * 300_000 + b"\n"
    writer.put(line)

    assert drain(reading, len(line)) == line
    assert writer.flush(10)
    assert writer.lost == 0


def test_a_line_cut_short_spoils_no_other() -> None:
    """The disk was full in the middle of one: the next begins on a line of its own."""
    written = bytearray()
    full = threading.Event()
    full.set()

    def write(line: bytes) -> None:
        written.extend(line[:3] if full.is_set() else line)
        if full.is_set():
            raise OSError(28, "No space left on device")

    writer = Writer(None, tell_lost=tell_lost)
    writer._write = write
    writer.put(b"first\n")
    assert writer.flush(10)
    full.clear()
    writer.put(b"second\n")
    assert writer.flush(10)

    assert bytes(written) == b"fir\nsecond\nlost 1\n"
