"""The HTTP application: its services, its routes, its rules for every request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import frozen
from quart import Blueprint, Response
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound

from actors import ActorRef, ActorSystem, Watchdog, origin
from server.messages import DirectoryMessage, PipelineInfo, RegistryMessage, StorageMessage
from server.protocol import OriginPolicy

from .admin import Traces, admin, guard_admin
from .connections import connections
from .cors import guard_origins
from .history import history
from .pipelines import pipelines
from .problems import handle_problems, problem, send_problem

Page = Callable[[str], tuple[bytes, str] | None]

# No route takes more than a broadcast's text.
MAX_BODY = 2**20
# A body that does not arrive in time must not hold its request for ever (hypercorn has no limit).
BODY_TIMEOUT = 10

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: https: http:; connect-src 'self' ws: wss:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@frozen
class Services:
    """Whom the routes ask.

    Attributes:
        system: All actors, to be looked at.
        draining: Set when the server begins to end.
        storage: Where history is read.
        drain: Begins the server's orderly end, as SIGTERM does; at once, and for the first call alone.
        watchdog: Which watches the loop that the routes run in, if one does.
    """

    registry: ActorRef[RegistryMessage]
    directory: ActorRef[DirectoryMessage]
    pipelines: Mapping[str, PipelineInfo]
    origins: OriginPolicy
    page: Page
    system: ActorSystem
    draining: trio.Event
    storage: ActorRef[StorageMessage]
    drain: Callable[[], None]
    watchdog: Watchdog | None = None


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
    guard_admin(app)
    guard_origins(app, services.origins)
    app.register_blueprint(pipelines(services.pipelines))
    app.register_blueprint(connections(services.registry, services.pipelines))
    app.register_blueprint(history(services.storage, services.directory, services.pipelines))
    traces = Traces(services.system, services.draining)
    app.register_blueprint(
        admin(services.system, services.watchdog, services.draining, services.drain, traces)
    )
    app.register_blueprint(_pages(services.page))
    return partial(_checked, traces.around(app))


async def _checked(app: AsgiApp, scope: Any, receive: Any, send: Any) -> None:
    """Pass requests on to *app*, but for those whose target or host no URL has, on which Quart fails."""
    if not _has_target(scope):
        await send_problem(send, problem(400, "bad_request", "Bad request target"))
    elif not _has_host(scope):
        await send_problem(send, problem(400, "bad_request", "Bad Host"))
    else:
        # What a request makes actors do can be followed back to it.
        with origin(_name(scope)):
            await app(scope, receive, send)


def _has_target(scope: Any) -> bool:
    try:
        return bool(urlsplit(scope["path"]).path)
    except ValueError:
        return False


def _has_host(scope: Any) -> bool:
    """Whether the host, if one is told, may be a name: IDNA has no label that is empty or too long."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    try:
        host.decode("latin-1").partition(":")[0].encode("idna")
    except UnicodeError:
        return False
    return True


def _name(scope: Any) -> str:
    """The request as traces and logs tell it: bounded, without its query, and as plain as it came."""
    path: str = scope["raw_path"].decode("ascii", "backslashreplace")
    return f"{scope['method'][:20]} {path[:200]}"


def _pages(page: Page) -> Blueprint:
    blueprint = Blueprint("pages", __name__)

    @blueprint.get("/", defaults={"name": "index.html"})
    @blueprint.get("/<name>")
    async def show(name: str) -> Response:
        found = page(name)
        if found is None:
            raise NotFound
        content, content_type = found
        return Response(content, content_type=content_type, headers=PAGE_HEADERS)

    return blueprint
