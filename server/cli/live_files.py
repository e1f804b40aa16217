"""The files that a server lives on, which no copy may overwrite, whoever forces it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from server.config import Config


def is_live(path: Path, settings: Config) -> bool:
    """Whether *path*, by whatever name, is a file of the server with these *settings*."""
    for file in _files(settings):
        # One that is not there now may be tomorrow: a log that a copy stood in for would spoil its database.
        if path.resolve() == file.resolve():
            return True
        with suppress(OSError):
            if os.path.samefile(path, file):
                return True
    return False


def _files(settings: Config) -> Iterator[Path]:
    yield from (settings.mark, settings.data_dir / "owner")
    if settings.encryption.key_file is not None:
        yield settings.encryption.key_file
    for url in (settings.storage_url, settings.key_store_url):
        scheme, _, rest = url.partition(":///")
        if scheme.startswith("sqlite"):
            database = unquote(rest.partition("?")[0])
            for end in ("", "-wal", "-shm", "-journal"):
                yield Path(f"{database}{end}")
