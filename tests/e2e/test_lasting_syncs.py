"""P1, seen from below: between the write of a message and its ack the kernel was asked to make it lasting."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from .level2 import entered, query
from .running import ECHO, WAYS, Triologue, running

CALLS = "write,pwrite64,pwritev,fsync,fdatasync,sendto,sendmsg,writev"
MESSAGES = 20

_begun = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
_resumed = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")
_result = re.compile(r"= (?P<result>-?\d+)")


@frozen
class Call:
    """One system call: which lines of the trace it began and ended at, and what it was given."""

    name: str
    begun: int
    ended: int
    arguments: str
    result: int


def calls_of(trace: str) -> list[Call]:
    """The finished calls in what strace wrote, in the order in which they ended."""
    calls, open_calls = [], dict[str, tuple[str, int, str]]()
    for number, line in enumerate(trace.splitlines()):
        if (match := _begun.match(line)) is not None:
            name, begun, arguments = match["name"], number, match["rest"]
            if "<unfinished ...>" in line:
                open_calls[match["thread"]] = (name, begun, arguments)
                continue
        elif (match := _resumed.match(line)) is not None and match["thread"] in open_calls:
            name, begun, arguments = open_calls.pop(match["thread"])
            arguments += match["rest"]
        else:
            continue
        result = _result.findall(line)
        if result:
            calls.append(Call(name, begun, number, arguments, int(result[-1])))
    return calls


@contextmanager
def traced(server: Triologue, into: Path) -> Iterator[None]:
    """Every thread of every process of *server* under strace."""
    tracer = shutil.which("strace")
    if tracer is None:
        pytest.skip("needs strace, which .ci/run installs")
    command = [tracer, "-f", "-y", "-xx", "-s", "16384", "-e", f"trace={CALLS}", "-o", str(into)]
    for process in processes_of(server):
        command += ["-p", str(process)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert strace.stderr is not None
    attached = 0
    try:
        for line in strace.stderr:
            if "Operation not permitted" in line:
                pytest.skip("this machine does not let one process trace another (ptrace)")
            attached += "attached" in line
            if attached == len(processes_of(server)):
                break
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.stderr.read()
        strace.wait()
        strace.stderr.close()


def processes_of(server: Triologue) -> list[int]:
    """Its own and those that it started: hypercorn's worker is one of those."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid="], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, group in pairs if int(group) == server.process.pid]


def spelled(text: str) -> str:
    """*text* as strace -xx spells it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize("way", WAYS)
async def test_a_sync_that_succeeded_lies_between_a_message_and_its_ack(way: str, tmp_path: Path) -> None:
    """A power cut after the ack finds the message on the disk. So does whoever was told of it at all."""
    trace = tmp_path / "trace"
    with running(way, tmp_path) as server:
        url = server.socket_url(ECHO, query(session_id="traced"))
        async with entered(url, seconds=90) as client:
            await client.post("warm", "warm")
            await client.end_of()
            with traced(server, trace):
                for number in range(MESSAGES):
                    answer = await client.post(f"needle-{number:04}-in", f"needle-{number:04}-ack")
                    assert answer["type"] == "ack"
                    await client.end_of()
    calls = calls_of(trace.read_text())

    synced = 0
    for number in range(MESSAGES):
        body, ack = (
            spelled(f"needle-{number:04}-in"),
            spelled(f'"ack","client_msg_id":"needle-{number:04}-ack"'),
        )
        writes = [c for c in calls if c.name.startswith("pwrite") and body in c.arguments and c.result > 0]
        sends = [c for c in calls if c.name in ("sendto", "sendmsg") and ack in c.arguments]
        told = [c for c in calls if c.name in ("sendto", "sendmsg") and body in c.arguments]
        assert writes, f"message {number} was never written"
        assert len(sends) == 1
        file = file_of(writes[0])
        for telling in (sends[0], told[0]):
            between = [
                call
                for call in calls
                if call.name in ("fsync", "fdatasync")
                and file_of(call) == file
                and call.result == 0
                and call.begun > writes[0].ended
                and call.ended < telling.begun
            ]
            assert between, f"message {number} was told before it was lasting"
        synced += 1
    assert synced == MESSAGES


def file_of(call: Call) -> str:
    """What the call's file descriptor stands for; strace -y names it."""
    found = re.match(r"\d+<([^>]*)>", call.arguments)
    assert found is not None, call.arguments[:80]
    return found[1]


def test_a_trace_without_the_sync_would_be_noticed() -> None:
    """The reading of the trace itself: a sync of another file, a failed one, or one too late don't count."""
    trace = "\n".join(
        [
            '7 pwrite64(5</d/x-wal>, "\\x61", 1, 0) = 1',
            "7 fdatasync(5</d/x-wal> <unfinished ...>",
            '8 sendto(9<socket:[1]>, "\\x62", 1, 0, NULL, 0) = 1',
            "7 <... fdatasync resumed>) = 0",
            "7 fsync(6</d/y>) = -1 EIO (Input/output error)",
            "7 +++ exited with 0 +++",
        ]
    )
    write, send, sync, failed = calls_of(trace)

    assert [c.name for c in (write, send, sync, failed)] == ["pwrite64", "sendto", "fdatasync", "fsync"]
    assert (sync.begun, sync.ended, sync.result, file_of(sync)) == (1, 3, 0, "/d/x-wal")
    assert sync.ended > send.begun
    assert (failed.result, file_of(failed)) == (-1, "/d/y")
    assert os.path.basename(file_of(write)) == "x-wal"
