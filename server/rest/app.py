"""The HTTP application: its services, its routes, its rules for every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

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
from .problems import handle_problems, problem

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


AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


def create_app(services: Services) -> AsgiApp:
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
    return partial(_checked, app)


async def _checked(app: QuartTrio, scope: Any, receive: Any, send: Any) -> None:
    """Pass requests on to *app*, but for those whose target no URL has, on which Quart fails."""
    try:
        target = urlsplit(scope["path"])
    except ValueError:
        target = None
    if target is None or not target.path:
        answer = problem(400, "bad_request", "Bad request target")
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": await answer.get_data(as_text=False)})
    else:
        await app(scope, receive, send)


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
