"""A pipeline that says a word whenever the test makes a file, and what the server is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import trio

from server.chat import Turn

STEPS = "00000000-0000-4000-8000-000000000057"
HASTY = "00000000-0000-4000-8000-000000000058"
BRIEF = "00000000-0000-4000-8000-000000000059"
PATIENT = "00000000-0000-4000-8000-00000000005a"
RESUMING = "00000000-0000-4000-8000-00000000005b"

_kinds = {
    STEPS: "",
    HASTY: 'unheard = "stop"',
    BRIEF: 'unheard = "stop"\nunheard_grace = 0.3',
    PATIENT: 'unheard = "stop"\nunheard_grace = 3600.0',
    RESUMING: 'on_restart = "resume"',
}

TIMEOUTS = "[timeouts]\ndrain = 0.5\nchunk_interval = 0\ncheckpoint = 0.05\n"
PIPELINES = TIMEOUTS + "".join(
    f"""
[[pipelines]]
uuid = "{uuid}"
name = "steps {number}"
kind = "python"
function = "tests.e2e.stepwise:reply"
{more}
"""
    for number, (uuid, more) in enumerate(_kinds.items())
)


async def reply(turn: Turn) -> AsyncIterator[str]:
    """Say as many words as the message says: `steps FOLDER NUMBER`.

    `flood SIZE NUMBER` says so many words of that size at once; any other message is said back.

    The word number *n* is said once there is a file of that name in the folder; the file `cut` is made if the
    reply is cut off. Goes on after what was said before.
    """
    order, _, rest = turn.text.partition(" ")
    if order == "flood":
        size, _, number = rest.partition(" ")
        for _ in range(int(number)):
            yield "x" * int(size)
            await trio.lowlevel.checkpoint()
        return
    if order != "steps":
        yield turn.text[len(turn.so_far) :]
        return
    folder, _, number = rest.rpartition(" ")
    said = ""
    for step in range(int(number)):
        try:
            while not (Path(folder) / str(step)).exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.01)
        except trio.Cancelled:
            (Path(folder) / "cut").touch()
            raise
        said += word(step)
        if len(said) > len(turn.so_far):
            yield word(step)


def word(step: int) -> str:
    """What is said at a step: with characters that count differently in bytes, code points and UTF-16."""
    return f"wörd-{step}-😀 "


def words(number: int) -> str:
    """A whole reply."""
    return "".join(word(step) for step in range(number))


class Steps:
    """The files that let a reply go on, in a folder of its own."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.number = number

    @property
    def order(self) -> str:
        """The message that asks for the reply."""
        return f"steps {self.folder} {self.number}"

    @property
    def whole(self) -> str:
        return words(self.number)

    def go(self, *steps: int) -> None:
        for step in steps:
            (self.folder / str(step)).touch()

    def finish(self) -> None:
        self.go(*range(self.number))

    async def wait_cut(self) -> None:
        """Until the pipeline noticed that nobody wants to hear it any more."""
        while not await trio.Path(self.folder / "cut").exists():  # noqa: ASYNC110 - another process makes it
            await trio.sleep(0.01)
