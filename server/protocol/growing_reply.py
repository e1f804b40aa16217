"""The frames of a reply that is still being written."""

from __future__ import annotations

import orjson
from attrs import evolve

from server.chat import Message, Plain, SessionType

from .encoding import encode, message_data
from .frames import DeltaData, ResponseFrame


class GrowingReply:
    """Encodes one running reply again and again, looking at each piece of its text once.

    Every cumulative frame has the whole text, twice. But the JSON of a text is that of its pieces in a row,
    so a frame is copied together of what was encoded before. It is, to the byte, what `encode` makes of it.

    Args:
        session_type: That of its conversation.
        message: Any state of the reply; others differ in their text alone.
    """

    def __init__(self, session_type: SessionType, message: Message) -> None:
        blank = encode(ResponseFrame(session_type, message_data(evolve(message, chain=(Plain(""),)))))
        # The first two empty strings are `content` and the text of the chain's one component.
        before, between, after = blank.split(b'""', 2)
        self._before, self._between, self._after = before + b'"', b'"' + between + b'"', b'"' + after
        delta = encode(ResponseFrame(session_type, DeltaData(message.id, "", 0)))
        self._delta = delta.replace(b'""', b"%b").replace(b'"offset":0', b'"offset":%d')
        self._text = ""
        self._json = bytearray()

    def whole(self, text: str) -> bytes:
        """The cumulative frame of the state in which the reply says *text*.

        States may come in any order; one that does not go on from the longest so far is encoded anew.
        """
        json = self._encoded(text)
        return b"".join((self._before, json, self._between, json, self._after))

    def delta(self, text: str, offset: int) -> bytes:
        """The frame for a client that knows *offset* code points of *text*."""
        return self._delta % (orjson.dumps(text[offset:]), offset)

    def _encoded(self, text: str) -> bytes | bytearray:
        if not text.startswith(self._text):
            return _inside(text)
        self._json += _inside(text[len(self._text) :])
        self._text = text
        return self._json


def _inside(text: str) -> bytes:
    """*text* as JSON, without its quotes."""
    return orjson.dumps(text)[1:-1]
