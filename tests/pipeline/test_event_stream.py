"""Event streams in pieces: the gauge, and the whole way from bytes to text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.answer import Answer
from server.pipeline.errors import UpstreamGarbled
from server.pipeline.event_stream import EventGauge
from server.pipeline.openai_answer import Completion
from server.pipeline.reply_text import ReplyText

from .fake_upstream import delta

ENDS = st.sampled_from(["\n", "\r\n", "\r"])
# Surrogates included: JSON may carry them.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A legal event stream of chat completion chunks."""
    end = draw(ENDS)
    ascii_only = draw(st.booleans())
    events = []
    for text in draw(st.lists(TEXTS, max_size=5)):
        if draw(st.booleans()):
            events.append(f": comment{end}{end}")
        whole = ascii_only or any("\ud800" <= letter <= "\udfff" for letter in text)
        events.append(f"data: {json.dumps(delta(text), ensure_ascii=whole)}{end}{end}")
    events.append(f"data: {json.dumps(delta(None, 'stop'))}{end}{end}data: [DONE]{end}{end}")
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + "".join(events).encode()


@st.composite
def split_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in pieces."""
    stream = draw(streams())
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    return stream, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


class Pieces(httpx.AsyncByteStream):
    """A body that comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            yield piece


async def understood(pieces: list[bytes]) -> str:
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Pieces(pieces))
    completion = Completion("http://h")
    text = ReplyText()
    said = ""
    async with Answer(response, "http://h").events() as events:
        async for event in events:
            said += text.feed(completion.feed(event.data))
    assert completion.done
    return said + text.close()


@given(split_streams())
def test_any_split_of_a_stream_means_the_same(stream: tuple[bytes, list[bytes]]) -> None:
    """TCP cuts wherever it likes: within lines, line ends, characters and the byte order mark."""
    whole, pieces = stream

    assert trio.run(understood, pieces) == trio.run(understood, [whole])


@given(split_streams())
def test_no_split_makes_an_event_seem_larger(stream: tuple[bytes, list[bytes]]) -> None:
    """The bound is on events; a stream of any length passes."""
    whole, pieces = stream
    gauge = EventGauge(
        max(len(event) for event in whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")) * 2
    )

    passed = b"".join([gauge.feed(piece) for piece in pieces])

    assert passed == whole.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"\r\ndata: x"])
def test_an_event_without_end_is_noticed(piece: bytes) -> None:
    """Lines may end, or not: the event does not."""
    gauge = EventGauge(100)

    def flood() -> None:
        for _ in range(200):
            gauge.feed(piece)

    with pytest.raises(UpstreamGarbled):
        flood()
