"""What is true: everything the store has committed, and since when. The simulated store tells it.

All other knowledge of the checker is measured against this; it asks neither the server nor the clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from server.chat import (
    BeginReply,
    Command,
    ConversationKey,
    Edit,
    EndReply,
    Fact,
    HistoryReset,
    Message,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    Post,
    Posted,
    Question,
    ReadUpTo,
    Recall,
    Regenerate,
    ReplyBegun,
    ReplyEnded,
    text_of,
)
from server.messages import Trimmed


@frozen
class Begun:
    """A reply has its id."""

    id: int
    question: int
    at: datetime
    since: float
    stream: bool


@define
class Annals:
    """What was committed of one conversation."""

    epoch: str | None = None
    facts: dict[int, Fact] = field(factory=dict)
    since: dict[int, float] = field(factory=dict)
    """When each fact was committed, by its seq."""
    floor: int = 0
    forgotten: int = 0
    """Retention has taken the messages up to this one."""
    posts: dict[int, Post] = field(factory=dict)
    """The commands that made messages, by id."""
    ids: dict[tuple[str, str], list[int]] = field(factory=dict)
    """The messages that were made of each scope and `client_msg_id`."""
    texts: dict[int, list[str]] = field(factory=dict)
    """All texts that a message ever had."""
    recalled: dict[int, float] = field(factory=dict)
    """When each message was recalled."""
    asked: dict[int, list[float]] = field(factory=dict)
    """When each message was put to be answered, at first and again."""
    read: dict[str, int] = field(factory=dict)
    emptied: float = -1.0
    """When the history was last forgotten."""
    streams: dict[int, bool] = field(factory=dict)
    begun: dict[int, Begun] = field(factory=dict)
    ended: dict[int, ReplyEnded] = field(factory=dict)
    ends: dict[int, int] = field(factory=dict)
    last_id: int = 0

    @property
    def last(self) -> int:
        """The seq of the newest fact."""
        return next(reversed(self.facts), 0)

    @property
    def resets(self) -> list[int]:
        return [seq for seq, fact in self.facts.items() if isinstance(fact, HistoryReset)]

    def seq_of(self, message_id: int) -> int | None:
        """Where that message was added."""
        for seq, fact in self.facts.items():
            if isinstance(fact, MessageAdded | ReplyEnded) and fact.message.id == message_id:
                return seq
        return None


def message_of(fact: Fact) -> Message | None:
    """The message that *fact* shows."""
    return fact.message if isinstance(fact, MessageAdded | ReplyEnded | MessageEdited) else None


@define
class Truth:
    """What was committed of all conversations."""

    annals: dict[ConversationKey, Annals] = field(factory=dict)
    wrong: list[str] = field(factory=list)
    """Where the store itself did what it must not."""

    def of(self, key: ConversationKey) -> Annals:
        return self.annals.setdefault(key, Annals())

    def committed(self, commands: Sequence[Command[Any]], answers: Sequence[Any], now: float) -> None:
        """*commands* were committed a moment ago with these *answers*."""
        for command, answer in zip(commands, answers, strict=True):
            if isinstance(answer, Exception):  # declined, or a fault of its own
                continue
            annals = self.of(command.key)
            if annals.epoch is None:
                annals.epoch = command.epoch
            match command, answer:
                case Post(), Posted() if answer.fact is not None:
                    self._enter(annals, answer.fact, now)
                    self._note_post(annals, command, answer.id)
                    if answer.begun is not None:
                        self._note_begun(annals, command, answer.id, answer.begun.id, now)
                case BeginReply(), ReplyBegun():
                    self._note_begun(annals, command, command.question, answer.id, now)
                case EndReply(), ReplyEnded():
                    self._enter(annals, answer, now)
                    annals.texts.setdefault(command.reply, []).append(answer.message.content)
                    annals.ended[command.reply] = answer
                    annals.ends[command.reply] = annals.ends.get(command.reply, 0) + 1
                case Regenerate(), Question():
                    annals.streams[command.id] = command.stream
                    annals.asked[command.id].append(now)
                    self._check_author(annals, command, "regenerates", lifted=command.anybody)
                case Edit(), MessageEdited():
                    self._enter(annals, answer, now)
                    annals.texts.setdefault(command.id, []).append(answer.message.content)
                    self._check_author(annals, command, "edits")
                case Recall(), MessageRecalled():
                    self._check_author(annals, command, "recalls")
                    self._enter(annals, answer, now)
                    annals.recalled[answer.message_id] = now
                case _, HistoryReset():
                    self._enter(annals, answer, now)
                    annals.floor = max(annals.floor, answer.seq - 1)
                    annals.emptied = now
                case _, ReadUpTo():
                    self._enter(annals, answer, now)
                    if answer.up_to <= annals.read.get(answer.user, 0):
                        self.wrong.append(f"{answer.user} read up to {answer.up_to} again")
                    annals.read[answer.user] = answer.up_to

    def trimmed(self, trims: Sequence[Trimmed]) -> None:
        for trim in trims:
            annals = self.of(trim.key)
            annals.floor = max(annals.floor, trim.floor)
            annals.forgotten = max(annals.forgotten, trim.message_id)

    def _note_post(self, annals: Annals, post: Post, number: int) -> None:
        self._give(annals, number)
        annals.posts[number] = post
        annals.streams[number] = post.stream
        annals.asked[number] = [annals.since[annals.last]]
        if post.expires_at is not None and post.expires_at < post.at:
            self.wrong.append(f"the store took {number}, which had expired")
        annals.texts.setdefault(number, []).append(text_of(post.chain))
        if post.client_msg_id is not None:
            annals.ids.setdefault((post.scope, post.client_msg_id), []).append(number)

    def _note_begun(
        self, annals: Annals, command: Post | BeginReply, question: int, number: int, now: float
    ) -> None:
        self._give(annals, number)
        stream = annals.streams.get(question, True)
        annals.begun[number] = Begun(number, question, command.at, now, stream)

    def _check_author(
        self, annals: Annals, command: Edit | Recall | Regenerate, does: str, *, lifted: bool = False
    ) -> None:
        author = annals.posts[command.id].sender.id
        if command.by != author and not lifted:
            self.wrong.append(f"{command.by} {does} {command.id} of {author}")

    def _enter(self, annals: Annals, fact: Fact, now: float) -> None:
        if fact.seq != annals.last + 1:
            self.wrong.append(f"the store gave seq {fact.seq} after {annals.last}")
        annals.facts[fact.seq] = fact
        annals.since[fact.seq] = now

    def _give(self, annals: Annals, number: int) -> None:
        if number != annals.last_id + 1:
            self.wrong.append(f"the store gave id {number} after {annals.last_id}")
        annals.last_id = number
