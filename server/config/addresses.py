"""Rules for keys that name a place on the network."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import ClassVar
from urllib.parse import urlsplit

from attrs import frozen

from .errors import Unacceptable
from .rules import Rule

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


@frozen
class HostPort(Rule):
    """Where to listen: `host:port`, or `[v6]:port`; port 0 lets the system choose."""

    expected: ClassVar[str] = "host:port"

    def check(self, raw: object) -> str:
        if isinstance(raw, str):
            host, _, port = raw.rpartition(":")
            if _PORT.fullmatch(port) and int(port) <= 65535 and _is_host(host):
                return raw
        raise self.refuse(raw)


@frozen
class Origins(Rule):
    """Exact origins (RFC 6454) in the form browsers send: lower case, without a scheme's own port."""

    expected: ClassVar[str] = "a list of origins, each scheme://host or scheme://host:port"
    _one: ClassVar[str] = "an exact origin: scheme://host or scheme://host:port, without a path"

    def check(self, raw: object) -> tuple[str, ...]:
        if not isinstance(raw, list):
            raise self.refuse(raw)
        origins = []
        for index, item in enumerate(raw):
            origin = self._normal(item)
            if origin is None:
                raise Unacceptable(self.show(item), self._one, (index,))
            origins.append(origin)
        return tuple(dict.fromkeys(origins))

    def read(self, text: str) -> object:
        return [item.strip() for item in text.split(",")] if text.strip() else []

    @staticmethod
    def _normal(raw: object) -> str | None:
        if not isinstance(raw, str):
            return None
        scheme, separator, authority = raw.lower().partition("://")
        host, port = authority, ""
        if (with_port := re.fullmatch(r"(.*):([0-9]*)", authority, re.ASCII)) and not authority.endswith("]"):
            host, port = with_port[1], with_port[2]
            if not (_PORT.fullmatch(port) and 0 < int(port) <= 65535):
                return None
            port = str(int(port))
        if not (separator and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme, re.ASCII) and _is_host(host)):
            return None
        default = {"http": "80", "https": "443"}.get(scheme)
        return f"{scheme}://{host}" + (f":{port}" if port and port != default else "")


@frozen
class HttpUrl(Rule):
    """An address of the web; it may carry `user:password@`, which is never printed. "" only for `empty`."""

    empty: bool = False

    @property
    def expected(self) -> str:
        return "an http:// or https:// address" + (", or nothing" if self.empty else "")

    def check(self, raw: object) -> str:
        if raw == "" and self.empty:
            return ""
        # Checked first because urlsplit silently takes line ends and tabs out.
        if isinstance(raw, str) and raw.isprintable() and " " not in raw:
            try:
                parts = urlsplit(raw)
                # `.port` raises when it is no port.
                if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                    return raw
            except ValueError:
                pass
        raise self.refuse(raw)


@frozen
class StoreUrl(Rule):
    """A database as SQLAlchemy names it: a file of SQLite's, or PostgreSQL; "" is for the default."""

    expected: ClassVar[str] = "sqlite:///path, or postgresql://user:password@host/name, or nothing"

    def check(self, raw: object) -> str:
        if raw == "":
            return ""
        if isinstance(raw, str) and raw.isprintable():
            scheme, separator, rest = raw.partition("://")
            if separator and scheme == "sqlite":
                # Not SQLite's names for a database in memory, and no options: those are the store's.
                if rest[:1] == "/" and len(rest) > 1 and "?" not in rest and not rest.endswith(":memory:"):
                    return raw
            elif separator and scheme in ("postgresql", "postgresql+psycopg") and self._names_one(raw):
                return raw
        raise self.refuse(raw)

    @staticmethod
    def _names_one(raw: str) -> bool:
        try:
            parts = urlsplit(raw)
            # `.port` raises when it is no port. Without a host it is this machine's, or one of the options'.
            return " " not in raw and parts.port != 0 and len(parts.path) > 1
        except ValueError:
            return False


def split_host_port(bind: str) -> tuple[str, int]:
    """Host (a v6 address without its brackets) and port of a *bind* that `HostPort` let through."""
    host, _, port = bind.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None and ".." not in host
