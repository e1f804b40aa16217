"""The application's lifespan task: the root of everything it runs.

Its end is the end of the server, which hypercorn does not see so (fault 5).
"""

from __future__ import annotations

import contextlib
from typing import Any

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan, UnexpectedMessageError
from hypercorn.typing import AppWrapper, LifespanState
from structlog.typing import FilteringBoundLogger

from .app_task import no_threads
from .errors import StartupFailed, leaves

_log: FilteringBoundLogger = structlog.get_logger(__name__)

# Seconds; what is not saved by then is saved by nobody, for a service manager waits no longer either.
SHUTDOWN_TIMEOUT = 1.5
# hypercorn's own is 60 s, which an application may well spend waiting for its predecessor to finish.
STARTUP_TIMEOUT = 120.0


class GuardedLifespan(Lifespan):
    """hypercorn's lifespan, which never raises into the application and never lets it die unnoticed."""

    def __init__(self, app: AppWrapper, config: Config, state: LifespanState) -> None:
        super().__init__(app, config, state)
        self.ended = trio.Event()
        self._complete = False
        self._stopping = False
        self._failure: str | None = None
        self._error: BaseException | None = None

    @property
    def crashed(self) -> bool:
        """Whether the application's root task is gone though nobody asked it to go."""
        return self._complete and self.ended.is_set() and not self._stopping

    async def handle_lifespan(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the application's lifespan until it ends, whatever way; `crashed` and `start` tell which."""
        task_status.started()
        scope: Any = {
            "type": "lifespan",
            "asgi": {"spec_version": "2.0", "version": "3.0"},
            "state": self.state,
        }
        try:
            try:
                await self.app(scope, self.asgi_receive, self.asgi_send, no_threads, no_threads)
            except BaseException as error:
                self._stopping |= any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error))
                raise
        # A boundary: what the application raises is told to the operator, once, by whoever waits for it.
        except* Exception as group:
            inner = leaves(group)
            self._error = inner[0] if len(inner) == 1 else group
        finally:
            if self._complete and not self._stopping:
                _log.error("the application's lifespan ended while serving", exc_info=self._error)
            elif self._stopping and self._error is not None:
                _log.error("the application failed while shutting down", exc_info=self._error)
            self.startup.set()
            self.shutdown.set()
            self.ended.set()
            self.app_send_channel.close()
            self.app_receive_channel.close()

    async def start(self) -> None:
        """Have the application start; an application that does not speak lifespan is started at once.

        Raises:
            StartupFailed: It said so, raised, or took longer than 120 s, or what hypercorn is configured to
                allow if that is more.
        """
        patience = max(STARTUP_TIMEOUT, self.config.startup_timeout)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.app_send_channel.send({"type": "lifespan.startup"})
        with trio.move_on_after(patience):
            await self.startup.wait()
        if self._failure is not None:
            with trio.move_on_after(SHUTDOWN_TIMEOUT):
                # It may have begun things that it now puts away.
                await self.ended.wait()
            raise StartupFailed(self._failure or "The application failed to start")
        if self._error is not None and not self._complete:
            _log.debug("the application failed to start", exc_info=self._error)
            raise StartupFailed(f"The application failed to start: {_line(self._error)}")
        if not self.startup.is_set():
            raise StartupFailed(f"The application did not start within {patience:g} s")

    def give_up(self) -> None:
        """Expect nothing more of an application that will be cancelled while it starts."""
        self._stopping = True

    async def stop(self) -> None:
        """Have the application shut down, for a bounded time."""
        self._stopping = True
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            with trio.move_on_after(SHUTDOWN_TIMEOUT) as waiting:
                await self.app_send_channel.send({"type": "lifespan.shutdown"})
                await self.shutdown.wait()
            if waiting.cancelled_caught:
                _log.error("the application did not shut down within its time", seconds=SHUTDOWN_TIMEOUT)

    async def asgi_send(self, message: Any) -> None:
        # hypercorn raises into the application where a failure is reported, which then reports that.
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._complete = True
            self.startup.set()
        elif kind == "lifespan.startup.failed":
            self._failure = message.get("message", "")
            self.startup.set()
        elif kind == "lifespan.shutdown.complete":
            self.shutdown.set()
        elif kind == "lifespan.shutdown.failed":
            _log.error("the application failed while shutting down", reason=message.get("message", ""))
            self.shutdown.set()
        else:
            raise UnexpectedMessageError(kind)
        await trio.lowlevel.checkpoint()


def _line(error: BaseException) -> str:
    return "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(error))
