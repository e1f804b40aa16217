"""What a client did wrong, in the words it is told."""

from __future__ import annotations


class BadFrame(Exception):
    """A client's frame can't be used; `text` and `code` are what the client is told.

    `client_msg_id` is the frame's own, by which a client of level 2 knows which of its frames it was.
    """

    def __init__(self, text: str, code: str = "bad_request", client_msg_id: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.client_msg_id = client_msg_id
