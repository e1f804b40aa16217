"""Triologue as one ASGI application: its lifespan runs the actors, its other scopes go to their doors.

The root supervisor runs in the lifespan task itself, so the actors live exactly as long as the server does.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from actors import ActorSystem, Hold, Watchdog

from .assembly import Doors, Life, Root, listener_limits, open_storage, pipeline_specs
from .config import Config, ConfigError
from .deadline import Deadline
from .listener import Listener
from .ownership import DataDirectory, DirectoryError
from .storage import Execute, Store, StoreUnusable, in_threads
from .telemetry import SpanExport, configure_logging, export_spans

log: FilteringBoundLogger = structlog.get_logger(__name__)

# When replies have had their time, the process is gone within 5 s; a little of that is for the exit itself.
GRACE = 5.0 - 0.2
# How long the store may take to put its files in order at the end.
CLOSE_PATIENCE = 5.0


class Application:
    """Serves one configuration, once.

    Args:
        load_config: Called at the start of the lifespan; its `ConfigError` ends the start with one line.
        alone: Whether the process is this server's alone: then it ends in time, whatever hangs.
    """

    def __init__(self, load_config: Callable[[], Config], *, alone: bool = False) -> None:
        self._load_config = load_config
        self._alone = alone
        self._doors: Doors | None = None
        self.system = ActorSystem()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        assert self._doors is not None, "the server takes requests only after the lifespan's startup"
        door = self._doors.websocket if scope["type"] == "websocket" else self._doors.http
        await door(scope, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()  # lifespan.startup
        spans: SpanExport | None = None
        try:
            config = self._load_config()
            configure_logging(config.log_level, config.log_format, secrets=config.secrets)
            spans = export_spans(config.telemetry.otlp_endpoint, sample=config.telemetry.otlp_sample)
            specs = pipeline_specs(config)
            directory = await DataDirectory.claim(config.data_dir, on_wait=log.warning)
        except (ConfigError, DirectoryError, ValueError) as error:
            if spans is not None:
                await spans.aclose()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        # Blocks for as long as migrations take; the actors, and who looks at them, come afterwards.
        in_thread = in_threads(1)
        with directory, Watchdog(_report_hold) as watchdog:
            try:
                store = await in_thread(partial(open_storage, config))
            except StoreUnusable as error:
                if spans is not None:
                    await spans.aclose()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            listener: Listener | None = scope.get("extensions", {}).get("triologue.listener")
            drained = trio.Event()
            draining = listener.draining if listener is not None else trio.Event()
            if listener is not None:
                listener.limits = listener_limits(config)
                listener.drained = drained
                listener.hands_over = True
                self.system.pump = listener.pump
            deadline = Deadline(config.timeouts.drain + GRACE)

            def begin_to_end() -> None:
                directory.mark_draining()
                if self._alone:
                    deadline.begin()

            life = Life(
                system=self.system,
                watchdog=watchdog,
                drain=listener.terminate if listener is not None else draining.set,
                draining=draining,
                on_drain=begin_to_end,
                drained=drained.set,
                opened=partial(self._open, send),
                ended=receive,  # lifespan.shutdown
            )
            if spans is not None:
                self.system.attach(spans.observer)
            try:
                await self.system.run(lambda: Root(config, specs, store, life), name="triologue")
            finally:
                await _close(store, in_thread)
                deadline.met()
                if spans is not None:
                    await spans.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _open(self, send: Any, doors: Doors) -> None:
        self._doors = doors
        _spare_the_collector()
        await send({"type": "lifespan.startup.complete"})


async def _close(store: Store, in_thread: Execute) -> None:
    # Not cut off by whoever ends the program in a hurry: the next start would take it for a crash.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_PATIENCE):
        await in_thread(store.close)


def _report_hold(hold: Hold) -> None:
    """Say who kept everybody else waiting, and where in the code."""
    log.warning(
        "the loop was held",
        seconds=round(hold.seconds, 3),
        held_by=hold.actor,
        note=hold.note,
        stack=[f"{frame.file}:{frame.line} {frame.function}" for frame in hold.stack],
    )


def _spare_the_collector() -> None:
    """Keep garbage collections short, and full ones rare: with thousands of sockets one takes a second.

    What exists at the start stays to the end, so it need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    # What we leave behind is freed without the collector, so its work is to look at what is new and stays:
    # some hundred objects of each socket that comes, and of each message under way. As many as two hundred
    # messages have, which are soon over, are left alone; more take it nine milliseconds. What outlives that
    # it does not look at again before there were three million: that takes long, but ten thousand sockets
    # come without it, and what libraries leak in cycles is collected before it amounts to some hundred
    # megabytes.
    gc.set_threshold(30_000, 100, 9)
