"""Commands with little ado: to one conversation, by one person, at one time, unless it is said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from server.chat import (
    BeginReply,
    Command,
    Component,
    ConversationKey,
    Edit,
    EndReply,
    Fact,
    MarkRead,
    Message,
    Plain,
    Post,
    Recall,
    Regenerate,
    Reset,
    SaveReply,
    Sender,
    Snapshot,
)
from server.storage import Store

from .places import START

R = TypeVar("R")

HERE = ConversationKey("pipeline", "person", "here")
THERE = ConversationKey("pipeline", "group", "there")
ANN = Sender("ann", "Ann")
BOT = Sender("bot", "The bot")
EPOCH = "e1"


def post(text: str | Sequence[Component] = "hello", key: ConversationKey = HERE, **more: Any) -> Post:
    settings: dict[str, Any] = {"at": START, "sender": ANN, "connection_id": "c1", **more}
    chain = (Plain(text),) if isinstance(text, str) else tuple(text)
    return Post(key=key, epoch=EPOCH, chain=chain, **settings)


def begin(question: int, key: ConversationKey = HERE, at: datetime = START) -> BeginReply:
    return BeginReply(key=key, epoch=EPOCH, at=at, question=question, connection_id="c1", sender=BOT)


def save(reply: int, text: str, key: ConversationKey = HERE) -> SaveReply:
    return SaveReply(key=key, epoch=EPOCH, at=START, reply=reply, text=text)


def end(
    reply: int, text: str = "hi", key: ConversationKey = HERE, reason: str = "stop", **more: Any
) -> EndReply:
    return EndReply(key=key, epoch=EPOCH, at=START, reply=reply, text=text, reason=reason, **more)


def again(number: int, key: ConversationKey = HERE, by: str = "ann", anybody: bool = False) -> Regenerate:
    return Regenerate(key=key, epoch=EPOCH, at=START, id=number, by=by, anybody=anybody)


def edit(number: int, text: str | Sequence[Component], key: ConversationKey = HERE, by: str = "ann") -> Edit:
    chain = (Plain(text),) if isinstance(text, str) else tuple(text)
    return Edit(key=key, epoch=EPOCH, at=START, id=number, by=by, chain=chain)


def recall(number: int, key: ConversationKey = HERE, by: str = "ann") -> Recall:
    return Recall(key=key, epoch=EPOCH, at=START, id=number, by=by)


def read(up_to: int, key: ConversationKey = HERE, by: str = "ann") -> MarkRead:
    return MarkRead(key=key, epoch=EPOCH, at=START, by=by, up_to=up_to)


def reset(key: ConversationKey = HERE) -> Reset:
    return Reset(key=key, epoch=EPOCH, at=START)


def do(store: Store, command: Command[R]) -> R:
    """The answer to *command* alone; a refusal, or an error of its own, is raised."""
    (answer,) = store.write([command])
    if isinstance(answer, Exception):
        raise answer
    done: R = answer
    return done


def snapshot(store: Store, key: ConversationKey = HERE, after: int | None = 0) -> Snapshot:
    return store.load(key, epoch="offered", messages=100, after=after)


def facts(store: Store, key: ConversationKey = HERE) -> tuple[Fact, ...]:
    return store.facts(key, after=0, upto=10**6, limit=10**6)


def history(store: Store, key: ConversationKey = HERE) -> tuple[Message, ...]:
    return store.messages(key, limit=1000)


def texts(messages: Sequence[Message]) -> list[str]:
    return [message.content for message in messages]
