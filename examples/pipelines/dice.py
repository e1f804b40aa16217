"""A bot that rolls dice: say `2d6` or `d20`, and `again` for the same once more.

[[pipelines]]
name = "Dice"
kind = "python"
path = "examples/pipelines"
function = "dice:reply"
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator

import trio

from server.chat import Turn

DICE = re.compile(r"\b(\d{0,2})d(\d{1,3})\b")


async def reply(turn: Turn) -> AsyncIterator[str]:
    """Yield the answer in pieces; each is on the screen while the next is still being made."""
    dice = DICE.search(turn.text.lower())
    if dice is None and "again" in turn.text.lower():
        # The conversation so far, oldest first, with the bot's own messages (`role == "assistant"`).
        asked = [message.content.lower() for message in turn.history if message.role == "user"]
        dice = next(filter(None, map(DICE.search, reversed(asked))), None)
    if dice is None:
        yield f"Tell me what to roll, {turn.sender.name}: `2d6`, for instance."
        return
    count, sides = int(dice[1] or 1), int(dice[2])
    if not count or not sides:
        yield "I have no such dice."
        return
    total = 0
    for number in range(count):
        if number:
            yield " + "
            await trio.sleep(0.2)
        total += (rolled := random.randint(1, sides))
        yield str(rolled)
    yield f" = **{total}**"
