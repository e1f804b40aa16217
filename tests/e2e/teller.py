"""A pipeline that takes its time, and can go on where another process was cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from server.chat import Turn


async def reply(turn: Turn) -> AsyncIterator[str]:
    """`count N` says the numbers below N, fifty a second; anything else is said back."""
    order, _, rest = turn.text.partition(" ")
    if order != "count":
        yield turn.text
        return
    for number in range(len(turn.so_far.split()), int(rest)):
        yield f"{number} "
        await trio.sleep(0.02)


def numbers(below: int) -> str:
    """What `count` says in the end."""
    return "".join(f"{number} " for number in range(below))
