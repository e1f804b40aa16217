"""The replies that one socket is told: chunks that grow, one final each, and why it ended so."""

from __future__ import annotations

from attrs import define, field

from server.protocol import timestamp

from .court import Stand
from .faults import ENDS
from .plan import PIPELINES
from .truth import Begun
from .wire import Frame


@define(eq=False)
class ReplyWatch:
    """Follows the replies of one socket."""

    stand: Stand
    said: dict[int, str] = field(factory=dict)
    """What was told of each reply that has no final yet."""
    done: set[int] = field(factory=set)
    """Those that have one."""

    def chunk(self, data: Frame, *, last: int) -> None:
        """A part of a reply that runs, told to a socket that was told the facts up to *last*."""
        stand, number = self.stand, data["id"]
        begun, end = stand.annals.begun.get(number), stand.annals.ended.get(number)
        if begun is None:
            stand.broken("a reply's id is durable before its first chunk", f"reply {number}")
            return
        over = number in self.done or (end is not None and end.seq <= last)
        stand.check("no chunk after its final", not over, f"reply {number}, at {last}")
        stand.check("a chunk bears no seq", data.get("seq") is None, f"reply {number}")
        others = [other for other in self.said if other != number]
        stand.check("one reply at a time", not others, f"{number} while {others} run")
        stand.check("who did not want chunks gets none", begun.stream, f"reply {number}")
        if "timestamp" in data:
            same = data["timestamp"] == timestamp(begun.at)
            stand.check("a message keeps its time", same, f"reply {number}")
        told = self.said.get(number, "")
        if stand.habit.dialect == "delta":
            stand.check("deltas join", data["offset"] == len(told), f"{data['offset']} after {len(told)}")
            self.said[number] = told + data["delta"]
        else:
            content = data["content"]
            stand.check("chunks grow", content.startswith(told), f"{content!r} after {told!r}")
            self.said[number] = content

    def final(self, data: Frame) -> None:
        """The end of a reply."""
        stand, number = self.stand, data["id"]
        stand.check("one final a reply", number not in self.done, f"reply {number}")
        self.done.add(number)
        told = self.said.pop(number, "")
        stand.check("one reply at a time", not self.said, f"{number} ends while {list(self.said)} run")
        content, reason = data["content"], data["finish_reason"]
        if stand.habit.dialect == "delta" and "delta" in data:
            joined = told + data["delta"]
            stand.check("deltas join", data["offset"] == len(told), f"{data['offset']} after {len(told)}")
            stand.check("deltas join", joined == content, f"{joined!r} is not {content!r}")
        stand.check("chunks grow", content.startswith(told), f"final {content!r} after {told!r}")
        stand.count(f"final {reason}")
        begun = stand.annals.begun.get(number)
        if begun is not None:
            self._finish(reason, content, begun)

    def _finish(self, reason: str, content: str, begun: Begun) -> None:
        stand, question = self.stand, begun.question
        # What was decided when it was asked may be done late; what begins with its question was on the way
        # to the store for a while.
        since = min(stand.annals.asked[question][0], stand.court.journal.at(begun.at))
        key, turns = stand.habit.key, stand.court.moods.of(stand.habit.key, begun.question)
        match reason:
            case "stop" | "length":
                texts = [heard.text for heard in turns]
                stand.check("a reply is what was answered", content in texts or "" in texts, f"{content!r}")
            case "error":
                planned = any(heard.mood in ("fails", "raises", "hangs", "long") for heard in turns)
                excused = planned or stand.excused("crash", since=since)
                stand.check("no bystander's reply fails", excused, f"answer to {question}")
            case "interrupted":
                excused = stand.excused(*ENDS, "crash", since=since)
                stand.check("only an end interrupts", excused, f"answer to {question}")
            case "stopped":
                unheard = key.pipeline == PIPELINES["unheard"]
                wanted = unheard or key in stand.court.stops or question in stand.annals.recalled
                stand.check("only who says stop stops", wanted, f"answer to {question}")
            case _:
                stand.broken("finish reasons are known", reason)
