"""A pipeline whose text says what it does, for tests that need a reply to misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from server.chat import Turn


async def reply(turn: Turn) -> AsyncIterator[str]:
    """Obey the first word of the message.

    `say WORD …` streams the words; `gate FILE` says "waiting", then "done" once the file is there; `hang` and
    `crash` say "so far" and then nothing more, or raise; `silent` says nothing; `surrogate` says what is no
    Unicode, and `halves` two halves of a character, and one more; `history` tells what came before; `many N`
    streams N chunks.
    """
    order, _, rest = turn.text.partition(" ")
    match order:
        case "say":
            for word in rest.split():
                yield word + " "
                await trio.lowlevel.checkpoint()
        case "gate":
            yield "waiting "
            while not await trio.Path(rest).exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.01)
            yield "done"
        case "hang":
            yield "so far"
            await trio.sleep_forever()
        case "crash":
            yield "so far"
            raise RuntimeError("swordfish")
        case "surrogate":
            yield "a\ud800b"
        case "halves":
            for half in "\ud83d\ude00\ud83d":
                yield half
        case "history":
            yield " | ".join(f"{m.id}:{m.role}:{m.content}" for m in turn.history)
        case "many":
            for number in range(int(rest)):
                yield f"{number} "
                await trio.lowlevel.checkpoint()
