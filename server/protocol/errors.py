"""What a client did wrong, in the words it is told."""

from __future__ import annotations


class BadFrame(Exception):
    """A client's frame can't be used; `text` and `code` are what the client is told."""

    def __init__(self, text: str, code: str = "bad_request") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
