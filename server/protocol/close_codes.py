"""Why the server closes a socket. A client may come back after 1011, 1012, 1013, 4408 and 4429."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """WebSocket close codes: those of RFC 6455 and its registry, and the document's own from 4400 on."""

    DISCONNECT = 1000
    INTERNAL_ERROR = 1011
    RESTART = 1012
    FULL = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    TOO_SLOW = 4408
    RATE_LIMITED = 4429
