"""`GET /healthz` and `GET /readyz`: whether the server turns, and whether it is to be sent to."""

from __future__ import annotations

from collections.abc import Callable

import trio
from quart import Blueprint, Response

from actors import ActorSystem, State
from server.rest.problems import problem

Unready = tuple[str, str]
"""An error's code and text."""


def health(unready: Callable[[], Unready | None]) -> Blueprint:
    """The routes that tell of health; *unready* says why the server is not ready, or `None`."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    async def is_alive() -> Response:
        # That somebody got around to answering is the answer.
        return _ok()

    @blueprint.get("/readyz")
    async def is_ready() -> Response:
        why = unready()
        return _ok() if why is None else problem(503, *why)

    return blueprint


def _ok() -> Response:
    return Response("ok", content_type="text/plain; charset=utf-8")


def unready(system: ActorSystem, draining: trio.Event) -> Unready | None:
    """Why the server that *system* runs is not to be sent to, `None` if it is.

    It is ready when the root supervisor has started all its children and all of them are up.
    """
    if draining.is_set():
        return "restarting", "The server is ending"
    for address in system.addresses():
        if address.count("/") > 1:
            continue
        view = system.actor(address)
        if view is None or view.state in _down:
            return "starting", f"{address} is {'gone' if view is None else view.state.value}"
    return None if system.addresses() else ("starting", "Nothing runs")


_down = frozenset({State.STARTING, State.RESTARTING, State.STOPPING, State.GONE})
