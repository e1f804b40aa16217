"""Conversations into a store, from the lines of an export."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import orjson
from attrs import define, frozen
from sqlalchemy import Connection, Engine, and_, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from server.chat import ConversationKey, text_of

from .bodies import dump_body, dump_chain, load_body, load_chain
from .copies import AT_ONCE, unhurried
from .engines import for_writing, place_of
from .port import StoreError
from .records import FORMAT, BadRecord, Record, parse
from .schema import RESET, client_messages, conversations, events, messages, questions, receipts
from .sql_sealing import VaultTrouble, keys_of, name_of, open_keys, seal_body, seal_question
from .vault import Vault

_MOST_BYTES = 2**24
"""Of bodies that wait to be written."""


@frozen
class Imported:
    """What came in."""

    conversations: int
    messages: int


def import_lines(engine: Engine, vault: Vault, lines: Iterable[bytes], *, replace: bool = False) -> Imported:
    """Add what the export *lines* holds, each conversation with a new epoch; wholly or not at all.

    With *replace* a conversation that is there already goes, and the one of its name takes its place.

    Raises:
        StoreError: It can't be written, *lines* is no whole export, or a conversation is there already.
    """
    number = 0
    try:
        with for_writing(engine).begin() as connection:
            unhurried(connection)
            incoming = _Incoming(connection, vault, replace)
            for line in lines:
                number += 1
                incoming.take(*parse(line))
            number += 1
            return incoming.end()
    except BadRecord as error:
        raise StoreError(f"line {number}: {error}") from None
    except VaultTrouble as error:
        raise StoreError(str(error.__cause__)) from error
    except SQLAlchemyError as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        raise StoreError(f"{place_of(engine)} can't be written: {kind}") from error


@define(eq=False)
class _Incoming:
    """The conversations of an export, as they come in."""

    _connection: Connection
    _vault: Vault
    _replace: bool
    _begun: bool = False
    _ended: Record | None = None
    _current: _Conversation | None = None
    _conversations: int = 0
    _messages: int = 0

    def take(self, kind: str, record: Record) -> None:
        if self._ended is not None:
            raise BadRecord("expected nothing after the end")
        if not self._begun:
            if kind != "export" or record["format"] != FORMAT:
                raise BadRecord(f"expected an export of format {FORMAT}")
            self._begun = True
            return
        if kind in ("conversation", "end") and self._current is not None:
            self._current.end()
            self._current = None
        if kind == "conversation":
            self._conversations += 1
            self._current = _Conversation(self._connection, self._vault, record, self._replace)
        elif kind == "end":
            self._ended = record
        elif self._current is None or kind == "export":
            raise BadRecord(f"expected a conversation before a {kind}")
        else:
            self._messages += kind == "message"
            self._current.take(kind, record)

    def end(self) -> Imported:
        if self._ended is None:
            raise BadRecord("expected the end: this is not the whole export")
        if self._ended != {"conversations": self._conversations, "messages": self._messages}:
            raise BadRecord("end: expected as many conversations and messages as there are")
        return Imported(self._conversations, self._messages)


class _Conversation:
    """One that comes in. Ids and seqs must be without holes, as the store leaves them."""

    def __init__(self, connection: Connection, vault: Vault, record: Record, replace: bool) -> None:
        if record["session_type"] not in ("person", "group"):
            raise BadRecord("conversation.session_type: expected person or group")
        if not record["gone"] <= record["last_id"] or not record["floor"] <= record["last_seq"]:
            raise BadRecord("conversation: expected last_id from gone on, and last_seq from floor on")
        self._connection = connection
        self._vault = vault
        self._record = record
        self._key = ConversationKey(record["pipeline"], record["session_type"], record["session_id"])
        self._row = self._begin(replace)
        self._last_id: int = record["gone"]
        self._seqs: set[int] = set()
        self._answerable: set[int] = set()
        self._writing = False
        self._waiting: list[tuple[Record, bytes | None]] = []
        self._bytes = 0

    def _begin(self, replace: bool) -> int:
        values = {**self._record, "epoch": secrets.token_hex(6), "oldest": None}
        c = conversations.c
        named = [getattr(c, name) == values[name] for name in ("pipeline", "session_type", "session_id")]
        row = self._connection.execute(select(c.id).where(and_(*named))).scalar_one_or_none()
        if row is None:
            (row,) = self._connection.execute(insert(conversations).returning(c.id), [values]).scalars()
            return int(row)
        if not replace:
            raise BadRecord(f"conversation {self._key} is there already; --replace has it go")
        for table in (messages, events, receipts, questions, client_messages):
            self._connection.execute(delete(table).where(table.c.conversation == row))
        self._connection.execute(update(conversations).where(c.id == row).values(**values))
        return int(row)

    def take(self, kind: str, record: Record) -> None:
        match kind:
            case "message":
                self._take_message(record)
            case "event":
                self._take_event(record)
            case "receipt":
                self._connection.execute(insert(receipts).values(conversation=self._row, **record))
            case _:
                self._take_question(record)

    def _take_message(self, record: Record) -> None:
        if record["id"] != self._last_id + 1:
            raise BadRecord(f"message.id: expected {self._last_id + 1}")
        if record["recalled"] != (record["body"] is None):
            raise BadRecord("message.body: expected null if it was recalled, and only then")
        if record["seq"] is not None:
            self._take_seq(record["seq"])
        elif record["question"] is None or self._writing:
            raise BadRecord("message.seq: expected null of one reply at most")
        else:
            self._writing = True
        if self._last_id == self._record["gone"]:
            self._connection.execute(
                update(conversations).where(conversations.c.id == self._row).values(oldest=record["at"])
            )
        self._last_id = record["id"]
        if record["question"] is None and not record["recalled"]:
            self._answerable.add(record["id"])
        body = None if record["body"] is None else _body(record["body"])
        self._waiting.append((record, body))
        self._bytes += len(body or b"")
        if len(self._waiting) >= AT_ONCE or self._bytes >= _MOST_BYTES:
            self._write_messages()

    def _write_messages(self) -> None:
        fresh = iter(open_keys(self._vault, sum(body is not None for _, body in self._waiting)))
        rows: list[dict[str, Any]] = []
        for record, body in self._waiting:
            sealed, key_id = None, None
            if body is not None:
                key = next(fresh)
                sealed, key_id = seal_body(key, body, self._key, record["id"]), name_of(key)
            rows.append({**record, "conversation": self._row, "body": sealed, "key_id": key_id})
        if rows:
            self._connection.execute(insert(messages), rows)
        self._waiting, self._bytes = [], 0

    def _take_event(self, record: Record) -> None:
        self._take_seq(record["seq"])
        if record["kind"] != RESET and (record["message"] is None or record["user"] is None):
            raise BadRecord("event: expected a message and a user")
        self._connection.execute(insert(events).values(conversation=self._row, **record))

    def _take_seq(self, seq: int) -> None:
        # Of messages that retention left, some may be older than others that it took.
        if not 0 < seq <= self._record["last_seq"] or seq in self._seqs:
            raise BadRecord(f"seq: expected another up to {self._record['last_seq']}")
        self._seqs.add(seq)

    def _take_question(self, record: Record) -> None:
        self._write_messages()
        number = record["message"]
        if number not in self._answerable:
            raise BadRecord("question.message: expected a user's message that was not recalled, once")
        self._answerable.remove(number)
        chain = record.pop("chain")
        if chain is not None:
            whose = and_(messages.c.conversation == self._row, messages.c.id == number)
            key_id = self._connection.execute(select(messages.c.key_id).where(whose)).scalar_one()
            key = keys_of(self._vault, [key_id])[key_id]
            chain = seal_question(key, _chain(chain), self._key, number)
        self._connection.execute(insert(questions).values(conversation=self._row, body=chain, **record))

    def end(self) -> None:
        self._write_messages()
        if self._last_id != self._record["last_id"]:
            raise BadRecord(f"expected message {self._last_id + 1} of the conversation before")
        floor, last = self._record["floor"], self._record["last_seq"]
        if sum(seq > floor for seq in self._seqs) != last - floor:
            missing = next(seq for seq in range(floor + 1, last + 1) if seq not in self._seqs)
            raise BadRecord(f"expected seq {missing} of the conversation before")


def _body(raw: Any) -> bytes:
    """A message's body as the store keeps it."""
    try:
        body = load_body(orjson.dumps(raw))
        text_of(body.chain)
        return dump_body(body)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError):
        raise BadRecord("message.body: expected one that an export has") from None


def _chain(raw: Any) -> bytes:
    try:
        chain = load_chain(orjson.dumps(raw))
        text_of(chain)
        return dump_chain(chain)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError):
        raise BadRecord("question.chain: expected one that an export has") from None
