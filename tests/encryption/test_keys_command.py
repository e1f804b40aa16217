"""`triologue keys`, as an operator types it: what it says, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from contextlib import closing
from pathlib import Path

import pytest

from server.cli import main
from server.encryption import KeyRing

from .stores import bytes_beside, open_vault


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a server that has run, with 3 messages' keys."""
    path = tmp_path / "triologue.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n[encryption]\nkey_file = "{tmp_path / "keys"}"\n')
    with closing(open_vault(tmp_path)) as vault:
        vault.open_keys(3)
    return path


def test_new_makes_a_file_and_says_what_to_do_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key itself is nobody's business, least of all the terminal's scrollback."""
    path = tmp_path / "keys"
    before = os.umask(0)
    try:
        assert main(["keys", "new", str(path)]) == 0
    finally:
        os.umask(before)
    said = capsys.readouterr()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f'key_file = "{path}"' in said.out
    assert path.read_text().split()[-2] not in said.out + said.err

    assert main(["keys", "new", str(path)]) == 0
    assert KeyRing.read(path).current.id in capsys.readouterr().out
    assert len(KeyRing.read(path).keys) == 2


def test_from_rotation_to_retirement(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way an operator goes: look, rotate, look, retire."""
    old = KeyRing.read(tmp_path / "keys").current.id
    where = ["--config", str(config)]

    assert main(["keys", "status", *where]) == 0
    assert f"{old}   2026-01-01T12:00:00Z   4 data keys   current" in capsys.readouterr().out
    assert main(["keys", "retire", old, *where]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["keys", "rotate", *where]) == 0
    said = capsys.readouterr().out
    assert "4 data keys rewrapped" in said
    assert f"triologue keys retire {old}" in said
    assert main(["keys", "status", *where]) == 0
    assert f"{old}   2026-01-01T12:00:00Z   0 data keys   may be retired" in capsys.readouterr().out
    assert main(["keys", "retire", old, *where]) == 0
    assert main(["keys", "retire", old, *where]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_a_rotation_cut_short_is_finished_without_another_key(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the file would gain a key for each attempt."""
    assert main(["keys", "new", str(tmp_path / "keys")]) == 0
    assert main(["keys", "rotate", "--finish", "--config", str(config)]) == 0
    assert "4 data keys rewrapped" in capsys.readouterr().out
    assert len(KeyRing.read(tmp_path / "keys").keys) == 2


def test_backup_and_restore(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both beside a running server; nothing is overwritten unasked."""
    copy, where = tmp_path / "copy", ["--config", str(config)]

    assert main(["keys", "backup", str(copy), *where]) == 0
    assert main(["keys", "backup", str(copy), *where]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["keys", "backup", str(copy), "--force", *where]) == 0
    (tmp_path / "keys.db").unlink()
    assert main(["keys", "restore", str(copy), *where]) == 0
    assert "has the 4 keys" in capsys.readouterr().out


def test_a_lost_master_key_is_told_by_status_and_stops_a_rotation(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is changed."""
    lost = KeyRing.read(tmp_path / "keys").current.id
    (tmp_path / "keys").unlink()
    assert main(["keys", "new", str(tmp_path / "keys")]) == 0
    before = (tmp_path / "keys").read_bytes(), bytes_beside(tmp_path / "keys.db")
    capsys.readouterr()

    assert main(["keys", "status", "--config", str(config)]) == 1
    assert f"does not hold the master key {lost} (4 data keys)" in capsys.readouterr().err
    assert main(["keys", "rotate", "--config", str(config)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert ((tmp_path / "keys").read_bytes(), bytes_beside(tmp_path / "keys.db")) == before


@pytest.mark.parametrize("action", ["rotate", "status", "backup x", "restore x", "retire 0a1b2c3d"])
def test_what_can_t_be_done_is_one_line(
    tmp_path: Path, config: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 if the configuration says nothing of encryption, 1 if what it says can't be used."""
    where = ["--config", str(config)]
    (tmp_path / "keys").chmod(0o644)
    assert main(["keys", *action.split(), *where]) == 1
    assert "chmod 600" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1

    (tmp_path / "keys").chmod(0o600)
    config.write_text(config.read_text() + 'key_store = "sqlite:////nowhere/keys.db"\n')
    assert main(["keys", *action.split(), *where]) == 1
    assert capsys.readouterr().err.count("\n") == 1

    config.write_text(f'data_dir = "{tmp_path}"\n')
    assert main(["keys", *action.split(), *where]) == 2
    assert "encryption is off" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1

    config.write_text("= nonsense")
    assert main(["keys", *action.split(), *where]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_keys_come_back_before_a_server_ever_ran(tmp_path: Path, config: Path) -> None:
    """On a fresh machine they are the first thing that is restored."""
    data = tmp_path / "new" / "data"
    settings = config.read_text().replace(f'data_dir = "{tmp_path}"', f'data_dir = "{data}"')
    assert main(["keys", "backup", str(tmp_path / "copy"), "--config", str(config)]) == 0
    config.write_text(settings)

    assert main(["keys", "restore", str(tmp_path / "copy"), "--config", str(config)]) == 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700

    shutil.rmtree(data)
    config.write_text(f'{settings}key_store = "sqlite:///{data}/keys.db"\n')
    assert main(["keys", "restore", str(tmp_path / "copy"), "--config", str(config)]) == 1
    assert not data.exists()


@pytest.mark.parametrize("name", ["keys.db", "keys.db-wal", "keys", "triologue.db", "link"])
def test_no_copy_takes_the_place_of_what_the_server_lives_on(
    tmp_path: Path, config: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by another name, nor by force."""
    os.link(tmp_path / "keys.db", tmp_path / "link")
    before = bytes_beside(tmp_path / "keys.db")

    assert main(["keys", "backup", str(tmp_path / name), "--force", "--config", str(config)]) == 1
    assert (
        capsys.readouterr().err
        == f"triologue: {tmp_path / name} is a file of the server's own: name another\n"
    )
    assert bytes_beside(tmp_path / "keys.db") == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_copy_that_is_told_to_end_leaves_nothing(
    tmp_path: Path, config: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that goes down must not strew keys about."""
    (tmp_path / "there").mkdir()
    handlers = signal.getsignal(number)
    monkeypatch.setattr(os, "link", lambda *paths: signal.raise_signal(number))

    assert main(["keys", "backup", str(tmp_path / "there" / "copy"), "--config", str(config)]) == 128 + number
    assert list((tmp_path / "there").iterdir()) == []
    assert signal.getsignal(number) == handlers
