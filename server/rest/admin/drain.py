"""`POST /api/v1/admin/drain`: the server's orderly end, for whoever can't send it a signal."""

from __future__ import annotations

from collections.abc import Callable

from quart import Blueprint, Response

from server.rest.problems import accepted


def drain(begin: Callable[[], None]) -> Blueprint:
    """The route that calls *begin*, which changes nothing from the second call on."""
    blueprint = Blueprint("drain", __name__)

    @blueprint.post("/drain")
    async def begin_drain() -> Response:
        begin()
        return accepted({"draining": True})

    return blueprint
