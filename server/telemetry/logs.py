"""Log lines: to standard error, one record each, all of one shape.

Our rooms log with structlog: `log = structlog.get_logger(__name__)`, and `log.info("drained", sockets=5)`.
Their lines go to the standard library's loggers, where those of `actors`, hypercorn and other libraries are,
and from there, through one handler, into one of two forms:

    structlog ─► Line ─► logging ─► LogHandler ─► ProcessorFormatter: fields ─► form ─► Writer ─► stderr
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, WrappedLogger

from .activity import activity_fields
from .cleaning import EVENT, NAME, Cleaner, Json
from .forms import Form, as_json, for_people, plainly
from .writer import Writer

OURS = ("actors", "server")


class Line(dict[str, Any]):
    """What one structlog call said, as the message of a `logging.LogRecord`.

    Its text is for handlers that are not ours: an operator's own, pytest's, and the one of last resort.
    """

    cleaner: ClassVar[Cleaner] = Cleaner()

    def __str__(self) -> str:
        said = {key: value for key, value in self.items() if key not in ("event", "exc_info", "stack_info")}
        return plainly(self.cleaner.text(str(self.get("event", "")), EVENT), self.cleaner.fields(said))


def route_to_logging() -> None:
    """Send structlog's lines to the standard library's loggers, whose levels and handlers decide."""
    structlog.configure(
        processors=[_to_logging],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=logging.getLogger,
        cache_logger_on_first_use=False,
    )


def configure_logging(level: str, log_format: str = "auto", *, secrets: Iterable[str] = ()) -> None:
    """Send our log lines of *level* and above to standard error, unless somebody has set up logging.

    Args:
        level: debug, info, warning or error.
        log_format: json; human, with colours on a terminal; or auto: human on a terminal, else json.
        secrets: Texts that no line may hold.
    """
    route_to_logging()
    for ours in OURS:
        logging.getLogger(ours).setLevel(level.upper())
    structlog.configure(
        # A call below the level costs next to nothing; nothing changes the level of a running server.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    Line.cleaner = Cleaner(secrets)
    handler = next((known for known in logging.root.handlers if isinstance(known, LogHandler)), None)
    if handler is None:
        if logging.root.handlers:
            return
        handler = LogHandler(sys.stderr)
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.WARNING)
    handler.use(_form(log_format), Line.cleaner)


class LogHandler(logging.Handler):
    """Gives each record its form, and hands it to the thread that writes. Neither fails nor waits."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self.use(as_json, Cleaner())
        self._writer = Writer(stream, tell_lost=self._tell_lost)
        # The `hypercorn` command prints its own lines by itself.
        self.addFilter(lambda record: not record.name.startswith("hypercorn."))

    def use(self, form: Form, cleaner: Cleaner) -> None:
        """From now on write lines in this *form*."""
        self._form = form
        self.setFormatter(
            ProcessorFormatter(processors=[_fields_with(cleaner), lambda _, __, fields: form(dict(fields))])
        )

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._writer.lost

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            # A boundary: no call that logs may fail by what it logs.
            reason = type(error).__name__
            line = self._form(
                _head(record.created, record.levelname, record.name)
                | {"event": "a log line could not be made", "error": reason}
            )
        self._writer.put(line.encode(errors="backslashreplace") + b"\n")

    def flush(self) -> None:
        """Wait a second at most for what waits to be written. `logging` calls this when the process ends."""
        self._writer.flush()

    def _tell_lost(self, lines: int) -> bytes:
        fields = _head(time.time(), "WARNING", __name__) | {"event": "log lines were lost", "lines": lines}
        return self._form(fields).encode() + b"\n"


def _to_logging(logger: WrappedLogger, name: str, said: EventDict) -> tuple[tuple[Line], dict[str, Any]]:
    if exc_info := _exc_info(said.pop("exc_info", None)):
        said["exc_info"] = exc_info
    # The marks by which `ProcessorFormatter` knows structlog's records; and our caller is three frames up.
    extra = {"_logger": logger, "_name": name}
    return (Line(said),), {"exc_info": exc_info, "extra": extra, "stacklevel": 3}


def _exc_info(given: Any) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if not given:
        return None
    kind, error, trace = given if isinstance(given, tuple) and len(given) == 3 else sys.exc_info()
    return (kind, error, trace) if kind is not None and error is not None else None


def _fields_with(cleaner: Cleaner) -> Callable[[WrappedLogger, str, EventDict], dict[str, Json]]:
    def fields(_: WrappedLogger, __: str, said: EventDict) -> dict[str, Json]:
        record: logging.LogRecord = said.pop("_record")
        del said["_from_structlog"]
        event, exc_info, stack = (
            said.pop("event", ""),
            said.pop("exc_info", None),
            said.pop("stack_info", None),
        )
        made = _head(record.created, record.levelname, cleaner.text(record.name, NAME))
        made["event"] = cleaner.text(str(event), EVENT)
        for name, value in cleaner.fields({**activity_fields(), **said}).items():
            made.setdefault(name, value)
        if isinstance(stack, str):
            made["stack"] = cleaner.block(stack)
        if exc_info := _exc_info(exc_info):
            made["exception"] = cleaner.exception(exc_info)
        return made

    return fields


def _head(created: float, level: str, logger: str) -> dict[str, Json]:
    moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return {"timestamp": moment.replace("+00:00", "Z"), "level": level.lower(), "logger": logger}


def _form(log_format: str) -> Form:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if log_format == "human" or (log_format == "auto" and terminal):
        return for_people(colors=terminal and not os.environ.get("NO_COLOR"))
    return as_json
