"""What an upstream says, made fit to be sent on: whole characters, and not too many of them."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


class ReplyText:
    """The growing text of one reply.

    JSON escapes may carry halves of a surrogate pair, even spread over two deltas. Halves that belong
    together are joined, others become U+FFFD; neither UTF-8 nor a WebSocket could carry them.

    Args:
        limit: The most code points that come out; `None` for no bound.

    Attributes:
        cut: Whether something had to be left out because of *limit*.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._left = limit
        self._half = ""
        self.cut = False

    def feed(self, piece: str) -> str:
        """The text that *piece* allows to be sent, which may be empty."""
        if piece.isascii() and not self._half:
            left = self._left
            if left is None or left < len(piece):
                return self._bounded(piece)
            self._left = left - len(piece)
            return piece
        text, self._half = settled(self._half + piece)
        return self._bounded(text)

    def close(self) -> str:
        """What was held back for a second half that never came."""
        text, self._half = self._half, ""
        return self._bounded(whole(text))

    def _bounded(self, text: str) -> str:
        if self._left is None:
            return text
        if len(text) > self._left:
            self.cut = True
            text = text[: self._left]
        self._left -= len(text)
        return text


def settled(text: str) -> tuple[str, str]:
    """*text* as it may be sent, and half a surrogate pair from its end whose other half may still come."""
    if text.isascii():
        return text, ""
    if "\ud800" <= text[-1:] <= "\udbff":
        return whole(text[:-1]), text[-1]
    return whole(text), ""


def whole(text: str) -> str:
    """*text* with the halves of surrogate pairs joined, and those without their other half replaced."""
    if not _SURROGATE.search(text):
        return text
    # UTF-16 is where surrogates mean something: the way there and back joins pairs and replaces the rest.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
