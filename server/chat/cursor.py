"""A place in a conversation's history, as a client remembers it."""

from __future__ import annotations

import re
from typing import Literal

from attrs import frozen

GapReason = Literal["malformed", "unknown_epoch", "future", "trimmed"]

_cursor = re.compile(r"(?P<epoch>[A-Za-z0-9]{1,32})\.(?P<seq>0|[1-9][0-9]{0,15})", re.ASCII)


@frozen
class Cursor:
    """The place after the fact number `seq` of the history called `epoch`."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that *text* spells, `None` if it spells none."""
        match = _cursor.fullmatch(text)
        return None if match is None else cls(match["epoch"], int(match["seq"]))


def gap_at(cursor: Cursor | None, *, epoch: str, floor: int, last: int) -> GapReason | None:
    """Why a client can't go on from *cursor* (`None`: a malformed one); `None` if it can.

    *floor* and *last* bound what can be read: the facts from `floor + 1` to `last`.
    """
    if cursor is None:
        return "malformed"
    if cursor.epoch != epoch:
        return "unknown_epoch"
    if cursor.seq > last:
        return "future"
    if cursor.seq < floor:
        return "trimmed"
    return None
