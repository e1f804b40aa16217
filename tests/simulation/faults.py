"""What went wrong on purpose, when, and for whom: the only excuse a client's trouble has."""

from __future__ import annotations

import math

from attrs import define, field, frozen

from server.chat import ConversationKey

from .journal import Journal

# A crash is mended within a second; what was tried meanwhile may fail until then.
AFTERMATH = 1.0

ENDS = ("kill", "drain", "end")


@frozen
class Fault:
    """*kind* is a crash ("crash of storage"), a fault of the store, or an end of the process.

    It lasted from *began* to *ended*; of a crash and an end these are the same. *keys* are the conversations
    that it concerned, `None` all of them. *address* is the actor that was struck.
    """

    kind: str
    began: float
    ended: float
    keys: frozenset[ConversationKey] | None = None
    address: str = ""

    def concerns(self, key: ConversationKey, since: float, until: float) -> bool:
        in_time = self.began <= until and since <= self.ended + AFTERMATH
        return in_time and (self.keys is None or key in self.keys)


@define
class Faults:
    """All of them, in order."""

    journal: Journal
    log: list[Fault] = field(factory=list)

    def add(self, kind: str, *keys: ConversationKey, seconds: float = 0.0, address: str = "") -> None:
        """Note that *kind* happens now, and to which conversations; to all of them without any."""
        now = self.journal.now
        self.log.append(Fault(kind, now, now + seconds, frozenset(keys) or None, address))
        self.journal.count(kind)
        place = ", ".join(key.session_id for key in keys)
        self.journal.note(
            "FAULT", " ".join(filter(None, (kind, place, f"for {seconds:.2f} s" * (seconds > 0))))
        )

    def excuse(
        self, key: ConversationKey, *, since: float, until: float = math.inf, kinds: str = ""
    ) -> Fault | None:
        """A fault between *since* and *until* that concerned *key*, of a kind with *kinds* in its name."""
        for fault in self.log:
            if kinds in fault.kind and fault.concerns(key, since, until):
                return fault
        return None
