"""Encryption at rest, seen from outside: what stands in the files of a server that lived."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.encryption import KeyRing

from .client import Frame, connect
from .running import ECHO, PIPELINES, ROOT, WAYS, Triologue

SAID = "Wes Sprache fremd ist, dem sag ich: Schneeglöckchen-4711"
SAID_LATER = "Veilchen-0815 blooms in winter too"
INLINE = base64.b64encode(b"a picture of Maigloeckchen-1234 " * 40).decode()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Site:
    """A folder with a key file, a configuration and a data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.key_file = folder / "keys"
        self.settings = f'[encryption]\nkey_file = "{self.key_file}"\n{PIPELINES}'
        self.keys("new", str(self.key_file))

    def keys(self, *words: str) -> str:
        """What `triologue keys` says to *words*."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TRIOLOGUE_CONFIG": str(self.folder / "triologue.toml"),
            "TRIOLOGUE_DATA_DIR": str(self.data),
        }
        done = subprocess.run(
            [sys.executable, "-m", "server", "keys", *words],
            cwd=ROOT,
            env=environment if words[0] != "new" else {**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        return done.stdout

    @contextmanager
    def serving(self, way: str) -> Iterator[Triologue]:
        server = Triologue(way, self.folder, self.settings)
        try:
            yield server.wait_ready()
        finally:
            server.kill()

    def files(self) -> dict[str, bytes]:
        """Everything in the data directory, and in no other."""
        return {str(path.relative_to(self.data)): path.read_bytes() for path in self.data.rglob("*")}


def traces_of(text: str, files: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """Where in *files* any part of *text* stands, in any of the usual spellings."""
    words = [word for word in text.split() if len(word) > 5]
    spelled = [
        spelling
        for word in words
        for spelling in (
            word.encode(),
            word.encode("utf-16-le"),
            word.encode("unicode-escape"),
            word.lower().encode(),
            base64.b64encode(word.encode())[:-4],
        )
    ]
    return [(name, part) for name, content in files.items() for part in spelled if part in content]


def is_mine(kind: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == kind


def messages(server: Triologue) -> list[Any]:
    """The history, as REST tells it."""
    status, answer = server.json("GET", f"/api/v1/pipelines/{ECHO}/ws/messages/person")
    assert status == 200, answer
    data: Any = answer["data"]
    return list(data["messages"])


def history(server: Triologue) -> str:
    """What REST says was said."""
    return "\n".join(message["content"] for message in messages(server))


async def test_strings_on_all_files_finds_no_text(way: str, tmp_path: Path) -> None:
    """While it runs, after it was killed, after it ended; and yet all is there after a restart."""
    site = Site(tmp_path)
    with site.serving(way) as server:
        async with connect(server.socket_url(ECHO), level=2) as client:
            await client.say(SAID, client_msg_id="first")
            await client.until_final()
            picture = {"type": "Image", "base64": f"data:image/png;base64,{INLINE}"}
            await client.send({"type": "message", "message": [{"type": "Plain", "text": "see"}, picture]})
            await client.until_final()
            await client.say("draft", client_msg_id="third")
            draft = next(f for f in await client.until_final() if f["type"] == "ack")["id"]
            chain = [{"type": "Plain", "text": SAID_LATER}]
            await client.send({"type": "edit", "id": draft, "message": chain})
            await client.until(is_mine("edited"))
            while_running = site.files()
        server.kill()
        after_kill = site.files()
    with site.serving(way) as server:
        told = history(server)
        server.terminate()
        server.wait_exit()
        after_end = site.files()

    assert SAID in told
    assert SAID_LATER in told
    for files in (while_running, after_kill, after_end):
        assert {"triologue.db", "keys.db"} <= set(files)
        for text in (SAID, SAID_LATER, INLINE[:64]):
            assert traces_of(text, files) == []
        assert not [name for name, content in files.items() if INLINE[40:60].encode() in content]
        assert not [name for name, content in files.items() if b"Maigloeckchen" in content]
    master = KeyRing.read(site.key_file).current.reveal()
    assert not [name for name, content in after_end.items() if master in content]


async def test_without_a_key_the_same_search_finds_it(tmp_path: Path) -> None:
    """So that it is known to look in the right places."""
    site = Site(tmp_path)
    site.settings = PIPELINES
    with site.serving("serve") as server:
        async with connect(server.socket_url(ECHO)) as client:
            await client.say(SAID)
            await client.until_final()
        assert traces_of(SAID, site.files())


async def test_a_recall_reaches_the_copies_made_before(tmp_path: Path) -> None:
    """An older database put back says it again to nobody: the key is gone, and the rest is not."""
    site = Site(tmp_path)
    me = "guest=0123456789abcdef"
    with site.serving("serve") as server:
        async with connect(server.socket_url(ECHO, me), level=2) as client:
            await client.say(SAID, client_msg_id="first")
            said = next(frame for frame in await client.until_final() if frame["type"] == "ack")["id"]
            await client.say(SAID_LATER)
            await client.until_final()
        server.terminate()
        server.wait_exit()
    copy = tmp_path / "backup.db"
    shutil.copy(site.data / "triologue.db", copy)
    with site.serving("serve") as server:
        assert said in {message["id"] for message in messages(server)}
        async with connect(server.socket_url(ECHO, me), level=2) as client:
            await client.send({"type": "recall", "id": said})
            await client.until(is_mine("recalled"))
        server.terminate()
        server.wait_exit()
    shutil.copy(copy, site.data / "triologue.db")
    with site.serving("serve") as server:
        found = messages(server)
        assert said not in {message["id"] for message in found}
        # The answer to it was not recalled, and says it back: that is what an echo does.
        assert [message["role"] for message in found] == ["assistant", "user", "assistant"]
        assert SAID_LATER in history(server)


async def test_a_rotation_under_way_is_noticed_by_nobody(way: str, tmp_path: Path) -> None:
    """And after it the old key may go: what was said before it is still there, also after a restart."""
    site = Site(tmp_path)
    with site.serving(way) as server:
        old = KeyRing.read(site.key_file).current.id
        async with connect(server.socket_url(ECHO), level=2) as client:
            await client.say(SAID)
            await client.until_final()
            site.keys("rotate")
            await client.say(SAID_LATER)
            await client.until_final()
        site.keys("retire", old)
        assert SAID in history(server)
        server.kill()
    assert old not in site.key_file.read_text()
    with site.serving(way) as server:
        told = history(server)
    assert SAID in told
    assert SAID_LATER in told


@pytest.mark.parametrize("fault", ["open to all", "garbled", "another key", "no key store"])
def test_keys_that_can_t_be_used_end_the_start_with_one_line(way: str, tmp_path: Path, fault: str) -> None:
    """Rather than a server to which every message looks recalled."""
    site = Site(tmp_path)
    with site.serving(way):
        pass
    if fault == "open to all":
        site.key_file.chmod(0o640)
    elif fault == "garbled":
        site.key_file.write_bytes(site.key_file.read_bytes()[:-30])
    elif fault == "another key":
        site.key_file.unlink()
        site.keys("new", str(site.key_file))
    else:
        (site.data / "keys.db").write_bytes(b"nonsense" * 1000)
    server = Triologue(way, tmp_path, site.settings)
    server.wait_exit()
    lines = [line for line in server.lines if line.strip()]
    server.kill()

    assert len(lines) == 1, lines
    assert "key file" in lines[0] or "key store" in lines[0]
