"""What one socket is answered: acks and errors, each against what its client said."""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from server.chat import MessageAdded

from .court import Stand
from .faults import ENDS
from .wire import Frame

FINAL = {"bad_request", "unknown_type", "conflict", "expired", "not_found", "forbidden", "recalled"}
"""The codes of errors after which trying again is no use."""


@frozen
class Attempt:
    """One time that a client said something under its own id."""

    text: str
    reply_to: int | None
    expired: bool


@define(eq=False)
class AnswerWatch:
    """Follows the answers to one client's own frames."""

    stand: Stand
    asked: dict[str, deque[Attempt]] = field(factory=dict)
    """What was said under each `client_msg_id` on this socket and has no answer yet."""

    def asks(self, client_msg_id: str, attempt: Attempt) -> None:
        """The client says something under that id."""
        self.asked.setdefault(client_msg_id, deque()).append(attempt)

    def ack(self, frame: Frame) -> None:
        """Something that was said is durable."""
        stand, own, number, seq = self.stand, frame["client_msg_id"], frame["id"], frame["seq"]
        annals, court = stand.annals, stand.court
        fact = annals.facts.get(seq)
        stand.check("P1 no ack before its commit", fact, f"{own} as {number} at {seq}")
        if fact is not None:
            same = isinstance(fact, MessageAdded) and fact.message.id == number
            stand.check("an ack names its message", same, f"{own}: {number} at {seq} is {fact}")
        stand.count("ack duplicate" if frame["duplicate"] else "ack")
        key = (stand.habit.key, stand.user, own)
        first = court.acks.setdefault(key, (number, seq))
        law = "P3 one message, one seq"
        stand.check(law, first == (number, seq), f"{own}: {number}, {seq} after {first}")
        if not frame["duplicate"]:
            stand.check(law, key not in court.first_acks, f"{own} is new twice")
            court.first_acks.add(key)
        attempt = self._settle(own)
        if attempt is not None and number in annals.posts:
            same = self._is_said(attempt, number)
            stand.check("P3 a conflict is no ack", same, f"{own} says {attempt}, and {number} does not")
            late = attempt.expired and not frame["duplicate"]
            stand.check("what is expired is refused", not late, own)

    def error(self, frame: Frame, *, done: set[int]) -> None:
        """Something was not accepted, or a reply failed, of those that are *done*."""
        stand, code, own = self.stand, frame["code"], frame.get("client_msg_id")
        stand.count(f"error {code}")
        if code == "reply_failed":
            stand.check("who hears of a failed reply saw it end", frame["id"] in done, f"{frame['id']}")
            return
        attempt = None if own is None else self._settle(own)
        stand.check("errors say whether to retry", frame["retry"] == (code not in FINAL), code)
        now = stand.court.journal.now
        match code:
            case "expired":
                stand.check("only the late are", attempt is not None and attempt.expired, f"{own}")
            case "conflict":
                numbers = stand.annals.ids.get((stand.user, str(own)), [])
                same = attempt is None or any(self._is_said(attempt, number) for number in numbers)
                stand.check("no false conflict", numbers and not same, f"{own}")
            case "restarting":
                stand.check("no bystander errors", stand.excused(*ENDS, since=0.0), code)
            case "busy" | "too_slow":
                pass
            case _ if code not in FINAL:
                excused = stand.excused("", since=now - stand.lag)
                stand.check("no bystander errors", excused, f"{code} for {own}: {frame['message']}")

    def _is_said(self, attempt: Attempt, number: int) -> bool:
        """Whether that message is what *attempt* said."""
        annals = self.stand.annals
        return annals.texts[number][0] == attempt.text and annals.posts[number].reply_to == attempt.reply_to

    def _settle(self, own: str) -> Attempt | None:
        waiting = self.asked.get(own)
        if not waiting:
            self.stand.broken("answers belong to questions", own)
            return None
        return waiting.popleft()
