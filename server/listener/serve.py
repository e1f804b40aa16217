"""Serving: from sockets to a drained end. Replaces `hypercorn.trio.run.worker_serve`.

bind → lifespan startup → listen, accept → termination → drain → abort the rest → lifespan shutdown

Termination during the startup ends it there and then.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import randint
from typing import Any

import attrs
import hypercorn.trio.run
import structlog
import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import repr_socket_addr, wrap_app
from structlog.typing import FilteringBoundLogger

from .accepting import accept
from .connection import Connection, Stream, socket_of
from .errors import StartupFailed, leaves
from .hand_over import Arrival
from .lifespan import GuardedLifespan
from .listener import Listener
from .raw_socket import RawSocket
from .readiness import readiness
from .sockets import BoundSockets, allow_open_files, bind

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Seconds, on top of the drain, for goodbyes that are under way.
_GRACE = 3.0

Trigger = Callable[..., Awaitable[None]]


async def serve(
    app: AppWrapper,
    config: Config,
    *,
    sockets: Sockets | None = None,
    shutdown_trigger: Trigger | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *app* until SIGTERM, SIGINT, *shutdown_trigger* or `Listener.terminate`; then drain and return.

    Signature and behaviour of hypercorn's `worker_serve`, without its faults. *task_status* starts with the
    URLs bound to. After a second SIGINT or SIGTERM nobody is waited for.

    Raises:
        SystemExit: With one line, if the server could not start; with nothing, if it was told to end before
            it had started; with 1, if the application's lifespan ended while serving (which is logged).
    """
    failure: str | int | None = None
    try:
        bound = bind(config, sockets)
        try:
            crashed = await _Server(app, config, bound, shutdown_trigger).run(task_status)
        finally:
            bound.close()
        failure = 1 if crashed else None
    except StartupFailed as error:
        failure = str(error)
    except BaseExceptionGroup as group:
        for leaf in leaves(group):
            if isinstance(leaf, StartupFailed):
                failure = str(leaf)
                break
            if isinstance(leaf, (SystemExit, KeyboardInterrupt)):
                # The interpreter prints a group that holds it as a traceback, and exits 1.
                raise leaf from None
        else:
            raise
    if failure is not None:
        raise SystemExit(failure)


def install() -> None:
    """Have the `hypercorn` command serve as `serve` does. Call it in the worker process, on import."""
    hypercorn.trio.run.worker_serve = serve


