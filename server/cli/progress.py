"""How far a client is in a conversation: what it heard last, and which of its words nobody acknowledged yet.

Pure. It is all that a client needs to go on after a lost connection as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Frame = Mapping[str, Any]


class Progress:
    """One client's, over all its connections.

    Args:
        new_id: Makes ids that nobody else makes.

    Attributes:
        cursor: Where to go on; `None` before anything was heard.
        own: The ids of its messages that can be edited and recalled, oldest first.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._epoch = ""
        # Messages without an acknowledgement by their client_msg_id, and how often each was put off.
        self._unacked: dict[str, Frame] = {}
        self._put_off: dict[str, int] = {}
        self.cursor: str | None = None
        self.own: list[int] = []

    @property
    def unacked(self) -> tuple[Frame, ...]:
        """What has to be sent again on a new connection, in order."""
        return tuple(self._unacked.values())

    def is_unacked(self, frame: Frame) -> bool:
        """Whether *frame* has to be sent, still."""
        return frame.get("client_msg_id") in self._unacked

    def forget(self, frame: Frame) -> None:
        """Never send the message again that has *frame*'s client_msg_id."""
        id_ = str(frame.get("client_msg_id"))
        self._unacked.pop(id_, None)
        self._put_off.pop(id_, None)

    def say(self, text: str) -> Frame:
        """The frame for a message, remembered until it is acknowledged."""
        id_ = self._new_id()
        frame = {"type": "message", "message": [{"type": "Plain", "text": text}], "client_msg_id": id_}
        self._unacked[id_] = frame
        return frame

    def hear(self, frame: Frame) -> None:
        """Take note of a frame of the server's."""
        match frame:
            case {"type": "connected" | "gap", "cursor": str(cursor)}:
                self._epoch, self.cursor = cursor.rpartition(".")[0], cursor
            case {"type": "ack", "client_msg_id": str(), "id": int(message)}:
                if self.is_unacked(frame):
                    self.own.append(message)
                self.forget(frame)
            case {"type": "error", "client_msg_id": str()} if frame.get("retry") is not True:
                self.forget(frame)
            case {"seq": int(seq)} | {"data": {"seq": int(seq)}}:
                self.cursor = f"{self._epoch}.{seq}"
                if frame.get("type") == "recalled" and frame.get("id") in self.own:
                    self.own.remove(frame["id"])

    def put_off(self, frame: Frame) -> tuple[Frame, int] | None:
        """The message that *frame* asks to try again later, and how often it did; `None` if it does not."""
        match frame:
            case {"type": "error", "retry": True, "client_msg_id": str(id_)} if id_ in self._unacked:
                self._put_off[id_] = self._put_off.get(id_, 0) + 1
                return self._unacked[id_], self._put_off[id_]
            case _:
                return None


def order(line: str, progress: Progress) -> Frame | str | None:
    """What a typed command asks of the server, or why it can't; `None` if *line* is no command.

    `/edit`, `/recall` and `/regenerate` are about one's newest message.
    """
    command, _, rest = line.strip().partition(" ")
    if command == "/stop" and not rest:
        return {"type": "stop"}
    if command not in ("/edit", "/recall", "/regenerate") or bool(rest) != (command == "/edit"):
        return None
    if not progress.own:
        return "there is no message of yours yet"
    frame = {"type": command[1:], "id": progress.own[-1]}
    return {**frame, "message": [{"type": "Plain", "text": rest.strip()}]} if rest else frame
