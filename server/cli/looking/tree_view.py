"""The joined tree of actors and tasks as `triologue tree` shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from attrs import define, field, frozen
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from .answers import Actor, Actors, Details, Frame, Gone, Hold, Message, Task, Wait
from .frames import frame_lines, is_library, short
from .join import Node, circles
from .terminal import ALARM, QUIET, STATES, WARN, brief, clean, duration, fill_style, pattern, words

FOLD_ABOVE = 5
"""So many children may be alike; of more, `SHOWN` are shown."""
SHOWN = 3
LATELY = 60.0
"""Seconds for which it is told that the loop was held."""
FRAMES = 3
"""So many of a stack are shown, the innermost."""


@frozen
class Options:
    """What to show: `stacks` of each task, whole stacks of the actors `stacks_of`, `unfold`ed or not.

    `joined` is false if the tree is of tasks alone. `details` are by address.
    """

    stacks: bool = False
    stacks_of: Collection[str] = ()
    unfold: bool = False
    joined: bool = True
    details: Mapping[str, Details | None] = field(factory=dict)


def tree_view(node: Node, actors: Actors, options: Options, host: str) -> RenderableType:
    """The tree from *node*; above it what it is of, below it circles of waits and who held the loop."""
    nodes = list(node.walk())
    shown = {one.address for one in nodes if one.actor is not None}
    found = [
        circle
        for circle in circles(wait for actor in actors.actors for wait in actor.waits)
        if not shown.isdisjoint(circle)
    ]
    drawing = _Drawing(options, {step for circle in found for step in _steps(circle)})
    tree = Tree(drawing.label(node, ""), guide_style=QUIET)
    drawing.grow(tree, node, node.address)
    holds = (_hold(hold) for hold in actors.holds.recent if hold.ago < LATELY)
    return Group(_summary(nodes, actors, host), tree, *(_circle(circle) for circle in found), *holds)


@define
class _Drawing:
    _options: Options
    _circling: set[tuple[str, str]]

    def grow(self, tree: Tree, node: Node, within: str) -> None:
        """Put what is below *node* into *tree*; *within* is the address of the actor they are in."""
        for child in self._folded(node.children):
            if isinstance(child, _Fold):
                tree.add(words((f"… {child.count} more", QUIET), (child.what, QUIET)))
            else:
                branch = tree.add(self.label(child, within))
                self.grow(branch, child, child.address or within)

    def label(self, node: Node, within: str) -> Text:
        """All lines about *node* itself."""
        if node.gone is not None:
            return _gone_line(node.gone, within)
        lines = []
        if node.actor is not None:
            lines.append(_actor_line(node.actor, within))
            lines += (self._wait_line(wait) for wait in node.actor.waits)
            lines += _crash_lines(node.actor)
        else:
            assert node.task is not None
            lines.append(self._task_line(node.task, within))
        lines += self._detail_lines(node)
        lines += self._stack_lines(node)
        return Text("\n  ").join(lines)

    def _detail_lines(self, node: Node) -> list[Text]:
        details = self._options.details.get(node.address)
        if details is None:
            return []
        has = ", ".join(f"{name}: {value}" for name, value in details.attributes.items())
        return [words(("has", QUIET), Text(clean(has, 2000))), *map(_recent_line, details.recent)]

    def _wait_line(self, wait: Wait) -> Text:
        circling = (wait.actor, wait.address) in self._circling
        style = ALARM if circling else WARN
        sort = f"answer to {wait.kind}" if wait.what == "answer" else f"{wait.what} for {wait.kind}"
        task = wait.waiter.partition(": ")[2]
        return words(
            (f"task {task}", style) if task else None,
            (f"waits for {wait.address}: {sort}, {duration(wait.seconds)}", style),
            ("(in a circle)", ALARM) if circling else None,
        )

    def _task_line(self, task: Task, within: str) -> Text:
        helper = _helper(task)
        if helper is not None and task.actor == within:
            return words((f"task {helper}", QUIET))
        if task.actor is not None and helper is None and self._options.joined:
            # The actors were asked first.
            return words((_relative(task.actor, within), "bold"), ("began just now", QUIET))
        return words((task.name, QUIET))

    def _stack_lines(self, node: Node) -> list[Text]:
        task = node.task
        if task is None:
            return []
        if task.actor is not None and task.actor in self._options.stacks_of:
            return frame_lines(task.stack)
        return frame_lines(_telling(task.stack)) if self._options.stacks else []

    def _folded(self, children: Sequence[Node]) -> Iterator[Node | _Fold]:
        """The *children*, with a few of those that are alike, and after them how many more there are."""
        alike: dict[object, list[Node]] = {}
        for child in children:
            alike.setdefault(_likeness(child), []).append(child)
        for group in alike.values():
            shown = group
            if len(group) > FOLD_ABOVE and not self._options.unfold:
                worst = sorted(group, key=_severity, reverse=True)[:SHOWN]
                shown = [node for node in group if node in worst or self._is_wanted(node)]
            yield from shown
            if len(shown) < len(group):
                yield _Fold(len(group) - len(shown), _common(group[0]))

    def _is_wanted(self, node: Node) -> bool:
        wanted = self._options.stacks_of
        return bool(wanted) and any(below.address in wanted for below in node.walk())


@frozen
class _Fold:
    count: int
    what: str


def _likeness(node: Node) -> object:
    """Equal for nodes of which a few can stand for all."""
    below = frozenset(_likeness(child) for child in node.children)
    actor = node.actor
    if actor is not None:
        handling = actor.handling.kind if actor.handling else None
        waits = tuple((wait.what, wait.kind) for wait in actor.waits)
        return actor.kind, actor.state, handling, waits, actor.queued > 0, actor.restarts > 0, below
    if node.gone is not None:
        return "gone", node.gone.kind, node.gone.reason
    assert node.task is not None
    return pattern(node.task.name), below


def _common(node: Node) -> str:
    """What nodes like *node* are, in words."""
    actor = node.actor
    if actor is not None:
        doing = f" {actor.handling.kind}" if actor.handling else ""
        return f"{actor.kind} {actor.state}{doing}" if doing else f"{actor.state} {actor.kind}"
    if node.gone is not None:
        return f"{node.gone.kind} {_gone(node.gone)}"
    assert node.task is not None
    return pattern(_helper(node.task) or node.task.name)


def _severity(node: Node) -> tuple[int, float]:
    """Greater for what one would rather see: what is stuck, and of those gone the last."""
    actor = node.actor
    if node.gone is not None:
        return (0, -node.gone.ago)
    if actor is None or actor.state == "idle":
        return (actor.queued if actor else 0, 0.0)
    return (actor.queued, actor.since)


def _actor_line(actor: Actor, within: str) -> Text:
    doing = f"{actor.state} {duration(actor.since)}"
    full = f"mailbox {actor.queued}/{actor.capacity} (peak {actor.peak})"
    oldest = f", oldest {duration(actor.oldest)}" if actor.queued else ""
    return _dotted(
        words((_relative(actor.address, within), "bold"), (actor.kind, QUIET)),
        words((doing, STATES.get(actor.state, "")), _handling(actor.handling)),
        words((full + oldest, fill_style(actor.queued, actor.capacity))),
        words((f"restarts {actor.restarts}", WARN)) if actor.restarts else None,
        words((f"lost {actor.lost}", WARN)) if actor.lost else None,
    )


def _recent_line(message: Message) -> Text:
    origin = message.origin
    labels = ", ".join(f"{name}={brief(str(value))}" for name, value in origin.labels.items())
    times = f"sent {duration(message.age)} ago, took {duration(message.seconds)}"
    return words(
        ("handled", QUIET),
        (message.kind, "bold"),
        f"({times}; from #{origin.id} {origin.name})",
        (labels, QUIET) if labels else None,
    )


def _handling(message: Message | None) -> Text | None:
    if message is None:
        return None
    origin = message.origin
    sent = f"(sent {duration(message.age)} ago; from #{origin.id} {origin.name})"
    return words((message.kind, "bold"), sent)


def _dotted(*parts: Text | None) -> Text:
    # Not `Text(" · ", style=…)`: its style would become that of the whole.
    return Text.assemble((" · ", QUIET)).join(part for part in parts if part is not None)


def _crash_lines(actor: Actor) -> list[Text]:
    return [
        words((f"crashed {duration(crash.ago)} ago: {crash.error}", ALARM), crash.kind and f"at {crash.kind}")
        for crash in actor.crashes[-1:]
    ]


def _gone_line(gone: Gone, within: str) -> Text:
    style = ALARM if gone.reason.startswith("crashed") else QUIET
    return _dotted(
        words((_relative(gone.address, within), "dim strike"), (gone.kind, QUIET)),
        words((f"{_gone(gone)} {duration(gone.ago)} ago", style)),
        words((f"handled {gone.handled}, lived {duration(gone.lived)}", QUIET)),
        words((f"restarts {gone.restarts}", WARN)) if gone.restarts else None,
    )


def _gone(gone: Gone) -> str:
    return f"gone ({gone.reason})"


def _telling(stack: Sequence[Frame]) -> Sequence[Frame]:
    """The end of *stack*; with the innermost line that is no library's, if that is further out.

    Nothing of an actor that waits for a message: that it is idle says it all.
    """
    if any(frame.function == "Mailbox.wait" and short(frame.file) == "actors/mailbox.py" for frame in stack):
        return ()
    own = next((n for n in range(len(stack) - 1, -1, -1) if not is_library(stack[n])), -1)
    first = len(stack) - FRAMES
    if own < 0 or own >= first:
        return stack[-FRAMES:]
    return (stack[own], _GAP, *stack[1 - FRAMES :])


_GAP = Frame("", 0, "…", "")


def _helper(task: Task) -> str | None:
    """What the actor of *task* calls it, if it is a helper's."""
    before = f"actor {task.actor}: "
    return task.name.removeprefix(before) if task.actor and task.name.startswith(before) else None


