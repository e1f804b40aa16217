"""Bounds for a server-sent event stream, which by itself has none."""

from __future__ import annotations

import re

from .errors import UpstreamGarbled

# Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, "end-of-line" and "event".
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class EventGauge:
    """Passes the bytes of an event stream on, and objects when one event outgrows *limit* bytes.

    Line ends and blank lines may be spread over chunks in any way.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._tail = b""
        self._head: bytes | None = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to hand to the parser.

        Raises:
            UpstreamGarbled: An event without an end in sight.
        """
        if self._head is not None:
            # The parser takes a byte order mark for a part of the first field's name.
            chunk, self._head = self._head + chunk, None
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._head = chunk
                return b""
            chunk = chunk.removeprefix(_BOM)
        seen = self._tail + chunk
        end = max((match.end() for match in _BLANK_LINE.finditer(seen)), default=None)
        self._size = self._size + len(chunk) if end is None else len(seen) - end
        if self._size > self._limit:
            raise UpstreamGarbled(f"the upstream sent an event of more than {self._limit} bytes")
        self._tail = seen[-3:]
        return chunk

    def close(self) -> bytes:
        """What completes the last event, if the stream ended after a whole line.

        The standard drops an event without its blank line; senders that forget the last one are many.
        """
        return b"\n" if self._tail.endswith((b"\n", b"\r")) else b""
