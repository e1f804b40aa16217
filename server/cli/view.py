"""What a terminal shows of a chat: frames in, text out. Pure, so that it can be tried without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class View:
    """Turns the frames of one chat into the text to write next, in order.

    A reply comes as its whole text so far, again and again; only what is new of it is written. Whatever comes
    between two pieces of a reply gets a line of its own, and the reply goes on below.
    """

    def __init__(self) -> None:
        self._me: object = None
        # What is written of each running reply, by id, and which of them stands on an unfinished line.
        self._written: dict[object, str] = {}
        self._unfinished: object = None

    def frame(self, frame: Mapping[str, Any]) -> str:
        """The text for *frame*; empty for one with nothing to show."""
        match frame:
            case {"type": "connected"}:
                self._me = frame.get("connection_id")
                return ""
            case {"type": "response", "data": {"id": id_, "content": str(content), **data}}:
                return self._reply(id_, content, final=data.get("is_final") is True)
            case {"type": "user_message", "data": {"content": str(content), **data}}:
                # What was typed here stands on the screen already.
                mine = self._me is not None and data.get("connection_id") == self._me
                return "" if mine else self.line(f"{_name(data)}: {content}")
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

    def _reply(self, id_: object, content: str, *, final: bool) -> str:
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
            return f"{text}\n"
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
