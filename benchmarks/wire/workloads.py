"""The kinds of work, and what each is for whom."""

from __future__ import annotations

import json

from attrs import evolve

from .contestants import ECHO, PIECES, SHORT
from .first import FirstChunk
from .generator import Load
from .idle import Idle
from .servers import frames
from .start import Start
from .work import P50, P99, RATE, STREAMS, Driven, Work

PONG = json.dumps(frames.pong(), separators=(",", ":"))
AT_ONCE = "[timeouts]\nchunk_interval = 0\n"
"""Each piece of a reply is a frame of its own."""


def say(text: str) -> str:
    """A client's message."""
    return json.dumps({"type": "message", "message": [{"type": "Plain", "text": text}]})


def connect(pipeline: str, **query: str) -> str:
    """Where our clients connect."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/api/v1/pipelines/{pipeline}/ws/connect?{asked}"


PING = Load(path=connect(ECHO), greeting='"connected"', message='{"type":"ping"}', expect='"pong"')
_echo = Load(path="/echo", message=PONG)
BROADCAST = Load(
    path=connect(ECHO),
    greeting='"connected"',
    mode="fanout",
    connections=1000,
    message=json.dumps({"message": frames.TEXT}),
    expect='"broadcast"',
    post=f"/api/v1/pipelines/{ECHO}/ws/broadcast",
)
GROUP = Load(
    path=connect(SHORT, session_type="group"),
    greeting='"connected"',
    mode="fanout",
    connections=1000,
    message=say(frames.TEXT),
    final='"finish_reason":"stop"',
)
_streams = Load(
    path=connect(PIECES, session_id="c{i}", stream="delta"),
    greeting='"connected"',
    subprotocol="triologue.v1",
    connections=200,
    message=say("hello"),
    expect='"response"',
    final='"is_final":true',
)
IDLE = evolve(PING, mode="hold", connections=5000, message="")
_own_room = connect("{i}")
_of_replies = (RATE, STREAMS, P50, P99)

WORKLOADS: list[Work] = [
    Driven(
        name="broadcast",
        title="a broadcast to 1,000 sockets",
        ours=BROADCAST,
        plain=Load(path="/broadcast", mode="fanout", connections=1000, message="b"),
        document=BROADCAST,
    ),
    Driven(
        name="group",
        title="a message in a group of 1,000, and its short reply",
        ours=GROUP,
        plain=evolve(GROUP, path="/group", greeting=None),
        document=evolve(GROUP, final='"finish_reason": "stop"'),
    ),
    Driven(
        name="delta",
        metrics=_of_replies,
        title="200 streams of 100 chunks, told as what is new",
        ours=_streams,
        plain=Load(path="/stream", connections=200, message='{"cumulative":false}', final='"is_final":true'),
        settings=AT_ONCE,
    ),
    Driven(
        name="cumulative",
        metrics=_of_replies,
        title="200 streams of 100 chunks, told as the whole text so far",
        ours=evolve(_streams, path=connect(PIECES, session_id="c{i}"), subprotocol=None),
        plain=Load(path="/stream", connections=200, message='{"cumulative":true}', final='"is_final":true'),
        document=evolve(_streams, path=_own_room, subprotocol=None, final='"is_final": true'),
        settings=AT_ONCE,
    ),
    Driven(
        name="delta-default",
        metrics=_of_replies,
        title="the same streams, told at most every 20 ms: what is new",
        ours=_streams,
    ),
    Driven(
        name="cumulative-default",
        metrics=_of_replies,
        title="the same streams, told at most every 20 ms: the whole text so far",
        ours=evolve(_streams, path=connect(PIECES, session_id="c{i}"), subprotocol=None),
    ),
    Driven(name="ping1", title="ping, one outstanding", ours=PING, plain=_echo, document=PING),
    Driven(
        name="ping8",
        title="ping, eight outstanding",
        ours=evolve(PING, outstanding=8),
        plain=evolve(_echo, outstanding=8),
        document=evolve(PING, outstanding=8),
    ),
    FirstChunk(
        name="first",
        title="a durable message to the first chunk of its reply, from `echo`",
        ours=evolve(
            PING,
            path=connect(ECHO, session_id="c{i}"),
            connections=200,
            message=say("hello"),
            expect='"response"',
            final='"is_final":true',
        ),
    ),
    Idle(
        name="idle",
        title="5,000 idle sockets; ours in one conversation",
        ours=IDLE,
        plain=evolve(IDLE, path="/broadcast", greeting=None),
        document=IDLE,
    ),
    Idle(
        name="idle-own",
        title="5,000 idle sockets, each in a conversation of its own",
        ours=evolve(IDLE, path=connect(ECHO, session_id="c{i}")),
    ),
    Start(name="start", title="from the start of the process to what it serves first"),
]
