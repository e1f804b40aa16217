"""Turns to answer, and a reader for the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from server.chat import Component, Message, Plain, Role, Sender, Turn
from server.pipeline.port import Finish, Model

ANN = Sender("u1", "Ann")
NOON = datetime(2026, 3, 1, 12, 0, 0, 7000, tzinfo=UTC)


def message(*chain: Component | str, id: int = 1, role: Role = "user") -> Message:  # noqa: A002 - its name
    parts = tuple(Plain(part) if isinstance(part, str) else part for part in chain)
    return Message(id=id, role=role, chain=parts, timestamp=NOON, connection_id="c1", sender=ANN)


def turn(*chain: Component | str, history: tuple[Message, ...] = ()) -> Turn:
    return Turn(
        message=message(*chain, id=len(history) + 1),
        history=history,
        sender=ANN,
        pipeline_uuid="p1",
        session_type="person",
        session_id="s1",
    )


@define
class Heard:
    """What came out of one reply so far."""

    pieces: list[str] = field(factory=list)
    finish: Finish | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def listen(model: Model, to: Turn | None = None, heard: Heard | None = None) -> Heard:
    """Read a whole reply; *heard* keeps what came before an error."""
    heard = Heard() if heard is None else heard
    async with aclosing(generator(model, to)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Finish):
                assert heard.finish is None
                heard.finish = piece
            else:
                assert piece
                heard.pieces.append(piece)
    return heard


def generator(model: Model, to: Turn | None = None) -> Any:
    """The reply, which the port promises to be an async generator."""
    reply: AsyncIterator[str | Finish] = model.reply(turn("hello") if to is None else to)
    return reply
