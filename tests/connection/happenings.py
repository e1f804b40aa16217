"""Events of a conversation, and a client that understands what it is told of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from server.chat import (
    ConversationKey,
    Fact,
    HistoryReset,
    Message,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    Plain,
    ReadUpTo,
    ReplyEnded,
    Sender,
)
from server.connection import Greeting
from server.messages import Dialect, Happened, ReplyGrew, RunningReply, Welcomed

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = "2026-01-01T12:00:00.000Z"
ANN = Sender("ann", "Ann")
BOT = Sender("assistant", "Bot")
KEY = ConversationKey("p1", "person", "default")
GREETING = Greeting(20.0, 1024)
EPOCH = "e1"


def said(text: str = "Hi", id_: int = 1, **changes: Any) -> Message:
    fields: dict[str, Any] = {"role": "user", "timestamp": NOON, "connection_id": "c1", "sender": ANN}
    return Message(id=id_, chain=(Plain(text),), **(fields | changes))


def reply(text: str, id_: int = 2, *, seq: int | None = None, reason: str = "stop") -> Message:
    """A running reply, or with *seq* a final one."""
    final: dict[str, Any] = {"is_final": False} if seq is None else {"seq": seq, "finish_reason": reason}
    return said(text, id_, role="assistant", sender=BOT, **final)


def welcomed(seq: int = 0, *, epoch: str = EPOCH, resumed: bool = False) -> Welcomed:
    return Welcomed("c1", KEY, f"{epoch}.{seq}", ANN, NOON, resumed)


def happened(fact: Fact, told: int = 0, pieces: tuple[str, ...] = ()) -> Happened:
    return Happened("person", fact, told, pieces)


def added(seq: int, text: str = "Hi", id_: int = 1) -> Happened:
    return happened(MessageAdded(seq, said(text, id_, seq=seq)))


def grew(text: str, told: int = 0, id_: int = 2, pieces: tuple[str, ...] = ()) -> ReplyGrew:
    return ReplyGrew("person", RunningReply(reply("", id_)), text, told, pieces)


def ended(
    seq: int,
    text: str,
    told: int = 0,
    id_: int = 2,
    reason: str = "stop",
    pieces: tuple[str, ...] = (),
) -> Happened:
    return happened(ReplyEnded(seq, reply(text, id_, seq=seq, reason=reason)), told, pieces)


def some_fact(kind: str, seq: int) -> Fact:
    """A fact of that *kind*."""
    match kind:
        case "added":
            return MessageAdded(seq, said(seq=seq))
        case "edited":
            return MessageEdited(seq, said("Ho", seq=seq, edited_at=NOON))
        case "recalled":
            return MessageRecalled(seq, 1, "ann", NOON)
        case "read":
            return ReadUpTo(seq, "ann", 1)
        case _:
            return HistoryReset(seq, NOON)


FACT_KINDS = ("added", "edited", "recalled", "read", "reset")


class Client:
    """Puts together what it is told, as `docs/protocol.md` says, and objects to all that must not be."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.last: int | None = None
        self.texts: dict[int, str] = {}
        self.finals: dict[int, str] = {}
        self.gaps: list[str] = []

    def hear(self, text: str) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(text)
        match frame["type"]:
            case "connected":
                assert self.last is None, "welcomed twice"
                self.last = int(frame["cursor"].partition(".")[2])
            case "gap":
                self.last = int(frame["cursor"].partition(".")[2])
                self.gaps.append(frame["reason"])
            case "response":
                self._hear_reply(frame["data"])
            case _:
                self._hear_fact(frame.get("seq") or frame.get("data", {}).get("seq"))
        return frame

    def _hear_reply(self, data: dict[str, Any]) -> None:
        id_ = data["id"]
        assert id_ not in self.finals, "told of a reply that has ended"
        known = self.texts.get(id_, "")
        if self._dialect == "delta":
            assert data["offset"] <= len(known), "a piece is missing"
            text = known[: data["offset"]] + data["delta"]
            assert data.get("content", text) == text, "the pieces don't make the whole"
        else:
            assert "delta" not in data
            text = data["content"]
        self.texts[id_] = text
        if data.get("is_final"):
            self.finals[id_] = text
            self._hear_fact(data["seq"])

    def _hear_fact(self, seq: int | None) -> None:
        if seq is None:
            return
        assert self.last is not None, "told before it was welcomed"
        if self._dialect == "document":  # it is not told of everything
            assert seq > self.last, "told twice"
        else:
            assert seq == self.last + 1, f"{seq} follows {self.last}"
        self.last = seq