async def run(
    app: ASGIFramework,
    *,
    bind: Sequence[str],
    certfile: str | None = None,
    keyfile: str | None = None,
    backlog: int = 1024,
    shutdown_trigger: Trigger | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the ASGI 3 *app* at *bind* (`host:port`, port 0 for any free one, `unix:path`, `fd://n`).

    *task_status* starts with the URLs bound to. Otherwise as `serve`.
    """
    config = Config()
    config.bind = list(bind)
    config.certfile, config.keyfile = certfile, keyfile
    config.backlog = backlog
    config.worker_class = "trio"
    config.errorlog = logging.getLogger("server.listener")
    config.loglevel = "WARNING"
    config.include_server_header = False
    await serve(
        wrap_app(app, config.wsgi_max_body_size, "asgi"),
        config,
        shutdown_trigger=shutdown_trigger,
        task_status=task_status,
    )


@attrs.define(eq=False)
class _NamedStarter:
    """What `trio.serve_listeners` starts handlers in: a nursery that gives each task its peer's name."""

    nursery: trio.Nursery

    def start_soon(self, run: Callable[..., Awaitable[object]], stream: Any, handler: Any) -> None:
        self.nursery.start_soon(run, stream, handler, name=f"listener connection {_peer(stream)}")


class _Server:
    """One call of `serve`."""

    def __init__(
        self, app: AppWrapper, config: Config, bound: BoundSockets, shutdown_trigger: Trigger | None
    ) -> None:
        # Pings are ours: hypercorn's wait for no answer (fault 10).
        config.websocket_ping_interval = None
        if config.accesslog is not None:
            # Its lines can be forged by `%0a` in a path, and show query strings (fault 11).
            _log.warning("hypercorn's access log is not safe, and stays off")
            config.accesslog = None
        self._config = config
        self._bound = bound
        self._trigger = shutdown_trigger
        self._listener = Listener(bound.addresses, bound.loopback_only)
        self._hurry = trio.Event()
        self._readiness = readiness()
        if self._readiness is not None:
            self._listener.pump = self._readiness.pump
        self._state: LifespanState = {}
        self._context = WorkerContext(_max_requests(config))
        self._app = _offer(self._listener, app)
        self._lifespan = GuardedLifespan(self._app, config, self._state)

    async def run(self, task_status: trio.TaskStatus[list[str]]) -> bool:
        """Serve to the end; whether the application crashed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lifespan.handle_lifespan, name="lifespan")
            if threading.current_thread() is threading.main_thread():
                await nursery.start(self._watch_signals, name="listener signals")
            for wait in (self._trigger, self._context.terminate.wait):
                if wait is not None:
                    nursery.start_soon(self._terminate_after, wait, name="listener trigger")
            if not await self._start():
                self._lifespan.give_up()
                # Returning would be an error to whoever waits for `task_status`.
                raise SystemExit
            nursery.start_soon(self._watch_lifespan, name="listener lifespan")
            if self._readiness is not None:
                nursery.start_soon(self._readiness.run, name="listener readiness")
            try:
                await self._serve(nursery, task_status)
            finally:
                crashed = self._lifespan.crashed
                await self._lifespan.stop()
            nursery.cancel_scope.cancel()
        return crashed

    async def _start(self) -> bool:
        """Have the application start, unless the end comes first; whether it did."""
        started = False
        async with trio.open_nursery() as racing:

            async def watch_termination() -> None:
                await self._listener.wait_terminating()
                racing.cancel_scope.cancel()

            racing.start_soon(watch_termination, name="listener startup")
            await self._lifespan.start()
            started = True
            racing.cancel_scope.cancel()
        return started

    async def _serve(self, outer: trio.Nursery, task_status: trio.TaskStatus[list[str]]) -> None:
        limits = self._listener.limits
        fitting = allow_open_files(limits.connections)
        self._listener.limits = attrs.evolve(limits, connections=fitting)
        self._bound.listen(self._config.backlog)
        patience = trio.CancelScope()
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(self._accept, connections, name="listener accept")
                    for url in self._bound.urls:
                        await self._config.log.info(f"Running on {url} (CTRL + C to quit)")
                    task_status.started(self._bound.urls)
                    await self._listener.wait_terminating()
                    accepting.cancel_scope.cancel()
            except BaseException:
                # Senders are shielded: cancelling alone would wait for peers that do not read.
                self._listener.abort_connections()
                raise
            await self._context.terminated.set()
            self._listener.start_draining()
            outer.start_soon(self._end_drain, connections.cancel_scope, patience, name="listener drain")
        with patience:
            await self._wait_drained()

    async def _wait_drained(self) -> None:
        """Wait for work of the application that needs no connection, unless the application is gone."""
        drained = self._listener.drained
        if drained is None:
            return
        async with trio.open_nursery() as either:

            async def end_after(event: trio.Event) -> None:
                await event.wait()
                either.cancel_scope.cancel()

            either.start_soon(end_after, drained, name="listener drained")
            either.start_soon(end_after, self._lifespan.ended, name="listener drained")

    async def _accept(self, connections: trio.Nursery) -> None:
        starter: Any = _NamedStarter(connections)
        async with trio.open_nursery() as accepting:
            if secure := self._bound.secure_listeners():
                serve = partial(trio.serve_listeners, self._serve_stream, secure, handler_nursery=starter)
                accepting.start_soon(serve, name="listener accept")
            for sock in self._bound.plain:

                def begin(accepted: socket.socket, peer: Any, family: int = sock.family) -> None:
                    name = f"listener connection {repr_socket_addr(family, peer)}"
                    connections.start_soon(self._serve_plain, accepted, peer, name=name)

                accepting.start_soon(accept, sock, begin, name="listener accept")

    async def _serve_plain(self, accepted: socket.socket, peer: Any) -> None:
        first, listener = b"", self._listener
        if listener.hands_over and not listener.full:
            raw = RawSocket(accepted, self._readiness)
            first = await Arrival(self._app, self._context, self._state.copy(), listener, raw, peer).run()
            if not first:
                return
            accepted = socket.socket(raw.family, raw.type, raw.proto, fileno=raw.detach())
        await self._serve_stream(trio.SocketStream(trio.socket.from_stdlib_socket(accepted)), first)

    async def _serve_stream(self, stream: Stream, first: bytes = b"") -> None:
        state = ConnectionState(self._state.copy())
        await Connection(self._app, self._config, self._context, state, self._listener, stream, first).run()

    async def _end_drain(self, connections: trio.CancelScope, patience: trio.CancelScope) -> None:
        with trio.move_on_after(self._listener.limits.drain + _GRACE):
            await self._hurry.wait()
        connections.cancel()
        patience.cancel()
        # A peer that stopped reading would hold its shielded sender, and us, for ever (fault 2).
        self._listener.abort_connections()

    async def _terminate_after(self, wait: Trigger) -> None:
        await wait()
        self._listener.terminate()

    async def _watch_lifespan(self) -> None:
        await self._lifespan.ended.wait()
        if self._lifespan.crashed:
            # Without its root the application only looks alive (fault 5).
            self._listener.terminate()

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Terminate on the first signal, hurry on the next.

        systemd signals the whole process group, which killed the worker before its lifespan ended (fault 4).
        """
        signalled = False
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                # The first changes nothing if it drains already: an orchestrator drains, then signals.
                if not signalled:
                    signalled = True
                    self._listener.terminate()
                # hypercorn's parent sends a SIGTERM of its own once another worker is done: no impatience.
                elif number == signal.SIGINT or self._trigger is None:
                    self._hurry.set()


def _offer(listener: Listener, app: AppWrapper) -> AppWrapper:
    async def offering(
        scope: Any, receive: Any, send: Any, sync_spawn: Callable[..., Any], call_soon: Callable[..., Any]
    ) -> None:
        scope.setdefault("extensions", {})["triologue.listener"] = listener
        await app(scope, receive, send, sync_spawn, call_soon)

    return offering


def _peer(stream: Stream) -> str:
    try:
        sock = socket_of(stream)
        return repr_socket_addr(sock.family, sock.getpeername())
    except OSError:
        return "gone already"


def _max_requests(config: Config) -> int | None:
    if config.max_requests is None:
        return None
    return config.max_requests + randint(0, config.max_requests_jitter)
