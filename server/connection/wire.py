"""From events to frames: the one place where what happened becomes what is written."""

from __future__ import annotations

from attrs import frozen

from server.messages import (
    Announced,
    Declined,
    Event,
    MessagePosted,
    Ponged,
    ReplyEnded,
    ReplyGrew,
    Welcomed,
)
from server.protocol import (
    BroadcastFrame,
    ConnectedFrame,
    ErrorFrame,
    PongFrame,
    ResponseFrame,
    SenderData,
    ServerFrame,
    UserMessageFrame,
    encode,
    message_data,
    timestamp,
)

CUMULATIVE = "cumulative"


@frozen
class Greeting:
    """What `connected` tells of the server: seconds between its pings, and bytes it takes in a message."""

    heartbeat: float
    max_message_size: int


def encoded(event: Event, greeting: Greeting) -> str:
    """The text frame for *event*; encoded once, however many sockets it goes to."""
    text = event.encodings.get(CUMULATIVE)
    if text is None:
        text = event.encodings[CUMULATIVE] = encode(_frame(event, greeting))
    return text


def _frame(event: Event, greeting: Greeting) -> ServerFrame:
    match event:
        case ReplyGrew() | ReplyEnded():
            return ResponseFrame(event.session_type, message_data(event.message))
        case MessagePosted():
            return UserMessageFrame(event.session_type, message_data(event.message))
        case Announced():
            return BroadcastFrame(event.text, timestamp(event.at))
        case Ponged():
            return PongFrame(timestamp(event.at))
        case Declined():
            return ErrorFrame(event.text, event.code, event.retry)
        case Welcomed():
            return ConnectedFrame(
                connection_id=event.connection_id,
                pipeline_uuid=event.key.pipeline,
                session_type=event.key.session_type,
                timestamp=timestamp(event.at),
                session_id=event.key.session_id,
                cursor=event.cursor,
                resumed=False,
                heartbeat=greeting.heartbeat,
                max_message_size=greeting.max_message_size,
                user=SenderData(event.user.id, event.user.name),
            )
        case _:
            raise TypeError(f"{type(event).__name__} has no frame")
