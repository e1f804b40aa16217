"""The envelope around every answer, and how failures look in it.

{"code": 0, "msg": "ok", "data": …}        {"code": -1, "msg": …, "error": code}
"""

from __future__ import annotations

from typing import Any

import orjson
import structlog
from quart import Response
from quart_trio import QuartTrio
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException

from actors import ActorError
from server.chat import Refusal, StoreFailing

log: FilteringBoundLogger = structlog.get_logger(__name__)

Problem = Response

_codes = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_large"}


def ok(data: Any) -> Response:
    """A success."""
    return _json(200, {"code": 0, "msg": "ok", "data": data})


def accepted(data: Any) -> Response:
    """A success that is still going on."""
    return _json(202, {"code": 0, "msg": "ok", "data": data})


def problem(status: int, error: str, text: str) -> Problem:
    """A failure: *error* for programs, *text* for people."""
    return _json(status, {"code": -1, "msg": text, "error": error})


async def send_problem(send: Any, answer: Problem) -> None:
    """Send *answer* where no framework does."""
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": await answer.get_data(as_text=False)})


def handle_problems(app: QuartTrio) -> None:
    """Give every failure of *app* its envelope, those of the framework included."""

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Problem:
        status = error.code or 500
        answer = problem(status, _codes.get(status, "refused"), error.name)
        for name, value in error.get_headers():
            if name == "Allow":
                answer.headers[name] = value
        return answer

    @app.errorhandler(StoreFailing)
    async def without_store(error: StoreFailing) -> Problem:
        # Its own text speaks of a message that was being sent.
        return problem(503, error.code, "The store can't be reached right now")

    @app.errorhandler(Refusal)
    async def declined(error: Refusal) -> Problem:
        return problem(503 if error.retry else 409, error.code, error.text)

    @app.errorhandler(ActorError)
    async def unanswered(error: ActorError) -> Problem:
        log.error("no answer for a request", error=error)
        return problem(503, "unavailable", "The server could not answer right now")

    @app.errorhandler(Exception)
    async def failed(error: Exception) -> Problem:
        # A boundary: whatever a route raised ends here, and only its own client hears of it.
        log.error("a route failed", exc_info=error)
        return problem(500, "internal", "Internal error")


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), status=status, content_type="application/json")
