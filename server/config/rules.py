"""What a key takes: one rule for each sort of value, put beside the type with `typing.Annotated`.

A rule coerces nothing: `"5"` is no number and `true` is no 1. `check` takes a value as TOML holds it,
and `read` makes such a value of an environment variable's text.
"""

from __future__ import annotations

import math
import os
import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from attrs import frozen

from .errors import Unacceptable
from .showing import HIDDEN, show

_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)


class Rule:
    """One sort of value."""

    @property
    def expected(self) -> str:
        """What the key takes, to stand behind "expected" in an error."""
        raise NotImplementedError

    def check(self, raw: object) -> Any:
        """The value that the program sees.

        Raises:
            Unacceptable: *raw* is not of this sort.
        """
        raise NotImplementedError

    def read(self, text: str) -> object:
        """What TOML would hold, had it been written there; *text* itself where it makes no sense."""
        return text

    def show(self, raw: object) -> str:
        """*raw* as an error may print it."""
        return show(raw)

    def refuse(self, raw: object, expected: str | None = None) -> Unacceptable:
        return Unacceptable(self.show(raw), expected or self.expected)


@frozen
class Whole(Rule):
    """A whole number of `unit`, from `low` to `high`."""

    low: int
    high: int
    unit: str = ""

    @property
    def expected(self) -> str:
        of = f" of {self.unit}" if self.unit else ""
        return f"a whole number{of} from {self.low} to {self.high}"

    def check(self, raw: object) -> int:
        if isinstance(raw, int) and not isinstance(raw, bool) and self.low <= raw <= self.high:
            return raw
        raise self.refuse(raw)

    def read(self, text: str) -> object:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text, re.ASCII) else text


@frozen
class Seconds(Rule):
    """A time span up to `high`; 0 only where `zero` is given."""

    high: float
    zero: bool = False

    @property
    def expected(self) -> str:
        return f"a number of seconds from 0 to {self.high:g}" + ("" if self.zero else ", but not 0")

    def check(self, raw: object) -> float:
        if (
            isinstance(raw, int | float)
            and not isinstance(raw, bool)
            and 0 <= raw <= self.high
            and (raw or self.zero)
        ):
            return float(raw)
        raise self.refuse(raw)

    def read(self, text: str) -> object:
        return float(text) if _DECIMAL.fullmatch(text) else text


@frozen
class Share(Rule):
    """A part of the whole, from 0 to 1."""

    expected: ClassVar[str] = "a number from 0 to 1"

    def check(self, raw: object) -> float:
        if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw <= 1:
            return float(raw)
        raise self.refuse(raw)

    def read(self, text: str) -> object:
        return float(text) if _DECIMAL.fullmatch(text) else text


@frozen
class Flag(Rule):
    """`true` or `false`."""

    expected: ClassVar[str] = "true or false"

    def check(self, raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        raise self.refuse(raw)


@frozen
class OneOf(Rule):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    def check(self, raw: object) -> str:
        if isinstance(raw, str) and raw in self.words:
            return raw
        raise self.refuse(raw)


@frozen
class Text(Rule):
    """Text, which may span lines; not empty unless `empty` is given."""

    empty: bool = False

    @property
    def expected(self) -> str:
        return "text" if self.empty else "text that is not empty"

    def check(self, raw: object) -> str:
        if isinstance(raw, str) and (raw.strip() or self.empty):
            return raw
        raise self.refuse(raw)


@frozen
class Name(Rule):
    """A short name for people to read."""

    expected: ClassVar[str] = "a name of 1 to 64 printable characters"

    def check(self, raw: object) -> str:
        if isinstance(raw, str) and raw.strip() and len(raw) <= 64 and raw.isprintable():
            return raw
        raise self.refuse(raw)


@frozen
class CanonicalUuid(Rule):
    """A UUID in RFC 9562's text form, lower case, so that two spellings never mean one pipeline."""

    expected: ClassVar[str] = "a UUID in lower case with hyphens"

    def check(self, raw: object) -> str:
        if isinstance(raw, str):
            try:
                if str(UUID(raw)) == raw:
                    return raw
            except ValueError:
                pass
        raise self.refuse(raw)


@frozen
class Folder(Rule):
    """A folder's path; `exists` demands that it be there already."""

    exists: bool = False

    @property
    def expected(self) -> str:
        return "the path of a folder that exists" if self.exists else "a path"

    def check(self, raw: object) -> Path:
        # os.path.isdir, unlike Path.is_dir, takes a path that can't even be asked about for one not there.
        if isinstance(raw, str) and raw and "\0" not in raw and (not self.exists or os.path.isdir(raw)):
            return Path(raw)
        raise self.refuse(raw)


@frozen
class ExistingFile(Rule):
    """The path of a file that is there."""

    expected: ClassVar[str] = "the path of a file that exists"

    def check(self, raw: object) -> Path:
        if isinstance(raw, str) and raw and os.path.isfile(raw):
            return Path(raw)
        raise self.refuse(raw)


@frozen
class Variable(Rule):
    """The name of an environment variable that holds a secret. The loader sees to it that it is set."""

    expected: ClassVar[str] = "the name of an environment variable that is set"

    def check(self, raw: object) -> str:
        if isinstance(raw, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", raw, re.ASCII):
            return raw
        raise self.refuse(raw)

    def show(self, raw: object) -> str:
        # People paste the secret itself here. What doesn't look like a variable's name is not printed.
        looks_like_a_name = isinstance(raw, str) and re.fullmatch(
            r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", raw, re.ASCII
        )
        return show(raw) if looks_like_a_name else HIDDEN


@frozen
class Function(Rule):
    """A Python function's place."""

    expected: ClassVar[str] = "module:function"

    def check(self, raw: object) -> str:
        if isinstance(raw, str):
            module, colon, function = raw.partition(":")
            if colon and all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
                return raw
        raise self.refuse(raw)


@frozen
class JsonTable(Rule):
    """A free-form table that JSON can carry: no dates, no `nan`, no `inf`."""

    expected: ClassVar[str] = "a table"

    def check(self, raw: object) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self.refuse(raw)
        self._look_into(raw, ())
        return raw

    def _look_into(self, raw: object, place: tuple[str | int, ...]) -> None:
        match raw:
            case dict():
                for key, value in raw.items():
                    self._look_into(value, (*place, key))
            case list():
                for index, value in enumerate(raw):
                    self._look_into(value, (*place, index))
            case float() if not math.isfinite(raw):
                raise Unacceptable(self.show(raw), "a finite number", place)
            case int() if abs(raw) >= 2**63:
                raise Unacceptable(self.show(raw), "a number of at most 64 bits", place)
            case datetime() | date() | time():
                raise Unacceptable(self.show(raw), "text, a number, true, false, a list or a table", place)
            case _:
                pass
