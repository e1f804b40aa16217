"""A run of what is written all the time: messages, and replies that begin, grow and end.

What the commands depend on is read at once; each is then done in memory, seeing what those before it did; and
what came of it is written at once. So a run of hundreds takes a handful of statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import define, field
from sqlalchemy import Connection

from server.chat import (
    BeginReply,
    Conflict,
    EndReply,
    Expired,
    MessageAdded,
    NoSuchMessage,
    Plain,
    Post,
    Posted,
    Refusal,
    ReplyBegun,
    ReplyEnded,
    SaveReply,
    Sender,
    without_inline_data,
)

from . import sql_meta
from .bodies import Body, dump_chain, is_text
from .moments import moment, ticks
from .schema import messages
from .sql_bulks import (
    ADD_CLAIMS,
    ADD_MESSAGES,
    ADD_QUESTIONS,
    CHANGE_REPLIES,
    DROP_CLAIMS,
    FIND_CLAIMS,
    FIND_REPLIES,
    SUPERSEDE,
    TAKE_QUESTIONS,
)
from .sql_drafts import Draft, Known, Waiting
from .sql_ledger import Conversation, Ledger
from .sql_reading import unsealed
from .sql_sealing import digest, keys_of, name_of, open_keys, seal_question
from .vault import NeedsSecret, PlainVault, Vault

REMEMBERED = timedelta(hours=24)
"""How long a `client_msg_id` is known."""

_SEQ, _KEY_ID = messages.c.keys().index("seq"), messages.c.keys().index("key_id")
_remembered = ticks(moment(0) + REMEMBERED)

Place = tuple[Conversation, int]
Claim = tuple[Conversation, bytes, bytes]
Quick = Post | BeginReply | SaveReply | EndReply


@define(eq=False)
class Run:
    """Does commands of four kinds, in order; `write` makes them rows."""

    _connection: Connection
    _vault: Vault
    _ledger: Ledger
    _drafts: dict[Place, Draft] = field(factory=dict)
    _waiting: dict[Place, Waiting] = field(factory=dict)
    _asked: list[Place] = field(factory=list)
    _known: dict[Claim, Known] = field(factory=dict)
    _claimed: dict[Claim, Known] = field(factory=dict)
    _stale: list[Claim] = field(factory=list)
    _superseding: list[Draft] = field(factory=list)

    def do(self, commands: Sequence[Quick]) -> list[Any]:
        """Answer each of *commands*, or say with which `Refusal` it is declined."""
        pairs = [(self._ledger[command.key], command) for command in commands]
        self._read(pairs)
        return [self._do(conversation, command) for conversation, command in pairs]

    def _do(self, conversation: Conversation, command: Quick) -> Any:
        match command:
            case Post():
                return self._post(conversation, command)
            case BeginReply():
                return self._begin(conversation, command)
            case SaveReply():
                return self._save(conversation, command)
            case EndReply():
                return self._end(conversation, command)

    # What they depend on

    def _read(self, pairs: Sequence[tuple[Conversation, Quick]]) -> None:
        there = {conversation.row: conversation for conversation, _ in pairs}
        claims: set[tuple[int | None, bytes, bytes]] = set()
        asked: set[tuple[int | None, int]] = set()
        replies: set[tuple[int | None, int]] = set()
        for conversation, command in pairs:
            if conversation.row is None:
                continue  # nothing has happened to it yet
            match command:
                case Post(client_msg_id=str(name), scope=scope):
                    claims.add((conversation.row, scope.encode(), name.encode()))
                case BeginReply(question=number) if conversation.has(number):
                    asked.add((conversation.row, number))
                case SaveReply(reply=number) | EndReply(reply=number) if conversation.has(number):
                    replies.add((conversation.row, number))
                case _:
                    pass
        for row, scope, name, *known in FIND_CLAIMS.run(self._connection, list(claims)):
            self._known[there[row], scope, name] = Known(*known)
        # Each of them begins to be answered: the first command that asks for it is never refused.
        for row, number, stream, again, answer, _ in TAKE_QUESTIONS.run(self._connection, list(asked)):
            self._waiting[there[row], number] = Waiting(bool(stream), bool(again), answer)
        self._resume(there, FIND_REPLIES.run(self._connection, list(replies)))

    def _resume(self, there: Mapping[int | None, Conversation], rows: Iterable[tuple[Any, ...]]) -> None:
        open_ones = [row for row in rows if row[_SEQ] is None]
        keys = keys_of(self._vault, (row[_KEY_ID] for row in open_ones))
        for row, number, _, question, alternative_of, _, _, sender, at, _, key_id, sealed in open_ones:
            conversation = there[row]
            self._drafts[conversation, number] = Draft(
                conversation,
                number,
                moment(at),
                sender,
                unsealed(sealed, key_id, conversation.key, number, keys) or Body(),
                question=question,
                alternative_of=alternative_of,
                new=False,
                # One that was begun in clear gets a key now, if the vault seals.
                key=None if key_id is None else keys.get(key_id),
            )

    # What they do

    def _post(self, conversation: Conversation, post: Post) -> Posted | Refusal:
        chain = dump_chain(post.chain)
        at = ticks(post.at)
        claim: Claim | None = None
        said = b""
        if post.client_msg_id is not None:
            words = b"%s\n%s" % (chain, str(post.reply_to).encode())
            said = digest(self._vault, words)
            claim = conversation, post.scope.encode(), post.client_msg_id.encode()
            known = self._claimed.get(claim) or self._known.get(claim)
            if known is not None:
                if at - known.at <= _remembered:
                    if known.digest != said and not self._said_in_clear(known, words):
                        return Conflict()
                    return Posted(known.message, known.seq, None)
                self._forget(claim)
        if post.otherwise is not None:
            return post.otherwise
        if post.expires_at is not None and post.at > post.expires_at:
            return Expired()
        if post.reply_to is not None and not conversation.has(post.reply_to):
            return NoSuchMessage()
        number, seq = conversation.next_id(at), conversation.next_seq()
        bare = post.chain if is_text(post.chain) else without_inline_data(post.chain)
        draft = Draft(
            conversation,
            number,
            post.at,
            post.sender.id,
            Body(bare, post.sender.name, post.connection_id, post.client_msg_id, post.reply_to),
            seq,
            chain=chain if bare is post.chain else None,
        )
        place = conversation, number
        self._drafts[place] = draft
        if claim is not None:
            self._claimed[claim] = Known(said, number, seq, at)
        begun = None
        waiting = Waiting(post.stream, inline=None if bare is post.chain else chain, draft=draft)
        if post.answered_by is not None:
            begun = self._new_reply(place, waiting, post.at, post.answered_by, post.connection_id)
        else:
            self._waiting[place] = waiting
            self._asked.append(place)
        return Posted(number, seq, MessageAdded(seq, draft.message()), begun)

    def _said_in_clear(self, known: Known, words: bytes) -> bool:
        """Whether *known* are those words, noted before there was a vault that seals: its digests differ."""
        if isinstance(self._vault, NeedsSecret):
            return False
        secret = sql_meta.known_digest_secret(self._connection)
        return secret is not None and known.digest == PlainVault(secret).digest(words)

    def _forget(self, claim: Claim) -> None:
        if self._claimed.pop(claim, None) is None:
            del self._known[claim]
            self._stale.append(claim)

    def _begin(self, conversation: Conversation, begin: BeginReply) -> ReplyBegun | Refusal:
        place = conversation, begin.question
        question = self._waiting.pop(place, None)
        if question is None:
            return NoSuchMessage()
        return self._new_reply(place, question, begin.at, begin.sender, begin.connection_id)

    def _new_reply(
        self, place: Place, question: Waiting, at: datetime, sender: Sender, connection_id: str
    ) -> ReplyBegun:
        conversation, asked = place
        number = conversation.next_id(ticks(at))
        self._drafts[conversation, number] = Draft(
            conversation,
            number,
            at,
            sender.id,
            Body((), sender.name, connection_id, stream=question.stream),
            question=asked,
            alternative_of=question.answer,
        )
        return ReplyBegun(number, question.answer)

    def _save(self, conversation: Conversation, save: SaveReply) -> None:
        draft = self._open(conversation, save.reply)
        if draft is not None:
            draft.body.chain = (Plain(save.text),)
            draft.changed = True

    def _end(self, conversation: Conversation, end: EndReply) -> ReplyEnded | Refusal:
        draft = self._open(conversation, end.reply)
        if draft is None:
            return NoSuchMessage()
        draft.seq = conversation.next_seq()
        body = draft.body
        body.chain, body.stream = (Plain(end.text),), True
        body.finish_reason, body.usage = end.reason, end.usage
        draft.changed = True
        if draft.alternative_of is not None:
            self._superseding.append(draft)
        return ReplyEnded(draft.seq, draft.message())

    def _open(self, conversation: Conversation, reply: int) -> Draft | None:
        draft = self._drafts.get((conversation, reply))
        return None if draft is None or draft.seq is not None else draft

    # What came of it

    def write(self) -> None:
        """Write what the commands did; their conversations' own rows are the ledger's to write."""
        self._ledger.begin_new()
        self._give_keys()
        connection = self._connection
        drafts = self._drafts.values()
        ADD_MESSAGES.run(connection, [draft.row() for draft in drafts if draft.new])
        CHANGE_REPLIES.run(
            connection,
            [
                (draft.seq, name_of(draft.key), draft.sealed(), draft.conversation.row, draft.id)
                for draft in drafts
                if draft.changed and not draft.new and draft.key is not None
            ],
        )
        SUPERSEDE.run(connection, [(one.conversation.row, one.question, one.id) for one in self._superseding])
        ADD_QUESTIONS.run(connection, list(self._question_rows()))
        DROP_CLAIMS.run(connection, [(claim[0].row, *claim[1:]) for claim in self._stale])
        ADD_CLAIMS.run(
            connection,
            [
                (claim[0].row, claim[1], claim[2], known.digest, known.message, known.seq, known.at)
                for claim, known in self._claimed.items()
            ],
        )

    def _give_keys(self) -> None:
        without = [draft for draft in self._drafts.values() if draft.key is None]
        for draft, key in zip(without, open_keys(self._vault, len(without)), strict=True):
            draft.key = key

    def _question_rows(self) -> Iterator[tuple[Any, ...]]:
        for place in self._asked:
            question = self._waiting.get(place)
            if question is None or question.draft is None:
                continue  # its reply began at once
            conversation, number = place
            inline, key = question.inline, question.draft.key
            if inline is not None and key is not None:
                inline = seal_question(key, inline, conversation.key, number)
            yield conversation.row, number, question.stream, question.again, question.answer, inline
