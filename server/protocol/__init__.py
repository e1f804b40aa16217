"""The wire: frames and their JSON, close codes, origins. Pure, sans I/O.

Source of every name and text in here: `protocol.md`.
"""

from .close_codes import CloseCode
from .codec import decode, encode, message_data, timestamp
from .errors import BadFrame
from .frames import (
    AuthenticateFrame,
    BroadcastFrame,
    ClientFrame,
    ConnectedFrame,
    DisconnectFrame,
    ErrorFrame,
    IgnoredFrame,
    MessageData,
    MessageFrame,
    PingFrame,
    PongFrame,
    ResponseFrame,
    SenderData,
    ServerFrame,
    UserMessageFrame,
)
from .opening import BadOpening, Opening, check_session, parse_query
from .origins import OriginPolicy, normal_origin

__all__ = [
    "AuthenticateFrame",
    "BadFrame",
    "BadOpening",
    "BroadcastFrame",
    "ClientFrame",
    "CloseCode",
    "ConnectedFrame",
    "DisconnectFrame",
    "ErrorFrame",
    "IgnoredFrame",
    "MessageData",
    "MessageFrame",
    "Opening",
    "OriginPolicy",
    "PingFrame",
    "PongFrame",
    "ResponseFrame",
    "SenderData",
    "ServerFrame",
    "UserMessageFrame",
    "check_session",
    "decode",
    "encode",
    "message_data",
    "normal_origin",
    "parse_query",
    "timestamp",
]
