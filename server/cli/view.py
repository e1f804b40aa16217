"""What a terminal shows of a chat: frames in, text out. Pure, so that it can be tried without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class View:
    """Turns the frames of one chat into the text to write next, in order.

    A reply comes in pieces, or as its whole text so far again and again; only what is new of it is written.
    Whatever comes between two pieces of a reply gets a line of its own, and the reply goes on below.
    """

    def __init__(self) -> None:
        # Both say whose a message is: the first of this connection, the second of a guest who comes again.
        self._connection_id: object = None
        self._user_id: object = None
        # What is written of each running reply, by id, and which of them stands on an unfinished line.
        self._written: dict[object, str] = {}
        self._unfinished: object = None

    def frame(self, frame: Mapping[str, Any]) -> str:
        """The text for *frame*; empty for one with nothing to show."""
        match frame:
            case {"type": "connected"}:
                self._connection_id = frame.get("connection_id")
                self._user_id = _id_of(frame.get("user"))
                return ""
            case {"type": "response", "data": {"id": id_, "content": str(content), **data}}:
                final = data.get("is_final") is True
                return self._reply(id_, content, final=final, reason=data.get("finish_reason"))
            case {"type": "response", "data": {"id": id_, "delta": str(delta), "offset": int(offset)}}:
                return self._reply(id_, self._written.get(id_, "")[:offset] + delta, final=False)
            case {"type": "user_message", "data": {"content": str(content), **data}}:
                return "" if self._is_mine(data) else self.line(f"{_name(data)}: {content}")
            case {"type": "edited", "data": {"content": str(content), **data}}:
                return self.line(f"({_name(data)} now says: {content})")
            case {"type": "recalled"}:
                return self.line("(a message was recalled)")
            case {"type": "reset"}:
                return self.line("(the history was deleted)")
            case {"type": "gap"}:
                return self.line("(some of what was said meanwhile is not shown here)")
            case {"type": "broadcast", "message": str(message)}:
                return self.line(f"* {message}")
            case {"type": "error", "message": str(message)}:
                return self.line(f"! {message}")
            case _:
                return ""

    def line(self, text: str) -> str:
        """*text* as lines of its own, below a reply that has not ended."""
        broken = "\n" if self._unfinished is not None else ""
        self._unfinished = None
        return f"{broken}{harmless(text)}\n"

    def _is_mine(self, data: Mapping[Any, Any]) -> bool:
        """Whether it was typed here, and so stands on the screen already."""
        if self._user_id is not None and _id_of(data.get("sender")) == self._user_id:
            return True
        return self._connection_id is not None and data.get("connection_id") == self._connection_id

    def _reply(self, id_: object, content: str, *, final: bool, reason: object = None) -> str:
        written = self._written.get(id_, "")
        text = ""
        if self._unfinished != id_ or not content.startswith(written):
            text = "\n" if self._unfinished is not None else ""
            text += "bot: " if not written else "bot … "
        # A pipeline may take words back; then the reply is written again.
        text += harmless(content.removeprefix(written) if content.startswith(written) else content)
        if final:
            self._written.pop(id_, None)
            self._unfinished = None
            return f"{text} ({reason})\n" if reason in ("stopped", "interrupted") else f"{text}\n"
        self._written[id_] = content
        self._unfinished = id_
        return text


def harmless(text: str) -> str:
    """*text* without the control characters by which others could take over this terminal."""
    return "".join(c if c.isprintable() or c in "\n\t " else "\N{REPLACEMENT CHARACTER}" for c in text)


def _name(data: Mapping[Any, Any]) -> str:
    match data.get("sender"):
        case {"name": str(name)} if name.strip():
            return name.replace("\n", " ")
        case _:
            return "someone"


def _id_of(user: object) -> object:
    return user.get("id") if isinstance(user, Mapping) else None
