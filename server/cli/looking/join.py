"""The tree of actors joined with trio's tree of tasks, and who waits for whom in a circle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field

from .answers import Actor, Actors, Gone, Task, Wait

LASTING = 1.0
"""Seconds after which a wait beside a handler is no passing matter."""


@define(eq=False)
class Node:
    """One place in the joined tree: an actor (and its task), a task that is no actor's, or an actor gone."""

    address: str = ""
    actor: Actor | None = None
    task: Task | None = None
    gone: Gone | None = None
    children: list[Node] = field(factory=list)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, from the top."""
        yield self
        for child in self.children:
            yield from child.walk()


def join(actors: Actors, root: Task, *, gone: bool = False) -> Node:
    """Trio's tree from *root* with every actor in its place in it; on request with those that are *gone*.

    An actor without a task of its own (the root supervisor runs in its caller's) stands above its children's
    tasks. Both answers are taken one after the other, so an actor may lack a task, or a task its actor.
    """
    running = {task.actor for task in _tasks(root) if task.actor and _is_actor(task)}
    joined = _Join({actor.address: actor for actor in actors.actors}, running)
    top = joined.grow(root, "")
    for actor in actors.actors:
        joined.place(actor.address, top)
    if gone:
        for one in actors.gone:
            above = joined.places.get(_parent(one.address, joined.places), top)
            above.children.append(Node(one.address, gone=one))
    return top


def only_tasks(root: Task) -> Node:
    """Trio's tree from *root* as it is."""
    node = Node(root.actor or "" if _is_actor(root) else "", task=root)
    node.children.extend(only_tasks(child) for child in root.children)
    return node


def find(addresses: Iterable[str], wanted: str) -> list[str]:
    """Those of the *addresses* that *wanted* may mean; one, if all is well.

    That is the address itself, or its end, or a part of it; an ellipsis, as in `top`, stands for anything.
    """
    known = list(dict.fromkeys(addresses))
    part = re.escape(wanted).replace("…", ".*")
    for pattern in (part, f".*/{part}", f".*{part}.*"):
        found = [address for address in known if re.fullmatch(pattern, address)]
        if found:
            return found
    return []


def circles(waits: Iterable[Wait]) -> list[list[str]]:
    """The circles in which actors wait for each other; each begins with the address that sorts first.

    Also those through tasks beside their actors' handlers, which only a person can judge: the runtime refuses
    all others. Of these, to be no chance meeting, only waits of more than `LASTING` seconds.
    """
    waiting: dict[str, list[str]] = {}
    for wait in waits:
        if wait.waiter == wait.actor or wait.seconds >= LASTING:
            waiting.setdefault(wait.actor, []).append(wait.address)
    found: dict[frozenset[str], list[str]] = {}
    for start in waiting:
        circle = _way_back(start, waiting)
        if circle is not None:
            first = circle.index(min(circle))
            found.setdefault(frozenset(circle), circle[first:] + circle[:first])
    return list(found.values())


class _Join:
    def __init__(self, actors: Mapping[str, Actor], running: set[str]) -> None:
        self._actors = actors
        self._running = running
        self.places: dict[str, Node] = {}

    def grow(self, task: Task, within: str) -> Node:
        """The node of *task* and all below it; *within* is the address of the actor it runs in."""
        node = Node(task=task)
        if task.actor is not None and _is_actor(task):
            within = task.actor
            node.address, node.actor = within, self._actors.get(within)
            self.places[within] = node
        for child in task.children:
            above = node
            owner = child.actor
            if owner is not None and owner != within:
                holder = _parent(owner, self._actors) if _is_actor(child) else owner
                above = self._above(holder, node, within)
            above.children.append(self.grow(child, within))
        return node

    def place(self, address: str, top: Node) -> None:
        """See that the actor at *address* has a place; below its parent, or below *top*."""
        if address not in self.places:
            parent = self.places.get(_parent(address, self.places), top)
            node = self.places[address] = Node(address, self._actors[address])
            parent.children.append(node)

    def _above(self, address: str, node: Node, within: str) -> Node:
        """The node of *address*, an actor that has no task of its own, made below *node* if need be."""
        if not address or address == within or address in self._running or address not in self._actors:
            return node
        if address not in self.places:
            parent = self._above(_parent(address, self._actors), node, within)
            made = self.places[address] = Node(address, self._actors[address])
            parent.children.append(made)
        return self.places[address]


def _is_actor(task: Task) -> bool:
    """Whether *task* is its actor's own, and not a helper's."""
    return task.actor is not None and task.name == f"actor {task.actor}"


def _tasks(task: Task) -> Iterator[Task]:
    yield task
    for child in task.children:
        yield from _tasks(child)


def _parent(address: str, known: Mapping[str, object]) -> str:
    """The nearest address above *address* among the *known* ones, "" if there is none: names have slashes."""
    while "/" in address:
        address = address.rpartition("/")[0]
        if address in known:
            return address
    return ""


def _way_back(start: str, waiting: Mapping[str, list[str]]) -> list[str] | None:
    """The shortest way from *start* to itself."""
    came_from: dict[str, str] = {}
    edge = [start]
    for address in edge:
        for onward in waiting.get(address, ()):
            if onward == start:
                way = [address]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if onward not in came_from:
                came_from[onward] = address
                edge.append(onward)
    return None
