"""What is written: messages of many conversations, each with one writer that waits for every answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from server.chat import (
    BeginReply,
    Command,
    ConversationKey,
    EndReply,
    Plain,
    Post,
    SaveReply,
    Sender,
)

EPOCH = "benchmark"
BOT = Sender("bot", "Bot")
TEXT = "The quick brown fox jumps over the lazy dog, and then it does so once more."

Commit = Callable[[Command[Any]], Awaitable[Any]]
Script = Callable[[int, int], Iterator[Command[Any]]]
"""The commands of one writer, by its number and how many: each gets the next id of its conversation."""


def posts(writer: int, count: int) -> Iterator[Command[Any]]:
    """Messages, each with a `client_msg_id`, and the questions that they are. None is answered."""
    key, at, sender = _key(writer), _now(), Sender(f"user-{writer}", f"User {writer}")
    for number in range(count):
        yield _post(key, at, sender, number)


def turns(writer: int, count: int) -> Iterator[Command[Any]]:
    """Messages and their replies: posted, begun, saved once on the way, ended."""
    key, at, sender = _key(writer), _now(), Sender(f"user-{writer}", f"User {writer}")
    for number in range(count // 4):
        question, reply = 2 * number + 1, 2 * number + 2
        yield _post(key, at, sender, number)
        yield BeginReply(key=key, epoch=EPOCH, at=at, question=question, connection_id="c", sender=BOT)
        yield SaveReply(key=key, epoch=EPOCH, at=at, reply=reply, text=TEXT)
        yield EndReply(key=key, epoch=EPOCH, at=at, reply=reply, text=TEXT * 4, reason="stop")


SCRIPTS: dict[str, Script] = {"posts": posts, "turns": turns}


async def write(script: Script, writer: int, count: int, commit: Commit, waits: list[float]) -> None:
    """Commit one after the other, and add to *waits* how many seconds each took."""
    for command in script(writer, count):
        begin = time.perf_counter()
        answer = await commit(command)
        waits.append(time.perf_counter() - begin)
        if isinstance(answer, Exception):
            raise answer


def _post(key: ConversationKey, at: datetime, sender: Sender, number: int) -> Post:
    return Post(
        key=key,
        epoch=EPOCH,
        at=at,
        chain=(Plain(f"{number}: {TEXT}"),),
        sender=sender,
        connection_id="0b0e7f0e-5f0e-4b0e-8f0e-0b0e7f0e5f0e",
        scope=sender.id,
        client_msg_id=f"message-{number}",
    )


def _key(writer: int) -> ConversationKey:
    return ConversationKey("0b0e7f0e-5f0e-4b0e-8f0e-0b0e7f0e5f0e", "person", f"session-{writer}")


def _now() -> datetime:
    return datetime.now(UTC)
