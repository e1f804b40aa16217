"""Notices that SQLite's file was deleted, moved or replaced while it is in use.

SQLite would go on writing to the file that it has open, which has no name any more: what is acknowledged then
would be gone with the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import structlog
from attrs import define, field
from structlog.typing import FilteringBoundLogger

from .port import StoreError

log: FilteringBoundLogger = structlog.get_logger(__name__)


@define(eq=False)
class HeldFile:
    """The file that was at *path* when this was made."""

    path: Path
    _identity: tuple[int, int] | None = field(init=False)
    _complained: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._identity = self._now_there()

    def check(self, *_: Any) -> None:
        """Moved back to its path it is the same again; a copy of it is not.

        Raises:
            StoreError: It is not there.
        """
        there = self._now_there()
        if there == self._identity:
            self._complained = False
            return
        what = "is gone" if there is None else "is another one"
        if not self._complained:
            self._complained = True
            log.error(
                f"the database file {what}, nothing can be stored:"
                " move it back, or stop the server, restore a backup and start again",
                file=str(self.path),
            )
        raise StoreError(f"the database file {self.path} {what}")

    def _now_there(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
