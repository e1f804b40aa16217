"""Listening sockets: bound before the application starts, listened on after.

So the application knows during its startup where it will be reached, and nobody reaches it too early.
"""

from __future__ import annotations

import resource
import socket
import ssl
import traceback
import warnings

import attrs
import structlog
import trio
from hypercorn.config import Config, Sockets, SocketTypeError
from hypercorn.utils import repr_socket_addr
from structlog.typing import FilteringBoundLogger

from .errors import StartupFailed
from .listener import is_loopback

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Files a server needs besides its connections: database, log, threads' pipes, the listeners themselves.
_SPARE_FILES = 256


@attrs.frozen
class BoundSockets:
    """Sockets that are bound, and the TLS context the secure ones are served with."""

    plain: tuple[socket.socket, ...]
    secure: tuple[socket.socket, ...]
    ssl_context: ssl.SSLContext | None

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(_address(sock) for sock in (*self.secure, *self.plain))

    @property
    def urls(self) -> list[str]:
        return [f"https://{_address(sock)}" for sock in self.secure] + [
            f"http://{_address(sock)}" for sock in self.plain
        ]

    @property
    def loopback_only(self) -> bool:
        return all(_is_loopback(sock) for sock in (*self.secure, *self.plain))

    def listen(self, backlog: int) -> None:
        """Let peers connect; they wait in the backlog until they are taken in.

        Raises:
            StartupFailed: Somebody else listens there.
        """
        for sock in (*self.secure, *self.plain):
            try:
                sock.listen(backlog)
            except OSError as error:
                raise StartupFailed(f"Cannot listen on {_address(sock)}: {_reason(error)}") from error

    def secure_listeners(self) -> list[trio.SSLListener[trio.SocketStream]]:
        """The secure sockets as trio's listeners, which own and close them."""
        listeners = []
        for sock in self.secure:
            assert self.ssl_context is not None
            plain = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            listeners.append(trio.SSLListener(plain, self.ssl_context, https_compatible=True))
        return listeners

    def close(self) -> None:
        for sock in (*self.secure, *self.plain):
            sock.close()


def bind(config: Config, sockets: Sockets | None) -> BoundSockets:
    """The sockets *config* asks for, or *sockets* where a parent process has bound them already.

    Raises:
        StartupFailed: An address cannot be had, or the certificate cannot be read.
    """
    # HTTP/2 is not offered: its way through hypercorn has faults of its own, and no client of ours needs it.
    config.alpn_protocols = ["http/1.1"]
    if (config.certfile is None) != (config.keyfile is None):
        # hypercorn would serve in the clear what was meant to be secret.
        raise StartupFailed("TLS needs both a certificate and its key")
    try:
        ssl_context = config.create_ssl_context()
    except (OSError, ValueError) as error:
        raise StartupFailed(f"Cannot use the certificate {config.certfile}: {_reason(error)}") from error
    if sockets is None:
        wanted = config.bind + config.insecure_bind
        try:
            sockets = config.create_sockets()
        except (OSError, ValueError, OverflowError, SocketTypeError) as error:
            failure = StartupFailed(f"Cannot listen on {', '.join(wanted)}: {_reason(error)}")
            with warnings.catch_warnings():
                # hypercorn leaves the socket it could not bind open, in its frame.
                warnings.simplefilter("ignore", ResourceWarning)
                traceback.clear_frames(error.__traceback__)
            raise failure from None
    bound = BoundSockets(tuple(sockets.insecure_sockets), tuple(sockets.secure_sockets), ssl_context)
    if sockets.quic_sockets:
        for sock in sockets.quic_sockets:
            sock.close()
        bound.close()
        raise StartupFailed("QUIC is not served: leave `quic_bind` out")
    return bound


def allow_open_files(connections: int) -> int:
    """How many of *connections* fit, once the soft limit of open files is raised as far as it may be.

    Most shells start a process with 1,024, which accept(2) would hit long before our own limit. If fewer fit
    than are wanted, that is logged.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    fitting = max(1, min(connections, wanted - _SPARE_FILES))
    if fitting < connections:
        _log.warning("too few open files are allowed", files=wanted, connections=fitting, wanted=connections)
    return fitting


def _address(sock: socket.socket) -> str:
    return repr_socket_addr(sock.family, sock.getsockname())


def _is_loopback(sock: socket.socket) -> bool:
    return sock.family == socket.AF_UNIX or is_loopback(sock.getsockname()[0])


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
