"""From events to frames: the one place where what happened becomes what is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from server.chat import (
    Fact,
    HistoryReset,
    MessageAdded,
    MessageEdited,
    MessageRecalled,
    ReadUpTo,
    ReplyEnded,
    SessionType,
)
from server.messages import (
    Acked,
    Announced,
    Declined,
    Dialect,
    Event,
    Gap,
    Happened,
    Ponged,
    ReplyBroke,
    ReplyGrew,
    Welcomed,
)
from server.protocol import (
    AckFrame,
    BroadcastFrame,
    ConnectedFrame,
    EditedFrame,
    ErrorFrame,
    GapFrame,
    GrowingReply,
    PongFrame,
    RecalledFrame,
    ResetFrame,
    ResponseFrame,
    SenderData,
    ServerFrame,
    UserHasReadFrame,
    UserMessageFrame,
    encode,
    message_data,
    timestamp,
)

from .framing import text_frame, text_frames

WHOLE = "whole"
"""The name of an event's encoding that every dialect shares; a reply's has another for `delta`."""
LEVEL_2 = "level 2"
"""The same, of an event that is not told in the dialect of the document."""
WHOLES = 2**13
"""A text so far is told for each piece while all of them have fewer characters together."""


@frozen
class Greeting:
    """What `connected` tells of the server: seconds between its pings, and bytes it takes in a message."""

    heartbeat: float
    max_message_size: int


def encoded(event: Event, dialect: Dialect, greeting: Greeting) -> bytes | None:
    """The text frames for *event*, encoded once for all the sockets it goes to; `None` if there are none."""
    name = WHOLE
    made: bytes | None = event.encodings.get(name)
    if made is None and _is_of_level_2(event):
        if dialect == "document":
            return None
        name = LEVEL_2
        made = event.encodings.get(name)
    if made is None:
        if isinstance(event, ReplyGrew):
            made = text_frames(_wholes(event))
        else:
            made = text_frame(encode(_frame(event, greeting)))
        event.encodings[name] = made
    return made


def encoded_delta(event: ReplyGrew | Happened, offset: int, *, shared: bool) -> bytes:
    """The frames that bring a client that knows *offset* code points of the reply up to date.

    *shared* if that is what most clients know: then they are encoded once.
    """
    made: bytes | None = event.encodings.get("delta") if shared else None
    if made is None:
        # Who knows what most know is told each piece by itself, if it came so; others, all in one.
        pieces = event.pieces if shared else ()
        if isinstance(event, Happened):
            made = text_frames(_last_deltas(event, pieces, offset))
        else:
            made = text_frames(_growing(event).deltas(pieces or (event.text[offset:],), offset))
        if shared:
            event.encodings["delta"] = made
    return made


def _growing(event: ReplyGrew) -> GrowingReply:
    """What encodes the states of this reply, looking at each piece of its text once."""
    encodings = event.reply.encodings
    growing: GrowingReply | None = encodings.get(WHOLE)
    if growing is None:
        growing = encodings[WHOLE] = GrowingReply(event.session_type, event.reply.blank)
    return growing


def _wholes(event: ReplyGrew) -> Iterator[bytes]:
    """The text up to the end of each piece; or all of it alone, if that would be very much."""
    growing, said = _growing(event), event.told
    if len(event.pieces) * len(event.text) < WHOLES:
        for piece in event.pieces[:-1]:
            said += len(piece)
            yield growing.whole(event.text[:said])
    yield growing.whole(event.text)


def _last_deltas(event: Happened, pieces: Sequence[str], offset: int) -> list[bytes]:
    assert isinstance(event.fact, ReplyEnded)
    kind, message = event.session_type, event.fact.message
    frames = GrowingReply(kind, message).deltas(pieces, offset) if pieces else []
    offset += sum(map(len, pieces))
    return [*frames, encode(ResponseFrame(kind, message_data(message, offset)))]


_OF_LEVEL_2 = frozenset({Acked, Gap, ReplyBroke})
_FACTS_OF_LEVEL_1 = frozenset({MessageAdded, ReplyEnded})


def _is_of_level_2(event: Event) -> bool:
    kind = type(event)
    if kind is Happened:
        assert isinstance(event, Happened)
        return type(event.fact) not in _FACTS_OF_LEVEL_1
    return kind in _OF_LEVEL_2


def _frame(event: Event, greeting: Greeting) -> ServerFrame:
    match event:
        case Happened():
            return _frame_of(event.fact, event.session_type)
        case Announced():
            return BroadcastFrame(event.text, timestamp(event.at))
        case Ponged():
            return PongFrame(timestamp(event.at))
        case Acked():
            return AckFrame(event.client_msg_id, event.id, event.seq, event.duplicate)
        case Declined():
            return ErrorFrame(event.text, event.code, event.retry, event.client_msg_id)
        case ReplyBroke():
            return ErrorFrame(event.text, "reply_failed", id=event.reply_id)
        case Gap():
            return GapFrame(event.cursor, event.reason)
        case Welcomed():
            return ConnectedFrame(
                connection_id=event.connection_id,
                pipeline_uuid=event.key.pipeline,
                session_type=event.key.session_type,
                timestamp=timestamp(event.at),
                session_id=event.key.session_id,
                cursor=event.cursor,
                resumed=event.resumed,
                heartbeat=greeting.heartbeat,
                max_message_size=greeting.max_message_size,
                user=SenderData(event.user.id, event.user.name),
            )
        case _:
            raise TypeError(f"{type(event).__name__} has no frame")


def _frame_of(fact: Fact, session_type: SessionType) -> ServerFrame:
    match fact:
        case MessageAdded():
            return UserMessageFrame(session_type, message_data(fact.message))
        case ReplyEnded():
            return ResponseFrame(session_type, message_data(fact.message))
        case MessageEdited():
            return EditedFrame(message_data(fact.message))
        case MessageRecalled():
            return RecalledFrame(fact.message_id, fact.by, fact.seq, timestamp(fact.at))
        case ReadUpTo():
            return UserHasReadFrame(fact.user, fact.up_to, fact.seq)
        case HistoryReset():
            return ResetFrame(fact.seq, timestamp(fact.at))
        case _:
            raise TypeError(f"{type(fact).__name__} has no frame")
