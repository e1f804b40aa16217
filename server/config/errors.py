"""What is wrong with the configuration, as its author is told."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfigError(Exception):
    """The configuration can't be used. Its text is one line that holds no secret."""


class Unacceptable(ValueError):
    """*raw* is not what a key takes; `place` leads from the key's value to the part at fault.

    Raised by rules, turned into a `ConfigError` by whoever knows the key's name.
    """

    def __init__(self, shown: str, expected: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(shown, expected)
        self.shown = shown
        self.expected = expected
        self.place = place


def unknown(what: str, name: str, known: Mapping[str, str]) -> str:
    """Say that *name* is not known, and which of *known* (name → how to write it) it may have been."""
    near = get_close_matches(name, known, n=1)
    return f"unknown {what}, did you mean {known[near[0]]}?" if near else f"unknown {what}"