def _relative(address: str, within: str) -> str:
    return address.removeprefix(f"{within}/") if within else address


def _summary(nodes: Sequence[Node], actors: Actors, host: str) -> Text:
    shown = [node.actor for node in nodes if node.actor is not None]
    waits, holds = sum(len(actor.waits) for actor in shown), actors.holds.total
    return _dotted(
        words((host, "bold")),
        words(f"{len(shown)} actors"),
        words(f"{sum(node.task is not None for node in nodes)} tasks"),
        words((f"{waits} waits", WARN if waits else "")),
        words(f"{actors.dead_letters.total} dead letters"),
        words((f"{holds} loop holds", WARN if holds else "")),
    )


def _steps(circle: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(circle, [*circle[1:], circle[0]], strict=True)


def _circle(circle: Sequence[str]) -> Text:
    return words((f"circle of waits: {' → '.join([*circle, circle[0]])}", ALARM))


def _hold(hold: Hold) -> Text:
    where = frame_lines(hold.stack[-1:])
    return words(
        (f"loop held for {duration(hold.seconds)}, {duration(hold.ago)} ago", WARN),
        f"by {hold.actor}" if hold.actor is not None else None,
        words("at", where[0]) if where else None,
        (f"({hold.note})", QUIET) if hold.note else None,
    )
