"""What the address of a WebSocket asks for."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import parse_qs

from attrs import frozen

from server.chat import SessionType

from .close_codes import CloseCode

SESSION_TYPES = ("person", "group")
SHARED_SESSION = "default"
"""The session id of the conversation that everybody shares who names none, as in the document."""

_session_id = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class BadOpening(Exception):
    """The address asks for what can't be given: the text for the client and the close code that follows."""

    def __init__(self, text: str, code: str, close_code: CloseCode) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.close_code = close_code


@frozen
class Opening:
    """Which conversation of a pipeline a client wants."""

    session_type: SessionType
    session_id: str


def parse_query(query: str) -> Opening:
    """What the query string of `…/ws/connect` asks for.

    Raises:
        BadOpening: A value is not allowed.
    """
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise BadOpening("the query can't be read", "bad_request", CloseCode.BAD_REQUEST) from None
    return check_session(
        fields.get("session_type", ["person"])[0], fields.get("session_id", [SHARED_SESSION])[0]
    )


def check_session(session_type: str, session_id: str | None) -> Opening:
    """The conversation named by the two.

    Raises:
        BadOpening: A value is not allowed.
    """
    if session_type not in SESSION_TYPES:
        raise BadOpening("session_type must be person or group", "bad_request", CloseCode.BAD_REQUEST)
    if session_id is None:
        session_id = SHARED_SESSION
    if not _session_id.fullmatch(session_id):
        text = "session_id must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"
        raise BadOpening(text, "bad_request", CloseCode.BAD_REQUEST)
    return Opening(cast(SessionType, session_type), session_id)
