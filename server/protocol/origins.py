"""Which web pages may talk to this server. Clients that are no browsers send no `Origin` and always may."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import frozen

_default_ports = {"http": 80, "https": 443}


def normal_origin(origin: str) -> str | None:
    """*origin* as `scheme://host[:port]` in lower case, without a default port; `None` if it is none."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in origin:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None or port == _default_ports.get(parts.scheme):
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


@frozen
class OriginPolicy:
    """Admits the server's own origin, the listed ones, and loopback ones while bound to loopback."""

    allowed: frozenset[str] = frozenset()

    def admits(self, origin: str, *, scheme: str, host: str, loopback_only: bool) -> bool:
        """Whether a page of *origin* may talk to the server.

        Args:
            origin: The `Origin` header.
            scheme: `http` or `https`, as the request came in.
            host: The `Host` header of the request.
            loopback_only: Whether every listening socket is a loopback one.
        """
        normal = normal_origin(origin)
        if normal is None:
            return False
        if normal in self.allowed:
            return True
        if loopback_only:
            # Without looking at `Host`: a name that an attacker points at 127.0.0.1 (DNS rebinding) makes
            # his page's origin equal to it.
            return _is_loopback(urlsplit(normal).hostname or "")
        return normal == normal_origin(f"{scheme}://{host}")

    def knows(self, host: str) -> bool:
        """Whether *host*, a `Host` header, is a name under which a server bound to loopback is asked for.

        A page of any other name reached it by DNS rebinding. Browsers send no `Origin` with a page's own GET.
        """
        normal = normal_origin(f"http://{host}")
        name = urlsplit(normal).hostname if normal is not None else None
        return name is not None and (
            _is_loopback(name) or any(urlsplit(allowed).hostname == name for allowed in self.allowed)
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
