"""The model that needs nobody: it says what it was told."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import trio

from server.chat import Turn

from .port import Finish

# Every character belongs to exactly one match, so the pieces add up to the text.
_WORD = re.compile(r"\S+\s*|\s+")


class EchoModel:
    """Streams the words of the user's message back.

    Args:
        delay: Seconds between two words.
    """

    def __init__(self, delay: float = 0.0) -> None:
        if not 0.0 <= delay < float("inf"):
            raise ValueError(f"delay must be a number of seconds, not {delay}")
        self._delay = delay

    async def reply(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        """Yield the text form of the message word by word, white space included; what was said before not."""
        await trio.lowlevel.checkpoint()
        for number, word in enumerate(_WORD.finditer(turn.text.removeprefix(turn.so_far))):
            if number or turn.so_far:
                # With no delay this is still a checkpoint: a long text must let others run.
                await trio.sleep(self._delay)
            yield word.group()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""
