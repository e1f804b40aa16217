"""A handler whose lines a test can read, and loggers that lead to it and nowhere else."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from server.telemetry import logs
from server.telemetry.cleaning import Cleaner
from server.telemetry.forms import Form, as_json


class Sheet:
    """What was written since it was last asked, by `log`, structlog's, or `plain`, the standard library's."""

    def __init__(
        self, form: Form = as_json, *, secrets: Iterable[str] = (), level: int = logging.DEBUG
    ) -> None:
        self._stream = io.StringIO()
        self._handler = logs.LogHandler(self._stream)
        self._handler.use(form, Cleaner(secrets))
        # Not known to `logging`, so that no other handler hears it, and it is gone with the test.
        self.plain = logging.Logger("server.test", level)
        self.plain.addHandler(self._handler)
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            self.plain,
            processors=[logs._to_logging],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )

    def text(self) -> str:
        """All that was written."""
        assert self._handler._writer.flush(10)
        text = self._stream.getvalue()
        self._stream.seek(0)
        self._stream.truncate()
        return text

    def record(self) -> dict[str, Any]:
        """The one line of JSON that was written."""
        text = self.text()
        assert text.endswith("\n")
        (line,) = text.splitlines()
        record = json.loads(line)
        assert isinstance(record, dict)
        return record

    def said(self, speak: Callable[[Sheet], object]) -> str:
        """What *speak* writes."""
        speak(self)
        return self.text()
