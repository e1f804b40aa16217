"""Who may look inside the server: programs of this machine, and the server's own pages. Nobody else.

There are no credentials yet, so the request itself has to show that it comes from this machine. The sockets
tell that nobody else can connect; what comes through them may still be a page that somebody else wrote, in a
browser of this machine, or a stranger's request that a proxy passes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from attrs import field, frozen
from quart import Request, request
from quart_trio import QuartTrio

from server.protocol import normal_origin
from server.rest.problems import Problem, problem

BLUEPRINT = "admin"
PREFIX = "/api/v1/admin"
_PATHS = frozenset({PREFIX, "/metrics", "/healthz", "/readyz"})

# uri-host and port of RFC 9110, 7.2, as far as a name of this machine can look like that.
_host = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9.]+)(?::[0-9]{0,5})?", re.ASCII)

# What proxies add; some send none of these, and are told by nothing.
_PROXY_HEADERS = frozenset(
    {
        "forwarded",
        "via",
        "cdn-loop",
        "cf-ray",
        "fastly-client-ip",
        "fly-client-ip",
        "x-amzn-trace-id",
        "x-azure-clientip",
        "x-proxyuser-ip",
        "x-scheme",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
    }
)
_PROXY_PREFIXES = ("x-forwarded", "x-original-", "x-envoy-")

# What a page's form or ping can send without its browser asking us first.
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/ping"})


@frozen(kw_only=True)
class Asker:
    """A request, as far as it tells who asks. Of each header all values: a second one is a trick."""

    loopback_only: bool
    """Whether every listening socket is a loopback one."""
    target: str
    """The path; of a request to a proxy the whole URL."""
    scheme: str = "http"
    http_version: str = "1.1"
    method: str = "GET"
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    fetch_sites: Sequence[str] = ()
    content_types: Sequence[str] = ()
    header_names: frozenset[str] = field(factory=frozenset)
    """In lower case."""


def refusal(asker: Asker) -> str | None:
    """Why *asker* may not look inside, in one line; `None` if it may."""
    if not asker.loopback_only:
        return "Only while every listening socket is a loopback one"
    proxy = _sign_of_proxy(asker)
    if proxy is not None:
        return f"Not through a proxy ({proxy}): through one, everybody would look local"
    if len(asker.hosts) != 1 or not is_loopback_host(asker.hosts[0]):
        return "Only under a loopback name: localhost, 127.0.0.1 or [::1]"
    if asker.origins and not _is_own(asker):
        return "Only for the server's own pages"
    if any(site not in ("same-origin", "none") for site in asker.fetch_sites):
        return "Only for the server's own pages, says Sec-Fetch-Site"
    if asker.method not in ("GET", "HEAD", "OPTIONS") and any(map(_is_form, asker.content_types)):
        # Browsers of before 2020 sent a form to another site without a word about where it came from.
        return "Not from a form: send no content type"
    return None


def is_loopback_host(host: str) -> bool:
    """Whether *host*, a `Host` header, is `localhost`, in 127.0.0.0/8, or `[::1]`, with any port or none.

    Other names and spellings of this machine are refused: a name may be looked up somewhere else (DNS
    rebinding), and what stands for an address in one place is a name in another.
    """
    match = _host.fullmatch(host)
    if match is None:
        return False
    name = match["name"]
    try:
        if name.startswith("["):
            return IPv6Address(name[1:-1]) == IPv6Address("::1")
        return name.lower() == "localhost" or IPv4Address(name).is_loopback
    except AddressValueError:
        return False


def guard_admin(app: QuartTrio) -> None:
    """Have *app* answer 403 to whoever may not look inside; nobody may keep what the others are answered.

    Register it before other rules: what is not to be seen is not to be negotiated either.
    """

    @app.before_request
    async def refuse() -> Problem | None:
        if not _is_inside(request):
            return None
        why = refusal(_asker(request))
        return None if why is None else problem(403, "forbidden", why)

    @app.after_request
    async def forget(response: Any) -> Any:
        if _is_inside(request):
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _is_inside(asked: Request) -> bool:
    """By its path, and by the route it found: so no spelling of a path gets around this."""
    path = asked.path
    return path in _PATHS or path.startswith(f"{PREFIX}/") or BLUEPRINT in asked.blueprints


def _asker(asked: Request) -> Asker:
    headers = asked.headers
    extensions: dict[str, Any] = asked.scope.get("extensions") or {}
    listener = extensions.get("triologue.listener")
    return Asker(
        loopback_only=listener is not None and bool(listener.loopback_only),
        target=asked.scope["path"],
        scheme=asked.scheme,
        http_version=asked.http_version,
        method=asked.method,
        hosts=headers.getlist("Host"),
        origins=headers.getlist("Origin"),
        fetch_sites=headers.getlist("Sec-Fetch-Site"),
        content_types=headers.getlist("Content-Type"),
        header_names=frozenset(name.lower() for name, _ in headers.items()),
    )


def _sign_of_proxy(asker: Asker) -> str | None:
    if not asker.target.startswith("/"):
        return "the request names a whole URL"
    if asker.http_version == "1.0":
        # What nginx speaks to a server unless told otherwise, and without any header of a proxy.
        return "the request is HTTP/1.0"
    for name in sorted(name.replace("_", "-") for name in asker.header_names):
        if name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIXES):
            return f"the request has a header {name}"
    return None


def _is_own(asker: Asker) -> bool:
    own = normal_origin(f"{asker.scheme}://{asker.hosts[0]}")
    return len(asker.origins) == 1 and own is not None and normal_origin(asker.origins[0]) == own


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in _FORMS
