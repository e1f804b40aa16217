"""What is written now and then: edits, recalls, receipts, resets, and questions asked again. One by one."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve
from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from server.chat import (
    AlreadyRecalled,
    Busy,
    Edit,
    HistoryReset,
    MarkRead,
    MessageEdited,
    MessageRecalled,
    NoSuchMessage,
    NotAllowed,
    Question,
    ReadUpTo,
    Recall,
    Refusal,
    Regenerate,
    Reset,
    without_inline_data,
)

from .bodies import dump_body, dump_chain
from .moments import ticks
from .schema import EDITED, READ, RECALLED, RESET, events, messages, questions, receipts
from .sql_ledger import Conversation, Ledger
from .sql_reading import body_of, edited_at, message_of
from .sql_sealing import keys_of, name_of, open_keys, seal_body, seal_question
from .vault import Vault

Rare = Edit | Recall | Regenerate | MarkRead | Reset


@define(eq=False)
class Changes:
    """Does one command at a time; `released` gathers the keys to destroy once it can't be undone."""

    _connection: Connection
    _vault: Vault
    _ledger: Ledger
    released: list[bytes]

    def do(self, command: Rare) -> Any:
        """The command's answer, or the `Refusal` with which it is declined."""
        conversation = self._ledger[command.key]
        match command:
            case Edit():
                return self._edit(conversation, command)
            case Recall():
                return self._recall(conversation, command)
            case Regenerate():
                return self._regenerate(conversation, command)
            case MarkRead():
                return self._mark_read(conversation, command)
            case Reset():
                return self._reset(conversation, command)

    def _edit(self, conversation: Conversation, edit: Edit) -> MessageEdited | Refusal:
        row = self._own(conversation, edit)
        if isinstance(row, Refusal):
            return row
        keys = keys_of(self._vault, [row.key_id])
        body = body_of(row, edit.key, keys)
        if body is None:
            return AlreadyRecalled()
        key = keys[row.key_id]
        if row.key_id is None:  # it was said in clear, maybe before there was a vault that seals
            (key,) = open_keys(self._vault, 1)
        bare = without_inline_data(edit.chain)
        body = evolve(body, chain=bare)
        self._connection.execute(
            update(messages)
            .where(_message(conversation, edit.id))
            .values(
                key_id=name_of(key),
                body=seal_body(key, dump_body(body), edit.key, edit.id),
                edited_at=ticks(edit.at),
            )
        )
        inline = None
        if bare is not edit.chain:
            inline = seal_question(key, dump_chain(edit.chain), edit.key, edit.id)
        self._connection.execute(
            update(questions).where(_question(conversation, edit.id)).values(body=inline)
        )
        seq = self._happened(conversation, EDITED, edit.at, edit.id, edit.by)
        message = evolve(message_of(row, edit.key, body), edited_at=edit.at)
        return MessageEdited(seq, edited_at(message, seq))

    def _recall(self, conversation: Conversation, recall: Recall) -> MessageRecalled | Refusal:
        row = self._own(conversation, recall)
        if isinstance(row, Refusal):
            return row
        self._connection.execute(
            update(messages)
            .where(_message(conversation, recall.id))
            .values(recalled=True, body=None, key_id=None)
        )
        self._connection.execute(delete(questions).where(_question(conversation, recall.id)))
        if row.key_id is not None:
            self.released.append(row.key_id)
        seq = self._happened(conversation, RECALLED, recall.at, recall.id, recall.by)
        return MessageRecalled(seq, recall.id, recall.by, recall.at)

    def _own(self, conversation: Conversation, command: Edit | Recall) -> Row[Any] | Refusal:
        row = self._row(conversation, command.id)
        if row is None:
            return NoSuchMessage()
        if row.question is not None or row.sender != command.by:
            return NotAllowed()
        return AlreadyRecalled() if row.recalled else row

    def _regenerate(self, conversation: Conversation, again: Regenerate) -> Question | Refusal:
        row = self._row(conversation, again.id)
        if row is None or row.question is not None:
            return NoSuchMessage()
        body = body_of(row, again.key, keys_of(self._vault, [row.key_id]))
        if body is None:
            return AlreadyRecalled()
        if again.key.session_type == "group" and not again.anybody and row.sender != again.by:
            return NotAllowed()
        if self._waits(conversation) or self._writes(conversation):
            return Busy()
        answer = self._connection.execute(
            select(func.max(messages.c.id)).where(
                and_(
                    messages.c.conversation == conversation.row,
                    messages.c.id > again.id,
                    messages.c.question == again.id,
                )
            )
        ).scalar_one()
        self._connection.execute(
            insert(questions).values(
                conversation=conversation.row,
                message=again.id,
                stream=again.stream,
                again=answer is not None,
                answer=answer,
            )
        )
        return Question(message_of(row, again.key, body), again.stream, answer is not None)

    def _mark_read(self, conversation: Conversation, mark: MarkRead) -> ReadUpTo | Refusal | None:
        if not 1 <= mark.up_to <= conversation.last_id:
            return NoSuchMessage()
        whose = and_(receipts.c.conversation == conversation.row, receipts.c.user == mark.by)
        known = self._connection.execute(select(receipts.c.up_to).where(whose)).scalar_one_or_none()
        if known is not None and known >= mark.up_to:
            return None
        if known is None:
            self._connection.execute(
                insert(receipts).values(conversation=conversation.row, user=mark.by, up_to=mark.up_to)
            )
        else:
            self._connection.execute(update(receipts).where(whose).values(up_to=mark.up_to))
        seq = self._happened(conversation, READ, mark.at, mark.up_to, mark.by)
        return ReadUpTo(seq, mark.by, mark.up_to)

    def _reset(self, conversation: Conversation, reset: Reset) -> HistoryReset | Refusal:
        if conversation.row is not None:
            if self._writes(conversation):
                return Busy()
            of_it = messages.c.conversation == conversation.row
            sealed = select(messages.c.key_id).where(and_(of_it, messages.c.key_id.is_not(None)))
            self.released += self._connection.execute(sealed).scalars()
            self._connection.execute(delete(messages).where(of_it))
            self._connection.execute(delete(questions).where(questions.c.conversation == conversation.row))
            self._connection.execute(delete(events).where(events.c.conversation == conversation.row))
        conversation.floor = conversation.last_seq
        conversation.gone = conversation.last_id
        conversation.oldest = None
        seq = self._happened(conversation, RESET, reset.at)
        return HistoryReset(seq, reset.at)

    # What they are made of

    def _row(self, conversation: Conversation, number: int) -> Row[Any] | None:
        if conversation.row is None or not conversation.has(number):
            return None
        return self._connection.execute(select(messages).where(_message(conversation, number))).one_or_none()

    def _waits(self, conversation: Conversation) -> bool:
        waiting = select(questions.c.message).where(questions.c.conversation == conversation.row).limit(1)
        return self._connection.execute(waiting).first() is not None

    def _writes(self, conversation: Conversation) -> bool:
        """Whether a reply is open."""
        of_it = and_(messages.c.conversation == conversation.row, messages.c.seq.is_(None))
        return self._connection.execute(select(messages.c.id).where(of_it).limit(1)).first() is not None

    def _happened(
        self,
        conversation: Conversation,
        kind: int,
        at: Any,
        message: int | None = None,
        user: str | None = None,
    ) -> int:
        seq = conversation.next_seq()
        self._ledger.begin_new()
        self._connection.execute(
            insert(events).values(
                conversation=conversation.row, seq=seq, kind=kind, message=message, user=user, at=ticks(at)
            )
        )
        return seq


def _message(conversation: Conversation, number: int) -> Any:
    return and_(messages.c.conversation == conversation.row, messages.c.id == number)


def _question(conversation: Conversation, number: int) -> Any:
    return and_(questions.c.conversation == conversation.row, questions.c.message == number)
