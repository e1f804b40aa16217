"""`GET /api/v1/pipelines`: which pipelines there are."""

from __future__ import annotations

from collections.abc import Mapping

from quart import Blueprint, Response

from server.messages import PipelineInfo

from .problems import ok


def pipelines(known: Mapping[str, PipelineInfo]) -> Blueprint:
    """The routes over the configured pipelines."""
    blueprint = Blueprint("pipelines", __name__, url_prefix="/api/v1")

    @blueprint.get("/pipelines")
    async def list_pipelines() -> Response:
        return ok({"pipelines": [{"uuid": info.uuid, "name": info.name} for info in known.values()]})

    return blueprint
