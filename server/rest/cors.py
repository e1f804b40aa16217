"""Which pages may use the routes, and what their browsers are told. The same rule as for WebSockets."""

from __future__ import annotations

from typing import Any

from quart import Response, request
from quart_trio import QuartTrio

from server.protocol import OriginPolicy

from .problems import Problem, problem

# The last two are what the axios client of LangBot's dashboard adds to every call.
_headers = ("Authorization", "X-API-Key", "Content-Type", "X-LangBot-Language", "X-Workspace-Id")
_preflight = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": ", ".join(_headers),
    "Access-Control-Max-Age": "600",
}


def guard_origins(app: QuartTrio, origins: OriginPolicy) -> None:
    """Refuse foreign pages, answer preflights, and mark answers as readable for admitted ones."""

    @app.before_request
    async def refuse_foreign() -> Problem | Response | None:
        host = request.headers.get("Host")
        if host is not None and _loopback_only() and not origins.knows(host):
            return problem(421, "misdirected", "Unknown host: is its origin on the list cors.origins?")
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        if not _admits(origins, origin):
            return problem(403, "forbidden", "Origin not allowed")
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return Response(b"", status=204, headers=_preflight)
        return None

    @app.after_request
    async def mark_readable(response: Response) -> Response:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin is not None and _admits(origins, origin):
            response.headers["Access-Control-Allow-Origin"] = origin
        return response


def _admits(origins: OriginPolicy, origin: str) -> bool:
    return origins.admits(
        origin,
        scheme=request.scheme,
        host=request.headers.get("Host", ""),
        loopback_only=_loopback_only(),
    )


def _loopback_only() -> bool:
    extensions: dict[str, Any] = request.scope.get("extensions", {})
    listener = extensions.get("triologue.listener")
    return listener is not None and listener.loopback_only
