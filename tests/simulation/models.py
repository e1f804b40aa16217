"""Those who answer: talkative, slow, failing, hanging or silent, as their dice say."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import Random

import trio
from attrs import define

from server.chat import ConversationKey, Turn
from server.pipeline import Finish
from server.pipeline.errors import PipelineError

from .journal import Journal

WORDS = (
    "so",
    "the",
    "answer",
    "is",
    "não",
    "回答",
    "🙂",
    "e\u0301",
    "forty-two",
    "\u202eback",
    "more",
    "less",
)
IDLE_TIMEOUT = 4.0
TOTAL_TIMEOUT = 20.0


class Broken(Exception):
    """A bug in somebody's model."""


@define
class Heard:
    """What one turn got: the whole text, with what was said before it, and the model's mood."""

    number: int
    text: str
    mood: str = ""


class Moody:
    """A model. What it does in the n-th turn of a question depends on seed, question and n alone."""

    def __init__(self, seed: int, moods: tuple[str, ...], book: Moods, journal: Journal) -> None:
        self._seed = seed
        self._moods = moods
        self._book = book
        self._journal = journal

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        key = ConversationKey(turn.pipeline_uuid, turn.session_type, turn.session_id)
        heard = self._book.begin(key, turn.message.id, turn.so_far)
        dice = Random(f"model {self._seed} {key} {turn.message.id} {heard.number}")
        mood = dice.choice(self._moods) if self._moods and dice.random() < 0.5 else "answers"
        heard.mood = mood
        self._journal.count(f"model {mood}")
        words = dice.randint(20, 60) if mood == "long" else dice.randint(1, 8)
        breaks_at = dice.randint(0, words)
        pause = 0.0 if mood == "quick" else dice.choice([0.0, 0.01, 0.1, 0.5])
        for word in range(words if mood != "silent" else 0):
            if word == breaks_at:
                await self._break(mood)
            if pause:
                await trio.sleep(dice.random() * pause)
            said = f"{dice.choice(WORDS)} "
            heard.text += said
            yield said
        if breaks_at == words:
            await self._break(mood)
        if dice.random() < 0.3:
            yield Finish("length", {"completion_tokens": words})

    async def _break(self, mood: str) -> None:
        match mood:
            case "fails":
                raise PipelineError("the upstream is down")
            case "raises":
                raise Broken
            case "hangs":
                await trio.sleep_forever()

    async def aclose(self) -> None: ...


class Moods:
    """What each turn of each question met and heard, so that nobody is surprised by a reply that failed."""

    def __init__(self) -> None:
        self._turns: dict[tuple[ConversationKey, int], list[Heard]] = {}

    def begin(self, key: ConversationKey, question: int, so_far: str) -> Heard:
        """A turn begins, of a reply that says *so_far* already."""
        turns = self._turns.setdefault((key, question), [])
        turns.append(Heard(len(turns) + 1, so_far))
        return turns[-1]

    def of(self, key: ConversationKey, question: int) -> list[Heard]:
        """What came of each turn of that question, in order."""
        return self._turns.get((key, question), [])
