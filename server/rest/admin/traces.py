"""`POST /api/v1/admin/traces`: what every task and actor does for a while, for a trace viewer to show."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

import trio
from quart import Blueprint, Response, request

from actors import ActorSystem, record
from server.rest.problems import problem, send_problem

SHORTEST = 0.1
LONGEST = 60.0

_number = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,9})?", re.ASCII)
# Of the trace's parts, some 40 kB each, how many are made and sent at a time.
_PARTS = 10

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class Traces:
    """Records one trace at a time, and none for longer than the server serves."""

    def __init__(self, system: ActorSystem, draining: trio.Event) -> None:
        self._system = system
        self._draining = draining
        # The scope of the request that is being answered with a trace.
        self._answering: Any = None

    def routes(self) -> Blueprint:
        """The route that records a trace."""
        blueprint = Blueprint("traces", __name__)

        @blueprint.post("/traces")
        async def make_trace() -> Response:
            seconds = parse_seconds(request.args.getlist("seconds"))
            if seconds is None:
                text = f"seconds must be given once, as a number from {SHORTEST:g} to {LONGEST:g}"
                return problem(400, "bad_request", text)
            if self._answering is not None:
                return problem(409, "conflict", "A trace is being recorded already")
            self._answering = request.scope
            recording = await record(self._system, seconds)
            return Response(_Body(recording.to_json()), content_type="application/json")

        return blueprint

    def around(self, app: AsgiApp) -> AsgiApp:
        """*app*, but a trace ends with the server, and however it ended, another may then be recorded."""

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            # By its end: a server may be told of a path in front of all of ours.
            if scope.get("path", "").endswith("/traces"):  # a lifespan has no path
                try:
                    await self._serve_until_end(app, scope, receive, send)
                finally:
                    if self._answering is scope:
                        self._answering = None
            else:
                await app(scope, receive, send)

        return serve

    async def _serve_until_end(self, app: AsgiApp, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def note_and_send(event: Any) -> None:
            nonlocal begun
            begun = True
            await send(event)

        async with trio.open_nursery() as either:
            either.start_soon(_cancel_after, self._draining, either.cancel_scope, name="http end of traces")
            await app(scope, receive, note_and_send)
            # Also if it sent nothing, because the client is gone.
            begun = True
            either.cancel_scope.cancel()
        if not begun:
            answer = problem(503, "restarting", "The server is ending")
            answer.headers["Cache-Control"] = "no-store"
            await send_problem(send, answer)


def parse_seconds(values: list[str]) -> float | None:
    """How long to record, from the query's *values*; `None` if they are none, several, or no good."""
    if len(values) != 1 or _number.fullmatch(values[0]) is None:
        return None
    seconds = float(values[0])
    return seconds if SHORTEST <= seconds <= LONGEST else None


class _Body:
    """The parts of a trace, made while they are sent: a long one is 100 MB, and some ten seconds of work."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._limiter = trio.CapacityLimiter(1)

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        # In a thread, which nobody need wait for if the client or the server goes: it only computes.
        part = await trio.to_thread.run_sync(  # noqa: TID251 - with a limiter of its own
            _join, self._parts, abandon_on_cancel=True, limiter=self._limiter
        )
        if not part:
            raise StopAsyncIteration
        return part


def _join(parts: Iterator[bytes]) -> bytes:
    return b"".join(islice(parts, _PARTS))


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
