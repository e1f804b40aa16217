"""Who is connected, and a word to all of them."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from quart import Blueprint, Response, request

from actors import ActorRef
from server.messages import Broadcast, GetStatistics, PipelineInfo, RegistryMessage
from server.protocol import timestamp

from .problems import ok, problem

# A broadcast to a full server lets others run in between, so it takes its time.
PATIENCE = 30.0


def connections(registry: ActorRef[RegistryMessage], pipelines: Mapping[str, PipelineInfo]) -> Blueprint:
    """The routes over the connections of a pipeline."""
    blueprint = Blueprint("connections", __name__, url_prefix="/api/v1/pipelines/<uuid>/ws")

    @blueprint.get("/connections")
    async def list_connections(uuid: str) -> Response:
        if uuid not in pipelines:
            return problem(404, "not_found", "Pipeline not found")
        statistics = await registry.ask(GetStatistics(uuid), timeout=PATIENCE)
        return ok(
            {
                "stats": {
                    "total_connections": statistics.total_connections,
                    "pipelines": len(statistics.connections_by_pipeline),
                    "connections_by_pipeline": dict(statistics.connections_by_pipeline),
                    "connections_by_session_type": dict(statistics.connections_by_session_type),
                },
                "connections": [
                    {
                        "connection_id": status.connection_id,
                        "session_type": status.session_type,
                        "created_at": timestamp(status.created_at),
                        "last_active": timestamp(status.last_active),
                        "is_active": status.is_active,
                    }
                    for status in statistics.connections
                ],
            }
        )

    @blueprint.post("/broadcast")
    async def broadcast(uuid: str) -> Response:
        if uuid not in pipelines:
            return problem(404, "not_found", "Pipeline not found")
        try:
            # Whatever its content type says: the document's clients do not all set it.
            body = orjson.loads(await request.get_data())
        except (orjson.JSONDecodeError, RecursionError):
            return problem(400, "bad_request", "message is required")
        text = body.get("message") if isinstance(body, dict) else None
        if not text:
            return problem(400, "bad_request", "message is required")
        if not isinstance(text, str):
            return problem(400, "bad_request", "message must be a string")
        await registry.ask(Broadcast(uuid, text), timeout=PATIENCE)
        return ok({"message": "Broadcast sent successfully"})

    return blueprint
