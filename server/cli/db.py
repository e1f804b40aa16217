"""`triologue db`: the store of the conversations, brought up to date, copied, and brought elsewhere.

What changes the store takes the server's place: it owns the data directory meanwhile. What only reads it runs
beside a server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import trio

from server import config
from server.config import Config, ConfigError
from server.encryption import KeyRing, MasterVault, VaultError
from server.ownership import DataDirectory, DirectoryError, DirectoryInUse
from server.storage import PlainVault, StoreError, Vault, make_engine, upgrade
from server.storage.copies import back_up, restore
from server.storage.exporting import export
from server.storage.importing import import_lines
from server.storage.new_file import FileThere, new_file
from server.storage.opening import Alone, opened_alone, opened_beside
from server.telemetry import configure_logging

from .ending import Ended, ending_tidily
from .live_files import is_live
from .looking.terminal import printing
from .view import harmless

PIPE = Path("-")
"""Stands for standard input or output."""


def run(arguments: argparse.Namespace) -> int:
    """Do what *arguments* ask: 0; 1 if it can't be done, 2 if the configuration is of no use."""
    try:
        return printing(lambda: _do(arguments))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except DirectoryInUse as error:
        who = f"process {error.pid}" if error.pid else "another process"
        _complain(f"a server is running ({who} has the data directory): stop it first")
    except (DirectoryError, StoreError, VaultError) as error:
        _complain(str(error))
    except OSError as error:
        _complain(f"{arguments.path}: {error.strerror}")
    return 1


def _do(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    configure_logging(settings.log_level, settings.log_format, secrets=settings.secrets)
    try:
        _ACTIONS[arguments.action](arguments, settings)
    except Ended as ended:
        return ended.status
    return 0


def _upgrade(arguments: argparse.Namespace, settings: Config) -> None:
    with _owned(settings):
        engine = make_engine(settings.storage_url)
        try:
            changed = upgrade(engine)
        finally:
            engine.dispose()
    print("The tables were brought up to date." if changed else "The tables are up to date.")


def _new_epoch(arguments: argparse.Namespace, settings: Config) -> None:
    with _owned(settings), _alone(settings) as alone:
        alone.store.new_epochs()
    print("Every conversation has a new epoch: clients fetch their history anew.")


def _export(arguments: argparse.Namespace, settings: Config) -> None:
    if arguments.path == PIPE:
        _write_lines(settings, sys.stdout.buffer)
        return
    _spare_live_files(arguments, settings)
    try:
        # For its owner alone: it is in clear.
        with (
            ending_tidily(),
            new_file(arguments.path, overwrite=arguments.force) as beside,
            open(beside, "wb") as file,
        ):
            _write_lines(settings, file)
            file.flush()
    except FileThere:
        raise StoreError(f"{arguments.path} is there already; --force overwrites it") from None
    print(f"{arguments.path}: every conversation, in clear")


def _write_lines(settings: Config, file: IO[bytes]) -> None:
    with closing(_vault(settings)) as vault, opened_beside(settings.storage_url) as engine:
        for line in export(engine, vault, _now):
            file.write(line)


def _import(arguments: argparse.Namespace, settings: Config) -> None:
    with (
        _lines(arguments.path) as lines,
        _owned(settings),
        _alone(settings) as alone,
        closing(_vault(settings)) as vault,
    ):
        done = import_lines(alone.engine, vault, lines, replace=arguments.replace)
    print(f"{_number(done.conversations, 'conversation')} with {_number(done.messages, 'message')} came in.")


def _backup(arguments: argparse.Namespace, settings: Config) -> None:
    _spare_live_files(arguments, settings)
    with ending_tidily(), opened_beside(settings.storage_url) as engine:
        back_up(engine, arguments.path, overwrite=arguments.force)
    print(f"{arguments.path}: a copy of every conversation")
    if settings.encryption.key_file is not None:
        print("It is sealed. The keys are copied by `triologue keys backup`: keep the two apart.")


def _restore(arguments: argparse.Namespace, settings: Config) -> None:
    with (
        _owned(settings),
        _alone(settings, replacing=True) as alone,
        closing(_vault(settings)) as vault,
    ):
        done = restore(alone.engine, arguments.path, vault, overwrite=arguments.force)
    print(f"{_number(done.conversations, 'conversation')} with {_number(done.messages, 'message')} are back.")
    if done.lost:
        print(
            f"{_number(done.lost, 'message')} can't be read: recalled since, or their keys are not in "
            f"{settings.key_store_url.rpartition('@')[2]}."
        )


def _spare_live_files(arguments: argparse.Namespace, settings: Config) -> None:
    if is_live(arguments.path, settings):
        raise StoreError(f"{arguments.path} is a file of the server's own: name another")


@contextmanager
def _owned(settings: Config) -> Iterator[None]:
    """The data directory, for as long as this takes; a server that is ending is waited for."""

    async def claim() -> DataDirectory:
        return await DataDirectory.claim(settings.data_dir, on_wait=_complain)

    with trio.run(claim):
        yield


def _alone(settings: Config, *, replacing: bool = False) -> AbstractContextManager[Alone]:
    return opened_alone(
        settings.storage_url,
        mark=settings.mark,
        vault=_vault(settings),
        now=_now,
        replacing=replacing,
    )


def _vault(settings: Config) -> Vault:
    if settings.encryption.key_file is None:
        return PlainVault()
    return MasterVault(KeyRing.read(settings.encryption.key_file), settings.key_store_url)


@contextmanager
def _lines(path: Path) -> Iterator[Iterable[bytes]]:
    if path == PIPE:
        yield sys.stdin.buffer
        return
    with open(path, "rb") as file:
        yield file


def _now() -> datetime:
    return datetime.now(UTC)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _complain(text: str) -> None:
    line = " ".join(text.splitlines())
    print(f"triologue: {harmless(line)}", file=sys.stderr)


_ACTIONS = {
    "upgrade": _upgrade,
    "new-epoch": _new_epoch,
    "export": _export,
    "import": _import,
    "backup": _backup,
    "restore": _restore,
}
