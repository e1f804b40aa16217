"""What the address of a WebSocket asks for."""

from __future__ import annotations

import re
from typing import Literal, cast, get_args
from urllib.parse import parse_qs

from attrs import evolve, field, frozen

from server.chat import SessionType

from .close_codes import CloseCode
from .frames import Level

Stream = Literal["cumulative", "delta"]

SESSION_TYPES = ("person", "group")
SHARED_SESSION = "default"
"""The session id of the conversation that everybody shares who names none, as in the document."""

SUBPROTOCOL = "triologue.v1"
"""What a client offers, and hears back, to speak level 2."""

_session_id = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_guest = re.compile(r"[A-Za-z0-9._:-]{16,64}")


class BadOpening(Exception):
    """The address asks for what can't be given: the text for the client and the close code that follows."""

    def __init__(self, text: str, code: str, close_code: CloseCode) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.close_code = close_code


@frozen
class Opening:
    """Which conversation of a pipeline a client wants, and how.

    Attributes:
        cursor: Where it goes on, in its own spelling: whatever that is.
        stream: How it wants the replies.
        guest: The secret by which an anonymous client is the same guest each time.
    """

    session_type: SessionType
    session_id: str
    cursor: str | None = None
    stream: Stream = "cumulative"
    guest: str | None = field(default=None, repr=False)


def parse_query(query: str, level: Level = 1) -> Opening:
    """What the query string of `…/ws/connect` asks for; what is of a higher level is ignored.

    Raises:
        BadOpening: A value is not allowed.
    """
    try:
        fields = parse_qs(query, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise _bad("the query can't be read") from None
    first = {name: values[0] for name, values in fields.items()}
    opening = check_session(first.get("session_type", "person"), first.get("session_id"))
    if level == 1:
        return opening
    stream = first.get("stream", "cumulative")
    if stream not in get_args(Stream):
        raise _bad("stream must be cumulative or delta")
    guest = first.get("guest")
    if guest is not None and not _guest.fullmatch(guest):
        raise _bad("guest must be 16 to 64 characters of A-Z a-z 0-9 . _ : -")
    return evolve(opening, cursor=first.get("cursor"), stream=cast(Stream, stream), guest=guest)


def check_session(session_type: str, session_id: str | None) -> Opening:
    """The conversation named by the two.

    Raises:
        BadOpening: A value is not allowed.
    """
    if session_type not in SESSION_TYPES:
        raise _bad("session_type must be person or group")
    if session_id is None:
        session_id = SHARED_SESSION
    if not _session_id.fullmatch(session_id):
        raise _bad("session_id must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")
    return Opening(cast(SessionType, session_type), session_id)


def _bad(text: str) -> BadOpening:
    return BadOpening(text, "bad_request", CloseCode.BAD_REQUEST)
