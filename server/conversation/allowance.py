"""A bound over all conversations together."""

from __future__ import annotations

from attrs import define


@define
class Allowance:
    """How much may be held at one time. A single thing may always be, however large."""

    limit: int
    taken: int = 0

    def take(self, amount: int) -> bool:
        """Take *amount*, to be given back; false if that would be too much."""
        if self.taken and self.taken + amount > self.limit:
            return False
        self.taken += amount
        return True

    def hold(self, amount: int) -> None:
        """Take *amount* of what is there already, however much it is."""
        self.taken += amount

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.taken -= amount
