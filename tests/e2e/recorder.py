"""What clients sent and saw, and whether it can all be true: the laws P1 to P4, checked frame by frame.

The recorder knows nothing of how the server works: only frames, and at the end the history by REST.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from attrs import define, field, frozen

from .client import Frame
from .level2 import is_end, seq_of


@frozen
class Fault:
    """A promise that was broken.

    `kind` is one of `lost` (P1), `hole` and `disorder` (P2), `double` and `conflict` (P3), `silent gap` (P4),
    `stream` (a reply's chunks and end), `unanswered`, and `stalled`: something that was due did not come.
    """

    kind: str
    text: str


@define
class Recorder:
    """Everything that any client of a trial was told.

    Attributes:
        faults: What can't be true together.
        counts: How much of everything was seen, so that a trial in which nothing happens is noticed.
        texts: What was sent, by conversation and `client_msg_id`.
        acks: The id and seq of what was acknowledged, by the same.
        facts: What every reader must find at a seq, by conversation and epoch.
    """

    faults: list[Fault] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    texts: dict[tuple[str, str], str] = field(factory=dict)
    acks: dict[tuple[str, str], tuple[int, int]] = field(factory=dict)
    facts: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = field(factory=lambda: defaultdict(dict))

    def fault(self, kind: str, text: str) -> None:
        self.faults.append(Fault(kind, text))

    def sending(self, conversation: str, name: str, text: str) -> None:
        """*text* is about to be sent for the first time under the `client_msg_id` *name*."""
        self.texts[conversation, name] = text
        self.counts["sent"] += 1

    def acknowledged(self, conversation: str, ack: Frame) -> None:
        """An `ack` came: the first for its name, or one that must say the same."""
        key, place = (conversation, ack["client_msg_id"]), (ack["id"], ack["seq"])
        self.counts["acks"] += 1
        if self.acks.setdefault(key, place) != place:
            self.fault("double", f"{key} was acknowledged as {self.acks[key]} and as {place}")
        elif ack["duplicate"]:
            self.counts["duplicates"] += 1

    def happened(self, conversation: str, epoch: str, seq: int, frame: Frame) -> None:
        """Some reader was told *frame* at place *seq*: all others must be told the same there."""
        self.counts["facts"] += 1
        fact = _identity(frame)
        known = self.facts[conversation, epoch].setdefault(seq, fact)
        if known != fact:
            self.fault("disorder", f"{conversation} {epoch}.{seq} is {known} and {fact}")
        if frame["type"] == "user_message" and (name := frame["data"].get("client_msg_id")) is not None:
            self._check_text(conversation, name, frame["data"])

    def check_history(
        self, conversation: str, messages: list[dict[str, Any]], *, trimmed: bool = False
    ) -> None:
        """The whole history at the end: every acknowledged message once, as it was acknowledged and sent.

        What is older than its oldest message may be missing if it was *trimmed*.
        """
        ids = [message["id"] for message in messages]
        oldest = min(ids, default=0) if trimmed else 0
        if len(set(ids)) != len(ids):
            self.fault("double", f"{conversation} has an id twice")
        mine = [m for m in messages if m["role"] == "user" and m.get("client_msg_id") is not None]
        found = {message["client_msg_id"]: message for message in mine}
        if len(found) != len(mine):
            names = Counter(message["client_msg_id"] for message in mine)
            self.fault("double", f"{conversation} has twice: {[n for n, k in names.items() if k > 1]}")
        for (where, name), place in self.acks.items():
            if where != conversation or place[0] < oldest:
                continue
            message = found.get(name)
            if message is None:
                self.fault("lost", f"{where} {name}, acknowledged as {place}")
            elif (message["id"], message["seq"]) != place:
                self.fault("disorder", f"{where} {name} is {message['id'], message['seq']}, not {place}")
        for name, message in found.items():
            self._check_text(conversation, name, message)
        asked, answered = (sum(m["role"] == role for m in messages) for role in ("user", "assistant"))
        if asked != answered and not trimmed:
            self.fault("unanswered", f"{conversation}: {asked} questions, {answered} answers")

    def _check_text(self, conversation: str, name: str, message: dict[str, Any]) -> None:
        if message["content"] != self.texts.get((conversation, name)):
            self.fault("conflict", f"{conversation} {name} has another text than was sent")


def _identity(frame: Frame) -> tuple[Any, ...]:
    data = frame.get("data", frame)
    kind = frame["type"]
    match kind:
        case "user_message":
            return kind, data["id"], data.get("client_msg_id"), data["sender"]["id"], data["content"]
        case "response":
            return kind, data["id"], data["content"], data["finish_reason"]
        case "edited":
            return kind, data["id"]
        case "read":
            return kind, data["user"], data["up_to"]
        case _:
            return kind, data.get("id")


class Reader:
    """One client's place in a conversation, over all its sockets.

    Args:
        recorder: What all of them know.
        conversation: Which one, as the recorder calls it.
    """

    def __init__(self, recorder: Recorder, conversation: str) -> None:
        self._recorder = recorder
        self._conversation = conversation
        self._epoch = ""
        self._gap_due = False
        self._replies = Replies()
        self.seq = -1

    @property
    def cursor(self) -> str | None:
        """Where it goes on; `None` before its first `connected`."""
        return None if self.seq < 0 else f"{self._epoch}.{self.seq}"

    def opened(self, connected: Frame, offered: str | None) -> None:
        """A new socket said *connected* to a client that had *offered* this cursor."""
        self._replies = Replies()
        self._gap_due = offered is not None and not connected["resumed"]
        if connected["resumed"]:
            self._recorder.counts["resumes"] += 1
            if connected["cursor"] != offered:
                self._fault("silent gap", f"offered {offered}, resumed from {connected['cursor']}")
        self._go_on_from(connected["cursor"])

    def take(self, frame: Frame) -> None:
        """One more frame on the same socket."""
        if frame["type"] == "gap":
            self._recorder.counts["gaps"] += 1
            self._recorder.counts[f"gaps: {frame['reason']}"] += 1
            self._gap_due = False
            self._go_on_from(frame["cursor"])
            return
        if (complaint := self._replies.complaint(frame)) is not None:
            self._fault("stream", complaint)
        seq = seq_of(frame)
        if seq is None:
            return
        if self._gap_due:
            self._fault("silent gap", f"{frame['type']} {seq} before the gap that is due")
        if seq != self.seq + 1:
            self._fault("hole", f"{frame['type']} {seq} after {self.seq}")
        self.seq = seq
        self._recorder.happened(self._conversation, self._epoch, seq, frame)

    def _go_on_from(self, cursor: str) -> None:
        self._epoch, _, seq = cursor.rpartition(".")
        self.seq = int(seq)

    def _fault(self, kind: str, text: str) -> None:
        self._recorder.fault(kind, f"{self._conversation}: {text}")


class Replies:
    """The replies on one socket: each grows, ends once, and nothing of it comes after its end."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._stamps: dict[int, str] = {}
        self._ended: set[int] = set()

    def complaint(self, frame: Frame) -> str | None:
        """What is wrong with *frame*, if it is one of a reply."""
        if frame["type"] != "response":
            return None
        data = frame["data"]
        reply = data["id"]
        if reply in self._ended:
            return f"reply {reply} goes on after its end"
        if "timestamp" in data and self._stamps.setdefault(reply, data["timestamp"]) != data["timestamp"]:
            return f"reply {reply} has two timestamps"
        before = self._texts.get(reply, "")
        if "offset" in data:
            if data["offset"] > len(before):
                return f"reply {reply} leaves out {data['offset'] - len(before)} code points"
            text = before[: data["offset"]] + data["delta"]
            if is_end(frame) and text != data["content"]:
                return f"the parts of reply {reply} do not add up to its end"
        else:
            text = data["content"]
            if not text.startswith(before):
                return f"reply {reply} takes back what it said"
        self._texts[reply] = text
        if is_end(frame):
            self._ended.add(reply)
        return None
