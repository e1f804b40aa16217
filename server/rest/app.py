"""The HTTP application: its services, its routes, its rules for every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from quart import Blueprint, Response
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound

from actors import ActorRef
from server.messages import DirectoryMessage, PipelineInfo, RegistryMessage
from server.protocol import OriginPolicy

from .connections import connections
from .cors import guard_origins
from .history import history
from .pipelines import pipelines
from .problems import handle_problems

Page = Callable[[str], tuple[bytes, str] | None]

# No route takes more than a broadcast's text.
MAX_BODY = 2**20
# A body that does not arrive in time must not hold its request for ever (hypercorn has no limit).
BODY_TIMEOUT = 10

_page_headers = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: https: http:; connect-src 'self' ws: wss:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@frozen
class Services:
    """Whom the routes ask."""

    registry: ActorRef[RegistryMessage]
    directory: ActorRef[DirectoryMessage]
    pipelines: Mapping[str, PipelineInfo]
    origins: OriginPolicy
    page: Page


def create_app(services: Services) -> Any:
    """An ASGI application for HTTP requests."""
    app = QuartTrio("server.rest", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        BODY_TIMEOUT=BODY_TIMEOUT,
        RESPONSE_TIMEOUT=None,  # hypercorn's send deadline watches the peer
        PROPAGATE_EXCEPTIONS=False,
    )
    handle_problems(app)
    guard_origins(app, services.origins)
    app.register_blueprint(pipelines(services.pipelines))
    app.register_blueprint(connections(services.registry, services.pipelines))
    app.register_blueprint(history(services.directory, services.pipelines))
    app.register_blueprint(_pages(services.page))
    return app


def _pages(page: Page) -> Blueprint:
    blueprint = Blueprint("pages", __name__)

    @blueprint.get("/", defaults={"name": "index.html"})
    @blueprint.get("/<name>")
    async def show(name: str) -> Response:
        found = page(name)
        if found is None:
            raise NotFound
        content, content_type = found
        return Response(content, content_type=content_type, headers=_page_headers)

    return blueprint
