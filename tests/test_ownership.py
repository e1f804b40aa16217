"""Who may use a data directory, tried with real processes, since the kernel keeps the lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from server.ownership import DataDirectory, DirectoryInUse, DirectoryUnusable

ROOT = Path(__file__).parents[1]

# Claims, says what came of it, then does as its standard input says.
PROCESS = """
import sys, trio
from pathlib import Path
from server.ownership import DataDirectory, DirectoryInUse
async def main():
    try:
        path, on_wait = Path(sys.argv[1]), lambda line: print("waits", line, flush=True)
        directory = await DataDirectory.claim(path, on_wait=on_wait)
    except DirectoryInUse as error:
        return print("refused", error, flush=True)
    print("owns", flush=True)
    for order in sys.stdin:
        getattr(directory, order.strip())()
        print("done", flush=True)
trio.run(main)
"""

Start = Callable[[Path], "Process"]


class Process:
    """Another process that claims the directory."""

    def __init__(self, path: Path) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.pid = self._popen.pid

    async def says(self) -> str:
        assert self._popen.stdout is not None
        return (await trio.to_thread.run_sync(self._popen.stdout.readline)).strip()

    async def order(self, what: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{what}\n")
        assert await self.says() == "done"

    def kill(self) -> None:
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._popen.stdout.close()


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[Process] = []

    def start(path: Path) -> Process:
        processes.append(Process(path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def in_use(path: Path, pid: int) -> str:
    return f"data directory {path} is in use by process {pid}; give this one its own with TRIOLOGUE_DATA_DIR"


async def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """History is private, and a first start needs no preparation."""
    path = tmp_path / "a" / "b"

    with await DataDirectory.claim(path):
        assert path.stat().st_mode & 0o777 == 0o700
        assert (path / "owner").stat().st_mode & 0o777 == 0o600
        assert (
            json.loads((path / "owner").read_text()).items()
            >= {"pid": os.getpid(), "state": "serving"}.items()
        )


async def test_a_serving_owner_is_not_disturbed(tmp_path: Path, start: Start) -> None:
    """Two writers would destroy the history."""
    owner = start(tmp_path)
    assert await owner.says() == "owns"

    with pytest.raises(DirectoryInUse) as caught:
        await DataDirectory.claim(tmp_path)

    assert str(caught.value) == in_use(tmp_path, owner.pid)
    assert caught.value.pid == owner.pid


async def test_one_process_is_refused_its_own_directory_too(tmp_path: Path) -> None:
    """Two servers in one process are two servers."""
    first = await DataDirectory.claim(tmp_path)

    with first, pytest.raises(DirectoryInUse, match=f"process {os.getpid()};"):
        await DataDirectory.claim(tmp_path)


async def test_a_draining_owner_is_waited_for(tmp_path: Path, start: Start) -> None:
    """A restart starts the successor before its predecessor is gone."""
    owner, successor = start(tmp_path), None
    assert await owner.says() == "owns"
    await owner.order("mark_draining")

    successor = start(tmp_path)

    assert (
        await successor.says()
        == f"waits waiting for process {owner.pid} to finish with data directory {tmp_path}"
    )
    await owner.order("release")
    assert await successor.says() == "owns"


async def test_a_draining_owner_that_dies_frees_its_successor(tmp_path: Path, start: Start) -> None:
    """Waiting must not depend on a good end."""
    owner = start(tmp_path)
    assert await owner.says() == "owns"
    await owner.order("mark_draining")
    successor = start(tmp_path)
    assert (await successor.says()).startswith("waits")

    owner.kill()

    assert await successor.says() == "owns"


async def test_of_two_that_wait_one_wins_and_one_is_refused(tmp_path: Path, start: Start) -> None:
    """Who waits reads again who the owner is: it may serve by now."""
    owner = start(tmp_path)
    assert await owner.says() == "owns"
    await owner.order("mark_draining")
    waiting = {process: process.pid for process in (start(tmp_path), start(tmp_path))}
    for process in waiting:
        assert (await process.says()).startswith("waits")

    await owner.order("release")

    said = {process: await process.says() for process in waiting}
    winner = next(process for process in waiting if said[process] == "owns")
    (loser,) = waiting.keys() - {winner}
    assert said[loser] == f"refused {in_use(tmp_path, winner.pid)}"


async def test_a_killed_owner_is_no_obstacle(tmp_path: Path, start: Start) -> None:
    """After kill -9 the file still says that somebody serves; the kernel knows better."""
    owner = start(tmp_path)
    assert await owner.says() == "owns"

    owner.kill()

    assert json.loads((tmp_path / "owner").read_text())["state"] == "serving"
    (await DataDirectory.claim(tmp_path)).release()


async def test_of_many_at_once_exactly_one_wins(tmp_path: Path, start: Start) -> None:
    """And the others name the winner, not whoever stood in the file before."""
    dead = start(tmp_path)
    assert await dead.says() == "owns"
    dead.kill()

    claimers = [start(tmp_path) for _ in range(4)]
    said = [await claimer.says() for claimer in claimers]

    (winner,) = (claimer for claimer, word in zip(claimers, said, strict=True) if word == "owns")
    assert sorted(said) == ["owns", *[f"refused {in_use(tmp_path, winner.pid)}"] * 3]


async def test_a_new_owner_is_given_time_to_say_who_it_is(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Between its lock and its first word the file still names somebody who may be long dead."""
    refusals: list[str] = []

    async def claim() -> None:
        with pytest.raises(DirectoryInUse) as caught:
            await DataDirectory.claim(tmp_path)
        refusals.append(str(caught.value))

    with await DataDirectory.claim(tmp_path):
        own = (tmp_path / "owner").read_text()
        (tmp_path / "owner").write_text(json.dumps(json.loads(own) | {"pid": 1}))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claim)
            await trio.testing.wait_all_tasks_blocked()
            (tmp_path / "owner").write_text(own)

    assert refusals == [in_use(tmp_path, os.getpid())]


