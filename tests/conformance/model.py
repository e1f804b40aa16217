"""What a store does, written down once more: plainly, in memory, for one command after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field

from server.chat import (
    AlreadyRecalled,
    BeginReply,
    Busy,
    Command,
    Conflict,
    ConversationKey,
    Edit,
    EndReply,
    Expired,
    Fact,
    HistoryReset,
    MarkRead,
    Message,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    NoSuchMessage,
    NotAllowed,
    OpenReply,
    Plain,
    Post,
    Posted,
    Question,
    ReadUpTo,
    Recall,
    Regenerate,
    ReplyBegun,
    ReplyEnded,
    Reset,
    SaveReply,
    Sender,
    Snapshot,
    without_inline_data,
)
from server.messages import Trimmed


@define
class Conversation:
    """One of them."""

    epoch: str
    last_id: int = 0
    floor: int = 0
    gone: int = 0
    messages: dict[int, Message] = field(factory=dict)
    recalled: set[int] = field(factory=set)
    hidden: set[int] = field(factory=set)
    answers: dict[int, int] = field(factory=dict)
    """By reply, the question it answers."""
    whole: set[int] = field(factory=set)
    """The replies that are not to be streamed."""
    questions: dict[int, Question] = field(factory=dict)
    happened: list[Callable[[], Fact]] = field(factory=list)
    """The fact of each seq, from 1, as it is when it is asked for."""
    claims: dict[tuple[str, str], tuple[Post, int, int]] = field(factory=dict)
    read: dict[str, int] = field(factory=dict)

    @property
    def last_seq(self) -> int:
        return len(self.happened)

    @property
    def open(self) -> list[Message]:
        return [message for message in self.messages.values() if message.seq is None]

    def facts(self, after: int, upto: int) -> tuple[Fact, ...]:
        return tuple(self.happened[seq - 1]() for seq in range(max(after, self.floor) + 1, upto + 1))

    def history(self, alternatives: bool = False) -> list[Message]:
        left_out = self.recalled if alternatives else self.recalled | self.hidden
        return [m for m in self.messages.values() if m.seq is not None and m.id not in left_out]


@define
class Model:
    """A store in memory."""

    conversations: dict[ConversationKey, Conversation] = field(factory=dict)

    def do(self, command: Command[Any]) -> Any:
        """The answer, or the refusal."""
        there = self.conversations.get(command.key) or Conversation(command.epoch)
        before = there.last_id, there.last_seq
        answer = _doing[type(command)](there, command)
        if (there.last_id, there.last_seq) != before:
            self.conversations[command.key] = there
        return answer

    def load(self, key: ConversationKey, epoch: str, messages: int, after: int | None) -> Snapshot:
        there = self.conversations.get(key)
        if there is None:
            return Snapshot(epoch=epoch)
        history = there.history()
        open_reply = None
        for reply in there.open[:1]:
            open_reply = OpenReply(
                reply.id,
                there.answers[reply.id],
                reply.timestamp,
                reply.connection_id,
                reply.sender,
                reply.content,
                reply.alternative_of,
                reply.id not in there.whole,
            )
        return Snapshot(
            epoch=there.epoch,
            last_seq=there.last_seq,
            floor=there.floor,
            facts=() if after is None else there.facts(after, there.last_seq),
            messages=tuple(history[-messages:]) if messages else (),
            questions=tuple(there.questions.values()),
            open_reply=open_reply,
            lost=after is not None and after < there.floor,
        )

    def unsettled(self) -> set[ConversationKey]:
        return {key for key, one in self.conversations.items() if one.questions or one.open}

    def trim(self, before: datetime | None, keep: int | None) -> set[Trimmed]:
        trimmed = set()
        for key, there in self.conversations.items():
            kept = list(there.messages.values())
            upto = there.gone
            if before is not None:
                upto = next((m.id - 1 for m in kept if m.timestamp >= before), there.last_id)
            if keep is not None:
                upto = max(upto, there.last_id - keep)
            upto = min([upto, *(number - 1 for number in _due(there))])
            if upto <= there.gone:
                continue
            old = [m for m in kept if m.id <= upto]
            there.floor = max([there.floor, *(m.seq for m in old if m.seq is not None)])
            there.gone = upto
            for message in old:
                del there.messages[message.id]
            trimmed.add(Trimmed(key, there.floor, upto))
        return trimmed


def _due(there: Conversation) -> list[int]:
    return [*there.questions, *(there.answers[reply.id] for reply in there.open)]


def _post(there: Conversation, post: Post) -> Any:
    claim = (post.scope, post.client_msg_id or "")
    if post.client_msg_id is not None and claim in there.claims:
        first, number, seq = there.claims[claim]
        if post.at - first.at <= timedelta(hours=24):
            same = (first.chain, first.reply_to) == (post.chain, post.reply_to)
            return Posted(number, seq, None) if same else Conflict()
    if post.otherwise is not None:
        return post.otherwise
    if post.expires_at is not None and post.at > post.expires_at:
        return Expired()
    if post.reply_to is not None and post.reply_to not in there.messages:
        return NoSuchMessage()
    there.last_id += 1
    number, seq = there.last_id, there.last_seq + 1
    message = Message(
        number,
        "user",
        post.chain,
        post.at,
        post.connection_id,
        post.sender,
        seq=seq,
        client_msg_id=post.client_msg_id,
        reply_to=post.reply_to,
    )
    there.questions[number] = Question(message, post.stream)
    message = evolve(message, chain=without_inline_data(post.chain))
    there.messages[number] = message
    there.happened.append(lambda: MessageAdded(seq, there.messages[number]))
    if post.client_msg_id is not None:
        there.claims[claim] = post, number, seq
    begun = None
    if post.answered_by is not None:
        begin = BeginReply(
            key=post.key,
            epoch=post.epoch,
            at=post.at,
            question=number,
            connection_id=post.connection_id,
            sender=post.answered_by,
        )
        begun = _begin(there, begin)
    return Posted(number, seq, MessageAdded(seq, message), begun)


def _begin(there: Conversation, begin: BeginReply) -> Any:
    if begin.question not in there.questions:
        return NoSuchMessage()
    question = there.questions.pop(begin.question)
    there.last_id += 1
    number = there.last_id
    if not question.stream:
        there.whole.add(number)
    earlier = [reply for reply, question in there.answers.items() if question == begin.question]
    alternative_of = max(earlier, default=None)
    there.answers[number] = begin.question
    there.messages[number] = Message(
        number,
        "assistant",
        (),
        begin.at,
        begin.connection_id,
        begin.sender,
        is_final=False,
        reply_to=begin.question,
        alternative_of=alternative_of,
    )
    return ReplyBegun(number, alternative_of)


def _save(there: Conversation, save: SaveReply) -> None:
    for reply in there.open:
        if reply.id == save.reply:
            there.messages[reply.id] = evolve(reply, chain=(Plain(save.text),))


def _end(there: Conversation, end: EndReply) -> Any:
    if end.reply not in [reply.id for reply in there.open]:
        return NoSuchMessage()
    seq, number = there.last_seq + 1, end.reply
    there.messages[number] = evolve(
        there.messages[number],
        chain=(Plain(end.text),),
        is_final=True,
        seq=seq,
        finish_reason=end.reason,
        usage=end.usage,
    )
    there.hidden |= {
        reply
        for reply, question in there.answers.items()
        if question == there.answers[number] and reply < number
    }
    there.happened.append(lambda: ReplyEnded(seq, there.messages[number]))
    return ReplyEnded(seq, there.messages[number])


def _own(there: Conversation, command: Edit | Recall) -> Any:
    message = there.messages.get(command.id)
    if message is None:
        return NoSuchMessage()
    if message.role == "assistant" or message.sender.id != command.by:
        return NotAllowed()
    return AlreadyRecalled() if command.id in there.recalled else message


def _edit(there: Conversation, edit: Edit) -> Any:
    message = _own(there, edit)
    if not isinstance(message, Message):
        return message
    seq, number = there.last_seq + 1, edit.id
    message = evolve(message, chain=without_inline_data(edit.chain), edited_at=edit.at)
    there.messages[number] = message
    if number in there.questions:
        question = there.questions[number]
        there.questions[number] = evolve(question, message=evolve(message, chain=edit.chain))
    stands_in = Message(number, "user", (), edit.at, "", Sender(edit.by, ""), seq=seq, edited_at=edit.at)

    def as_it_is() -> MessageEdited:
        now = there.messages.get(number)
        return MessageEdited(seq, stands_in if now is None else evolve(now, seq=seq))

    there.happened.append(as_it_is)
    return as_it_is()


def _recall(there: Conversation, recall: Recall) -> Any:
    message = _own(there, recall)
    if not isinstance(message, Message):
        return message
    there.messages[recall.id] = Message(
        message.id,
        "user",
        (),
        message.timestamp,
        "",
        Sender(message.sender.id, ""),
        seq=message.seq,
        edited_at=message.edited_at,
    )
    there.recalled.add(recall.id)
    there.questions.pop(recall.id, None)
    fact = MessageRecalled(there.last_seq + 1, recall.id, recall.by, recall.at)
    there.happened.append(lambda: fact)
    return fact


def _regenerate(there: Conversation, again: Regenerate) -> Any:
    message = there.messages.get(again.id)
    if message is None or message.role == "assistant":
        return NoSuchMessage()
    if again.id in there.recalled:
        return AlreadyRecalled()
    if again.key.session_type == "group" and not again.anybody and message.sender.id != again.by:
        return NotAllowed()
    if there.questions or there.open:
        return Busy()
    answered = again.id in there.answers.values()
    there.questions[again.id] = Question(message, again.stream, answered)
    there.questions = dict(sorted(there.questions.items()))
    return there.questions[again.id]


def _read(there: Conversation, mark: MarkRead) -> Any:
    if not 1 <= mark.up_to <= there.last_id:
        return NoSuchMessage()
    if there.read.get(mark.by, 0) >= mark.up_to:
        return None
    there.read[mark.by] = mark.up_to
    fact = ReadUpTo(there.last_seq + 1, mark.by, mark.up_to)
    there.happened.append(lambda: fact)
    return fact


def _reset(there: Conversation, reset: Reset) -> Any:
    if there.open:
        return Busy()
    there.messages.clear()
    there.questions.clear()
    there.floor, there.gone = there.last_seq, there.last_id
    fact = HistoryReset(there.last_seq + 1, reset.at)
    there.happened.append(lambda: fact)
    return fact


_doing: dict[type[Command[Any]], Callable[[Conversation, Any], Any]] = {
    Post: _post,
    BeginReply: _begin,
    SaveReply: _save,
    EndReply: _end,
    Edit: _edit,
    Recall: _recall,
    Regenerate: _regenerate,
    MarkRead: _read,
    Reset: _reset,
}
