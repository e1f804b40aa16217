"""The file of master keys: who may read it, what is in it, and how it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.encryption import KeyFileError, KeyRing, new_key
from server.encryption.ring import drop_key
from tests.e2e.running import ROOT

from .stores import NOON

GOOD = f"0a1b2c3d  {b64encode(bytes(range(32))).decode()}  2026-01-01T12:00:00Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture(params=[0, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def written(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def test_the_newest_key_is_current(path: Path) -> None:
    """And the older ones stay, since what they wrapped is still there."""
    made = [new_key(path, NOON + timedelta(days=day)) for day in range(3)]
    ring = KeyRing.read(path)

    assert [key.id for key in ring.keys] == [key.id for key in made]
    assert [key.reveal() for key in ring.keys] == [key.reveal() for key in made]
    assert [key.created for key in ring.keys] == [key.created for key in made]
    assert ring.current.id == made[-1].id


@pytest.mark.usefixtures("umask")
def test_the_file_is_its_owner_s_alone_whatever_the_umask(path: Path) -> None:
    """An operator's shell decides nothing about it; nor does it after a change."""
    new_key(path, NOON)
    assert path.stat().st_mode & 0o777 == 0o600

    new_key(path, NOON)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_file_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    """It would be used for years before somebody looks."""
    written(path, GOOD, mode)

    with pytest.raises(KeyFileError, match=f"read by others .mode 0{mode:o}.*chmod 600") as refused:
        KeyRing.read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a remark\n",
        GOOD[:20],
        GOOD.rpartition("  ")[0],
        GOOD.replace("0a1b2c3d", "0A1B2C3D"),
        GOOD.replace("0a1b2c3d", "../../x"),
        GOOD.replace("AAECAw", "AAEC"),
        GOOD.replace("AAECAw", "AA*CAw"),
        GOOD.replace("2026-01-01T", "yesterday"),
        GOOD.replace("2026-01-01T", "2026-13-01T"),
        f"{GOOD}  more",
        f"{GOOD}\n{GOOD}",
        f"{GOOD}\n{GOOD[:30]}",
        b"\x00" * 300,
        b"\xff\xfe" + GOOD.encode("utf-16-le"),
        os.urandom(4096),
        "x" * 2**21,
    ],
)
def test_a_garbled_file_is_told_in_one_line_that_holds_no_key(path: Path, text: str | bytes) -> None:
    """A file cut short by a full disk holds most of a key; the log must not."""
    written(path, text)

    with pytest.raises(KeyFileError) as refused:
        KeyRing.read(path)
    said = str(refused.value)
    assert "\n" not in said
    assert str(path) in said
    assert "AAECAw" not in said
    assert "BAUGBwgJ" not in said


@given(text=st.binary(max_size=200))
@settings(deadline=None)
def test_no_content_makes_reading_fail_in_any_other_way(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    """The start of the server turns this one error into one line."""
    path = written(tmp_path_factory.mktemp("any") / "keys", text)

    with pytest.raises(KeyFileError):
        KeyRing.read(path)


@pytest.mark.parametrize("what", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_told_in_one_line(path: Path, what: str) -> None:
    """A pipe without a writer must not hold up the start."""
    if what == "folder":
        path.mkdir(mode=0o700)
    elif what == "pipe":
        os.mkfifo(path, 0o600)

    with pytest.raises(KeyFileError) as refused:
        KeyRing.read(path)
    assert "\n" not in str(refused.value)


def test_remarks_survive_a_change(path: Path) -> None:
    """An operator's own words on where the copy lies."""
    written(path, f"# the copy lies in the safe\n{GOOD}\n")
    new_key(path, NOON)

    assert path.read_text().startswith(f"# the copy lies in the safe\n{GOOD}\n")
    assert len(KeyRing.read(path).keys) == 2


def test_a_link_stays_a_link(tmp_path: Path, path: Path) -> None:
    """Orchestrators mount secrets so."""
    target = tmp_path / "elsewhere" / "secret"
    target.parent.mkdir()
    path.symlink_to(target)
    written(target, GOOD)
    new_key(path, NOON)

    assert path.is_symlink()
    assert len(KeyRing.read(target).keys) == 2


def test_a_file_without_keys_may_get_its_first(path: Path) -> None:
    """Made by `install -m 600 /dev/null`, so that it has the right owner."""
    written(path, "")
    key = new_key(path, NOON)

    assert KeyRing.read(path).current.id == key.id


def test_a_garbled_file_is_not_changed(path: Path) -> None:
    """What can't be read may still be mended by hand."""
    written(path, f"{GOOD}\nnonsense\n")
    before = path.read_bytes()

    with pytest.raises(KeyFileError):
        new_key(path, NOON)
    assert path.read_bytes() == before
    assert [left.name for left in path.parent.iterdir()] == ["keys"]


def test_many_changes_at_once_lose_none(path: Path) -> None:
    """Two operators rotate; a key that wraps something and is gone again would be the end of it."""
    new_key(path, NOON)
    threads = [Thread(target=new_key, args=(path, NOON)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({key.id for key in KeyRing.read(path).keys}) == 17
    assert [left.name for left in path.parent.iterdir()] == ["keys"]


def test_a_reader_never_meets_half_a_file(path: Path) -> None:
    """A vault reads it while a rotation writes it, in another process."""
    new_key(path, NOON)
    script = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC; "
        "from server.encryption import new_key\n"
        "for _ in range(100): new_key(Path(sys.argv[1]), datetime.now(UTC))"
    )
    lengths = [1]
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as writing:
        while writing.poll() is None:
            lengths.append(len(KeyRing.read(path).keys))

    assert writing.returncode == 0
    assert lengths == sorted(lengths)
    assert len(KeyRing.read(path).keys) == 101


def test_what_a_killed_change_left_behind_is_cleared_away(path: Path) -> None:
    """It holds keys, and nobody would ever look there."""
    new_key(path, NOON)
    left = path.with_name(".keys.new")
    left.write_text("half a file")
    new_key(path, NOON)

    assert not left.exists()
    assert len(KeyRing.read(path).keys) == 2


def test_the_current_key_is_not_dropped(path: Path) -> None:
    """The next message would be wrapped by one that wrapped nothing for long, or by none."""
    old, current = new_key(path, NOON), new_key(path, NOON)

    with pytest.raises(KeyFileError, match="current"):
        drop_key(path, current.id)
    with pytest.raises(KeyFileError, match="does not hold"):
        drop_key(path, "ffffffff")
    drop_key(path, old.id)
    assert [key.id for key in KeyRing.read(path).keys] == [current.id]


def test_a_ring_knows_when_its_file_is_another(path: Path) -> None:
    """That is how a running server learns of a new key, at the price of one `stat`."""
    new_key(path, NOON)
    ring = KeyRing.read(path)
    assert not ring.is_stale()

    new_key(path, NOON)
    assert ring.is_stale()
    assert not KeyRing.read(path).is_stale()
    path.unlink()
    assert not ring.is_stale(), "who takes the file away after the start leaves the server its keys"
