"""One socket as its wire shows it: each frame is held against what was committed and what came before it.

The frames are looked at as the server gives them away, so that what leaves too early is caught although its
commit may follow a moment later.
"""

from __future__ import annotations

import re

from attrs import define, field

from server.chat import (
    Cursor,
    Fact,
    HistoryReset,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    ReadUpTo,
    ReplyEnded,
    gap_at,
)
from server.connection.patience import PATIENCE
from server.protocol import timestamp

from .answers import AnswerWatch
from .court import Stand
from .plan import PIPELINES
from .replies import ReplyWatch
from .truth import message_of
from .wire import Frame

DOCUMENT = {"connected", "user_message", "response", "pong", "broadcast", "error"}
LEVEL_2 = DOCUMENT | {"ack", "edited", "recalled", "reset", "read", "gap"}
KINDS: dict[str, type[Fact]] = {
    "user_message": MessageAdded,
    "response": ReplyEnded,
    "edited": MessageEdited,
    "recalled": MessageRecalled,
    "reset": HistoryReset,
    "read": ReadUpTo,
}
# All connections end with their parent: one after the other, and each may wait for a line that stalls.
STOPPING = 20.0
HINT = re.compile(r".*, reconnect_ms=(\d+)")


@define(eq=False)
class Witness(Stand):
    """Follows one socket. *cursor* is what its client asked to go on from, if it did."""

    cursor: str | None = None
    connection_id: str = "none"
    last: int = -1
    """The seq of the last fact that the socket was told; -1 before `connected`."""
    welcomed: bool = False
    resumed: bool = False
    owes_gap: bool = False
    over: bool = False
    provoked: set[int] = field(factory=set)
    """The codes that the client brings about, by what it sends last."""
    recalled: set[int] = field(factory=set)
    replies: ReplyWatch = field(init=False)
    answers: AnswerWatch = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.opened = self.court.journal.now
        self.replies, self.answers = ReplyWatch(self), AnswerWatch(self)

    @property
    def is_told_all(self) -> bool:
        """Whether the socket was told everything that was committed and its level knows."""
        if not self.document:
            return self.last == self.annals.last
        kinds = (MessageAdded, ReplyEnded)
        last = max((seq for seq, fact in self.annals.facts.items() if isinstance(fact, kinds)), default=0)
        # What was forgotten before it could be told is not told to those who know no gap.
        return self.last >= last or last <= self.annals.floor

    @property
    def document(self) -> bool:
        return self.habit.dialect == "document"

    # -- frames

    def heard(self, frame: Frame) -> None:
        """The server gave *frame* away."""
        kind = frame.get("type")
        self.count(f"frame {kind}")
        self.check("a closed socket is silent", not self.over, f"{kind} after its end")
        known = DOCUMENT if self.document else LEVEL_2
        self.check("no client gets a frame above its level", kind in known, f"{kind} on {self.habit.dialect}")
        if kind == "connected":
            self._connected(frame)
            return
        if kind == "error" and not self.welcomed:
            return  # it is not let in
        self.check("connected is the first frame", self.welcomed, f"{kind} before it")
        match kind:
            case "response" if not frame["data"].get("is_final", False):
                self.check("P4 gap before any newer event", not self.owes_gap, "a chunk")
                self.replies.chunk(frame["data"], last=self.last)
            case "user_message" | "response" | "edited":
                data = frame["data"]
                self._fact(kind, data["seq"], data["id"], data)
                if kind == "response":
                    self.replies.final(data)
                self._message(data)
            case "recalled":
                self._fact(kind, frame["seq"], frame["id"], frame)
                self.recalled.add(frame["id"])
            case "reset":
                self._fact(kind, frame["seq"], None, frame)
            case "read":
                self._fact(kind, frame["seq"], frame["up_to"], frame)
            case "gap":
                self._gap(frame)
            case "ack":
                self.answers.ack(frame)
            case "error":
                self.answers.error(frame, done=self.replies.done)

    def _connected(self, frame: Frame) -> None:
        self.check("connected is the first frame", not self.welcomed, "two connected")
        self.welcomed, self.user, self.resumed = True, frame["user"]["id"], frame["resumed"]
        self.connection_id = frame["connection_id"]
        now, annals = Cursor.parse(frame["cursor"]), self.annals
        if now is None:
            self.broken("the server's cursors are well-formed", frame["cursor"])
            return
        self.last = now.seq
        if annals.epoch is not None and annals.facts:
            self.check("an epoch lasts", now.epoch == annals.epoch, f"{now.epoch}, was {annals.epoch}")
        self.check("nothing leaves before its commit", now.seq <= annals.last, f"cursor {now}")
        if self.cursor is None or self.document:
            self.check("only who has a cursor is resumed", not self.resumed, "resumed without one")
        elif self.resumed:
            self.check("P4 resume", frame["cursor"] == self.cursor, f"{self.cursor} went on from {now}")
        else:
            self.owes_gap = True

    def _gap(self, frame: Frame) -> None:
        cursor, reason = Cursor.parse(frame["cursor"]), frame["reason"]
        self.count(f"gap {reason}")
        if cursor is None:
            self.broken("the server's cursors are well-formed", frame["cursor"])
            return
        annals = self.annals
        asked = Cursor.parse(self.cursor) if self.cursor is not None else None
        wanted = gap_at(asked, epoch=annals.epoch or "", floor=annals.floor, last=annals.last)
        legitimate = reason == wanted
        if reason == "trimmed" and not self.owes_gap:
            legitimate = annals.floor > self.last  # forgotten while it was being read
        if asked is not None and not annals.facts:
            legitimate = True  # a history without facts has no epoch that lasts
        if reason == "future" and asked is not None:
            # What was committed a moment ago is not told yet, so nobody can have heard it.
            legitimate = annals.since.get(asked.seq, self.opened) > self.opened - 5.0
        self.check("no gap without a reason", legitimate, f"{reason} at {self.cursor}: {wanted}")
        self.check("nothing leaves before its commit", cursor.seq <= annals.last, f"gap to {cursor}")
        self.check("seqs grow", cursor.seq >= self.last or self.owes_gap, f"gap from {self.last} to {cursor}")
        self.last, self.owes_gap = cursor.seq, False

    def _fact(self, kind: str, seq: int, number: int | None, data: Frame) -> None:
        self.check("P4 gap before any newer event", not self.owes_gap, f"{kind} {seq}")
        fact = self.annals.facts.get(seq)
        if fact is None:
            self.broken("nothing leaves before its commit", f"{kind} {seq}")
        else:
            self.check("P2 all see the same", _same(fact, kind, number, data), f"{kind} {seq}, was {fact}")
        if self.document:
            missed = [
                n
                for n in range(max(self.last, self.annals.floor) + 1, seq)
                if isinstance(self.annals.facts.get(n), MessageAdded | ReplyEnded)
            ]
            self.check("P2 contiguous", not missed and seq > self.last, f"{seq} after {self.last}")
        else:
            self.check("P2 contiguous", seq == self.last + 1, f"{seq} after {self.last}")
        self.last = seq

    def _message(self, data: Frame) -> None:
        number, annals = data["id"], self.annals
        texts = annals.texts.get(number, [])
        gone = data["content"] == "" and data["message_chain"] == []
        if gone and number <= annals.forgotten and "edited_at" in data:
            return  # its edit is remembered for longer than it
        if (since := annals.recalled.get(number)) is not None:
            if number in self.recalled or since < self.opened:
                self.check("recall erases", gone, f"message {number} says {data['content']!r}")
                return
            if gone:
                return
        self.check("what is shown was said", data["content"] in texts, f"{number} says {data['content']!r}")
        said = annals.posts.get(number) or annals.begun.get(number)
        if said is not None:
            self.check(
                "a message keeps its time", data["timestamp"] == timestamp(said.at), f"message {number}"
            )

    # -- the end

    def ended(self, code: int, reason: str) -> None:
        """The socket is over."""
        self.over = True
        self.count(f"close {code}")
        since = self.court.journal.now - self.lag
        law = "no socket closes for another's crash"
        match code:
            case 1000 | 1006 | 4408:
                pass
            case _ if code in self.provoked:
                pass
            case 1011:
                parents = ("crash of directory", "kill", "end")
                known = self.excused(*parents, since=since) or self._has_crashed(since)
                known = known or self.excused("crash of connections", since=since - STOPPING)
                # Who is not let in within the door's patience is sent away.
                late = not self.welcomed and self.court.journal.now >= self.opened + PATIENCE
                known = known or (late and self.excused("store slow", since=self.opened))
                self.check(law, known, f"{code} {reason}")
            case 1013:
                self.check(law, self.excused("", since=since), f"{code} {reason}")
            case 1012:
                hint = HINT.fullmatch(reason)
                in_range = hint is not None and 100 <= int(hint[1]) <= 3000
                self.check("1012 says when to return", in_range, reason)
                self._check_ended(since)
            case _:
                self.broken("close codes are known", f"{code} {reason}")

    def _has_crashed(self, since: float) -> bool:
        """Whether it is this socket's own connection that was struck."""
        if not self.welcomed:
            return self.excused("crash of connection", since=since)  # whose id nobody knows yet
        own = f"/{self.connection_id}"
        return any(fault.address.endswith(own) for fault in self.court.faults.log)

    def _check_ended(self, since: float) -> None:
        running = list(self.replies.said)
        if not running or self.habit.key.pipeline == PIPELINES["resuming"]:
            return
        # An end that can't be stored can't be told; and parents that crash take their children with them.
        lately = self.excused("stor", "crash of directory", since=since - 5.0)
        excused = lately or self.excused("crash of connections", since=since - STOPPING)
        self.check("every stream ends before its 1012", excused, f"{running}")


def _same(fact: Fact, kind: str, number: int | None, data: Frame) -> bool:
    if type(fact) is not KINDS[kind]:
        return False
    match fact:
        case MessageRecalled():
            return fact.message_id == number and fact.by == data["by"]
        case ReadUpTo():
            return fact.up_to == number and fact.user == data["user"]
        case _:
            message = message_of(fact)
            return message is None or message.id == number
