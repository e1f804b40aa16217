"""The stacks of all tasks and threads as `triologue stacks` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from .answers import Frame, Stacks, Waiting
from .frames import frame_lines
from .terminal import QUIET, pattern, words

NAMES = 3


def stacks_view(stacks: Stacks, host: str) -> RenderableType:
    """Every stack once, that of the most tasks first, with whose it is; below them the threads'."""
    groups: dict[tuple[tuple[str, int, str], ...], list[Waiting]] = {}
    for task in stacks.tasks:
        groups.setdefault(tuple((f.file, f.line, f.function) for f in task.stack), []).append(task)
    lines = [
        words((host, "bold"), f"· {len(stacks.tasks)} tasks in {len(groups)} places")
        + words(f" · {len(stacks.threads)} threads")
    ]
    for tasks in sorted(groups.values(), key=len, reverse=True):
        lines += _block(_whose(tasks), tasks[0].stack)
    for thread in stacks.threads:
        lines += _block(words(("thread", QUIET), (thread.name, "bold")), thread.stack)
    return Group(*lines)


def _block(title: Text, stack: Sequence[Frame]) -> Iterator[Text]:
    yield Text()
    yield title
    for line in frame_lines(stack) or [words(("(nothing of Python's)", QUIET))]:
        yield Text("    ").append_text(line)


def _whose(tasks: Sequence[Waiting]) -> Text:
    """How many tasks, and their names: those themselves if they are few, else what these have in common."""
    if len(tasks) <= NAMES:
        names = [task.name for task in tasks]
    else:
        kinds = Counter(pattern(task.name) for task in tasks).most_common()
        names = [f"{count} × {name}" for name, count in kinds[:NAMES]]
        if len(kinds) > NAMES:
            names.append("…")
    count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    return words((f"{count}:", ""), (", ".join(names), "bold"))
