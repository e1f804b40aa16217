"""Scripted neighbours of the history routes: a store of messages, a directory, its conversations."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from actors import Actor, ActorRef
from server.chat import ConversationKey, Message, Plain, Refusal, Sender, StoreFailing
from server.messages import (
    ConversationMessage,
    DirectoryMessage,
    Find,
    Open,
    PipelineInfo,
    ReadMessages,
    ResetHistory,
    StorageMessage,
)

from .asking import House, Top, house

PIPELINE = "00000000-0000-4000-8000-0000000000aa"
ROUTE = f"/api/v1/pipelines/{PIPELINE}/ws"
SHARED = ConversationKey(PIPELINE, "person", "default")


def said(number: int, text: str = "", *, superseded: bool = False) -> Message:
    """The message of that id; one that is superseded says so in its text."""
    chain = (Plain("superseded" if superseded else text or f"message {number}"),)
    return Message(number, "user", chain, datetime(2026, 1, 1, tzinfo=UTC), "c", Sender("u", "U"), seq=number)


@define
class Scene:
    """What is where, and what was asked.

    Attributes:
        failing: Nothing can be read or reset.
        live: Which conversations the directory has.
        leaving: So many conversations end just as they are asked.
    """

    messages: dict[ConversationKey, list[Message]] = field(factory=dict)
    failing: bool = False
    refusing: Refusal | None = None
    live: set[ConversationKey] = field(factory=set)
    leaving: int = 0
    reads: list[ReadMessages] = field(factory=list)
    opened: list[ConversationKey] = field(factory=list)
    resets: list[ConversationKey] = field(factory=list)

    def keep(self, messages: Iterable[Message], key: ConversationKey = SHARED) -> None:
        self.messages.setdefault(key, []).extend(messages)

    def at_home(self) -> AbstractAsyncContextManager[House]:
        """The routes in front of all this."""
        return house(furnish=self._furnish)

    def _furnish(self, top: Top) -> dict[str, Any]:
        nobody: ActorRef[Any] = top.ref
        return {
            "storage": top.spawn(lambda: Archive(self), name="storage"),
            "directory": top.spawn(lambda: Doorman(self), name="conversations"),
            "pipelines": {PIPELINE: PipelineInfo(PIPELINE, "one", 1.0, nobody)},
        }


class Archive(Actor[StorageMessage]):
    """Answers as a store is to answer."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def handle(self, message: StorageMessage) -> None:
        assert isinstance(message, ReadMessages)
        scene = self._scene
        scene.reads.append(message)
        if scene.failing:
            message.refuse(StoreFailing())
            return
        found = [m for m in scene.messages.get(message.key, []) if _is_meant(m, message)]
        oldest = message.after is not None and message.before is None
        message.answer(tuple(found[: message.limit] if oldest else found[-message.limit :]))


def _is_meant(message: Message, wanted: ReadMessages) -> bool:
    return (
        (wanted.before is None or message.id < wanted.before)
        and (wanted.after is None or message.id > wanted.after)
        and (wanted.alternatives or message.content != "superseded")
    )


class Doorman(Actor[DirectoryMessage]):
    """Begins conversations that know only to be reset."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._born = 0

    async def handle(self, message: DirectoryMessage) -> None:
        scene = self._scene
        match message:
            case Find(key=key):
                message.answer(self._begin(key) if key in scene.live else None)
            case Open(key=key):
                scene.opened.append(key)
                if scene.refusing is not None:
                    message.refuse(scene.refusing)
                else:
                    message.answer(self._begin(key))
            case _:
                raise AssertionError(message)

    def _begin(self, key: ConversationKey) -> ActorRef[ConversationMessage]:
        self._born += 1
        return self.spawn(lambda: Resettable(self._scene, key), name=f"{self._born}")


class Resettable(Actor[ConversationMessage]):
    def __init__(self, scene: Scene, key: ConversationKey) -> None:
        self._scene = scene
        self._key = key

    async def handle(self, message: ConversationMessage) -> None:
        assert isinstance(message, ResetHistory)
        scene = self._scene
        if scene.leaving:
            scene.leaving -= 1
            self.stop("unused")
        elif scene.failing:
            message.refuse(StoreFailing())
        else:
            scene.resets.append(self._key)
            scene.messages.pop(self._key, None)
            message.answer(None)
