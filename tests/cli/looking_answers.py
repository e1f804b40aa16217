"""What a server may answer to those who look into it: the admin routes' JSON, built from small pieces."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType

from server.cli.looking.answers import Actors, Task, Tasks, check

HOST = "http://127.0.0.1:8000"
UUID = "3f2c9a1b-0000-4000-8000-{:012x}"

Json = dict[str, Any]


def message(kind: str = "Join", *, origin: int = 4, name: str = "frame message", **more: Any) -> Json:
    whole = {"kind": kind, "id": 17, "cause": 0, "sender": "", "age": 0.4, "seconds": 0.3}
    return {**whole, "origin": {"id": origin, "name": name, "labels": {"connection": "c1"}}, **more}


def actor(address: str, kind: str = "Registry", state: str = "idle", **more: Any) -> Json:
    whole: Json = {"address": address, "kind": kind, "state": state, "since": 1.2, "handling": None}
    whole |= {"queued": 0, "capacity": 256, "peak": 3, "oldest": 0.0}
    whole |= {"dropped": 0, "conflated": 0, "rejected": 0, "expired": 0}
    whole |= {"handled": 12, "busy": 0.01, "counts": {"Join": 4}, "restarts": 0, "crashes": [], "waits": []}
    return {**whole, **more}


def wait(waiter: str, address: str, *, what: str = "answer", kind: str = "GetStatistics") -> Json:
    return {"waiter": waiter, "address": address, "what": what, "kind": kind, "seconds": 3.2}


def gone(address: str, kind: str = "Reply", reason: str = "stopped: finished") -> Json:
    lived = {"handled": 3, "restarts": 0, "lived": 1.5}
    return {"address": address, "kind": kind, "ago": 2.0, "reason": reason, **lived}


def frame(file: str, line: int = 1, function: str = "run", code: str = "await trio.sleep(1)") -> Json:
    return {"file": file, "line": line, "function": function, "code": code}


def task(name: str, *children: Json, stack: tuple[Json, ...] = ()) -> Json:
    """A task; whose it is follows from its name, as in the server."""
    address = name.removeprefix("actor ").partition(": ")[0] if name.startswith("actor ") else None
    return {"id": 1, "name": name, "actor": address, "children": list(children), "stack": list(stack)}


def actors_json(*actors: Json, gone: tuple[Json, ...] = (), **more: Any) -> Json:
    whole = {"dead_letters": {"total": 0, "recent": []}, "holds": {"total": 0, "recent": []}}
    return {"actors": list(actors), "gone": list(gone), **whole, **more}


def actors(*found: Json, gone: tuple[Json, ...] = (), **more: Any) -> Actors:
    return check(HOST, actors_json(*found, gone=gone, **more), Actors)


def tree(*children: Json) -> Task:
    """A whole run of trio with these tasks in it."""
    return check(HOST, {"root": task("<Init>", *children)}, Tasks).root


def plain(view: RenderableType, width: int = 200) -> str:
    """What *view* looks like without colours, without the spaces at the ends of lines."""
    return _rendered(view, width, None)


def coloured(view: RenderableType, width: int = 200) -> str:
    """What a terminal is sent for *view*."""
    return _rendered(view, width, "truecolor")


def _rendered(view: RenderableType, width: int, colours: Any) -> str:
    file = io.StringIO()
    terminal = colours is not None
    Console(
        file=file, width=width, color_system=colours, force_terminal=terminal, markup=False, highlight=False
    ).print(view)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
