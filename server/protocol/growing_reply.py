"""The frames of a reply that is still being written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

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
        self._session_type: SessionType = session_type
        self._message = message
        # What is around the text, once somebody wants to be told of all of it.
        self._around: tuple[bytes, bytes, bytes] | None = None
        self._delta = _delta_form(session_type) % message.id
        self._text = ""
        self._json = bytearray()

    def whole(self, text: str) -> bytes:
        """The cumulative frame of the state in which the reply says *text*.

        States may come in any order; one that does not go on from the longest so far is encoded anew.
        """
        around = self._around
        if around is None:
            blank = evolve(self._message, chain=(Plain(""),))
            # The first two empty strings are `content` and the text of the chain's one component.
            frame = encode(ResponseFrame(self._session_type, message_data(blank)))
            before, between, after = frame.split(b'""', 2)
            around = self._around = before + b'"', b'"' + between + b'"', b'"' + after
        json, (before, between, after) = self._encoded(text), around
        return b"".join((before, json, between, json, after))

    def deltas(self, pieces: Sequence[str], offset: int) -> list[bytes]:
        """Frames that tell one of the *pieces* each to a client that knows *offset* code points."""
        # Two hundred replies at a time pass here once for each word: as little as may be is done.
        form, dumps, frames = self._delta, orjson.dumps, []
        for piece in pieces:
            frames.append(form % (dumps(piece), offset))
            offset += len(piece)
        return frames

    def _encoded(self, text: str) -> bytes | bytearray:
        if not text.startswith(self._text):
            return _inside(text)
        self._json += _inside(text[len(self._text) :])
        self._text = text
        return self._json


@cache
def _delta_form(session_type: SessionType) -> bytes:
    """A frame of what is new, to be filled with the id of the reply, then with the text and its offset."""
    frame = encode(ResponseFrame(session_type, DeltaData(0, "", 0)))
    return frame.replace(b'"id":0', b'"id":%d').replace(b'""', b"%%b").replace(b'"offset":0', b'"offset":%%d')


def _inside(text: str) -> bytes:
    """*text* as JSON, without its quotes."""
    return orjson.dumps(text)[1:-1]
