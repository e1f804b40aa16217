"""`triologue tree`: the actors of a running server in trio's tree of tasks, and what each is doing."""

from __future__ import annotations

import argparse
import json
from urllib.parse import quote

from .looking.admin import Admin, Unanswered, Unreachable, look
from .looking.answers import Actors, Details, Tasks, check
from .looking.join import Node, find, join, only_tasks
from .looking.terminal import make_console
from .looking.tree_view import Options, tree_view


def run(arguments: argparse.Namespace) -> int:
    """Print the tree that *arguments* ask for: 0, or 1 if it can't be had."""

    async def show(admin: Admin) -> int:
        query = {"stacks": "1"} if arguments.stacks or arguments.stack is not None else {}
        raw = {"actors": await admin.actors(), "tasks": await admin.get("tasks", **query)}
        if arguments.json:
            print(json.dumps(raw, indent=2))
            return 0
        actors = check(admin.host, raw["actors"], Actors)
        root = check(admin.host, raw["tasks"], Tasks).root
        top = only_tasks(root) if arguments.tasks else join(actors, root, gone=arguments.gone)
        named = [node for node in top.walk() if node.address and node.gone is None]
        stacks_of = [_one(named, arguments.stack).address] if arguments.stack else []
        details = {address: await _details(admin, address) for address in stacks_of}
        top = _one(named, arguments.address) if arguments.address else top
        options = Options(
            arguments.stacks, stacks_of, arguments.all, joined=not arguments.tasks, details=details
        )
        make_console().print(tree_view(top, actors, options, admin.host))
        return 0

    return look(arguments.url, show)


async def _details(admin: Admin, address: str) -> Details | None:
    """What else the actor at *address* tells; nothing if it is gone meanwhile."""
    try:
        answer = await admin.get(f"actors/{quote(address)}")
    except Unreachable:
        raise
    except Unanswered:
        return None
    return None if "gone" in answer else check(admin.host, answer, Details)


def _one(nodes: list[Node], wanted: str) -> Node:
    """The node of the one actor that *wanted* means.

    Raises:
        Unanswered: There is none, or there are several.
    """
    found = find((node.address for node in nodes), wanted)
    if len(found) == 1:
        return next(node for node in nodes if node.address == found[0])
    if not found:
        raise Unanswered(f"there is no actor {wanted!r}")
    some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
    raise Unanswered(f"{wanted!r} may be {len(found)} actors: {some}")
