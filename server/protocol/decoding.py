"""What a client's frame says. Strict: a client is told what is wrong with its frame, by path."""

from __future__ import annotations

from typing import Any

from .errors import BadFrame
from .frames import (
    AuthenticateFrame,
    ClientFrame,
    DisconnectFrame,
    EditFrame,
    IgnoredFrame,
    Level,
    MessageFrame,
    OrderFrame,
    PingFrame,
    ReadFrame,
    RecallFrame,
    RegenerateFrame,
    StopFrame,
)
from .shape import Text, parse
from .structure import is_client_msg_id, structure

# What most clients send most, and how they spell it: no need to look at it again.
_PING = PingFrame()
_PINGS = frozenset({'{"type":"ping"}', '{"type": "ping"}'})
_LONGEST_PING = 16

_orders: dict[str, type[OrderFrame]] = {
    frame.type: frame for frame in (StopFrame, RegenerateFrame, EditFrame, RecallFrame, ReadFrame)
}


def decode(text: Text, level: Level = 1) -> ClientFrame:
    """What a client's text frame says, on a socket of that level; bytes are to be UTF-8.

    Raises:
        BadFrame: It can't be used; the error says why.
    """
    if len(text) <= _LONGEST_PING and isinstance(text, str) and text in _PINGS:
        return _PING
    frame = parse(text)
    if not isinstance(frame, dict):
        raise BadFrame("A frame must be a JSON object")
    if level == 1:
        return _first_level(frame)
    try:
        return _second_level(frame)
    except BadFrame as bad:
        name = frame.get("client_msg_id")
        bad.client_msg_id = name if is_client_msg_id(name) else None
        raise


def _first_level(frame: dict[str, Any]) -> ClientFrame:
    match frame.get("type", "message"):
        case "message":
            _check_chain(frame)
            # Whatever else is in there is ignored, as it always was.
            said = {"message": frame["message"]}
            if "stream" in frame:
                said["stream"] = frame["stream"]
            return structure(said, MessageFrame)
        case "ping":
            return PingFrame()
        case "disconnect":
            return DisconnectFrame()
        case "authenticate":
            return AuthenticateFrame()
        case str():
            return IgnoredFrame()
        case _:
            raise BadFrame("type must be a string")


def _second_level(frame: dict[str, Any]) -> ClientFrame:
    match frame.get("type", "message"):
        case "message":
            _check_chain(frame)
            return structure(frame, MessageFrame)
        case str(kind) if kind in _orders:
            if kind == "edit":
                _check_chain(frame)
            return structure(frame, _orders[kind])
        case "typing":
            return IgnoredFrame()  # nobody is told yet
        case "ping" | "disconnect" | "authenticate":
            return _first_level(frame)
        case str():
            raise BadFrame("There is no frame of this type", "unknown_type")
        case _:
            raise BadFrame("type must be a string")


def _check_chain(frame: dict[str, Any]) -> None:
    if not frame.get("message"):
        raise BadFrame("message is required")
    if not isinstance(frame["message"], list):
        raise BadFrame("message must be a list of components")
