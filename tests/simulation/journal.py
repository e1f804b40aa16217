"""What one run did and saw, line by line; what broke a law; and how often what was exercised."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import trio
from attrs import define, field, frozen

START = datetime(2026, 1, 1, tzinfo=UTC)
"""The simulated time of day at zero on trio's clock."""


@frozen
class Finding:
    """A broken law, at the moment it was noticed."""

    law: str
    text: str

    def __str__(self) -> str:
        return f"{self.law}: {self.text}"


@define
class Journal:
    """One run's book. Two runs of one seed write the same lines.

    Attributes:
        lines: In the order in which things happened, each with its virtual time in seconds.
        findings: Every law that was broken; a run is good if there are none.
        counts: How often each thing happened: a simulation that does nothing finds nothing.
    """

    begun: float = field(factory=trio.current_time)
    lines: list[str] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self.begun

    def at(self, moment: datetime) -> float:
        """The same of a time of day."""
        return (moment - START).total_seconds() - self.begun

    def note(self, who: str, what: str) -> None:
        self.lines.append(f"{self.now:9.4f}  {who:<14} {what}")

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def broken(self, law: str, text: str) -> None:
        """Note that *law* does not hold."""
        self.findings.append(Finding(law, text))
        self.note("LAW BROKEN", f"{law}: {text}")