async def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A tool that the server ran may outlive it."""
    directory = await DataDirectory.claim(tmp_path)
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, ["sleep", "60"], close_fds=False, check=False)
        child = await nursery.start(run)
        directory.release()

        (await DataDirectory.claim(tmp_path)).release()

        assert child.poll() is None
        child.kill()


async def test_a_released_directory_can_be_claimed_again(tmp_path: Path) -> None:
    """Nothing is left behind, and what comes after the release does not touch the new owner."""
    first = await DataDirectory.claim(tmp_path)
    first.mark_draining()
    first.release()

    with await DataDirectory.claim(tmp_path):
        first.mark_draining()
        first.release()
        assert json.loads((tmp_path / "owner").read_text())["state"] == "serving"
        with pytest.raises(DirectoryInUse):
            await DataDirectory.claim(tmp_path)


async def test_waiting_ends(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """An owner that never finishes must not make its successor hang in silence."""
    lines: list[str] = []
    with await DataDirectory.claim(tmp_path) as owner:
        owner.mark_draining()

        with pytest.raises(DirectoryInUse, match="60 s after this one began to wait"):
            await DataDirectory.claim(tmp_path, on_wait=lines.append)

    assert len(lines) == 1


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b'{"pid": "x"}', b"[" * 100])
async def test_an_owner_that_says_nothing_of_sense_is_an_owner(tmp_path: Path, text: bytes) -> None:
    """The lock is the truth; the text only explains it."""
    with await DataDirectory.claim(tmp_path):
        (tmp_path / "owner").write_bytes(text)

        with pytest.raises(DirectoryInUse, match="is in use by another process;") as caught:
            await DataDirectory.claim(tmp_path)

    assert caught.value.pid is None


async def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    """An operator needs no traceback to see a wrong path."""
    (tmp_path / "file").touch()

    with pytest.raises(DirectoryUnusable) as caught:
        await DataDirectory.claim(tmp_path / "file" / "data")

    assert str(caught.value) == (
        f"data directory {tmp_path / 'file' / 'data'} can't be used: Not a directory; "
        "choose another with TRIOLOGUE_DATA_DIR"
    )


async def test_a_directory_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    """Here a folder stands where the owner's file should be: root, who runs the tests, may write anywhere."""
    (tmp_path / "owner").mkdir()

    with pytest.raises(DirectoryUnusable, match="can't be used: Is a directory;") as caught:
        await DataDirectory.claim(tmp_path)

    assert len(str(caught.value).splitlines()) == 1
