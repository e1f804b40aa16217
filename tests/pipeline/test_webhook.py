"""The webhook against an endpoint on a real socket. What it shares with test_openai is tried there."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from attrs import evolve

from server.chat import At, Forward, Image, Plain, Quote
from server.chat.components import ForwardNode
from server.pipeline.errors import (
    PipelineError,
    UpstreamBroke,
    UpstreamBusy,
    UpstreamGarbled,
    UpstreamRefused,
)
from server.pipeline.port import Finish
from server.pipeline.webhook import WebhookModel

from .fake_upstream import Exchange, FakeUpstream, Script
from .turns import Heard, generator, listen, message, turn

Make = Callable[..., WebhookModel]


@pytest.fixture
async def make(upstream: FakeUpstream) -> AsyncIterator[Make]:
    """A webhook model for the upstream that does not really sleep."""

    async def sleep(_: float) -> None:
        await trio.lowlevel.checkpoint()

    def made(path: str = "/hook", **options: Any) -> WebhookModel:
        models.append(WebhookModel(upstream.url + path, sleep=sleep, **options))
        return models[-1]

    models: list[WebhookModel] = []
    yield made
    for model in models:
        await model.aclose()


def answers(*chunks: bytes, content_type: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.stream(*chunks, content_type=content_type)

    return script


def refuses(status: int) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(status)

    return script


OK = answers(b"ok", content_type="text/plain")


async def test_the_turn_is_posted_in_the_documented_shape(upstream: FakeUpstream, make: Make) -> None:
    """Other people's programs read it: `docs/pipelines.md`, "What a webhook is sent"."""
    upstream.plays(OK)
    chain = (
        Quote(id=1, origin=(Plain("before"),)),
        At(target=5),
        Plain("hi"),
        Image(url="http://h/i"),
        Forward(node_list=(ForwardNode(sender_name="Bo", message_chain=(Plain("fwd"),)),)),
    )
    history = (message("old"), message("one"), message("two", id=2, role="assistant"))

    await listen(make("/hook?k=v", secret="s3", history=2), turn(*chain, history=history))

    (request,) = upstream.requests
    ann = {"id": "u1", "name": "Ann"}
    told = {"timestamp": "2026-03-01T12:00:00.007Z", "sender": ann}
    assert request.target == "/hook?k=v"
    assert request.headers["authorization"] == "Bearer s3"
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "message": {
            "id": 4,
            "role": "user",
            "content": "@5hi[Image][Chat history]",
            "message_chain": [
                {"type": "Quote", "id": 1, "origin": [{"type": "Plain", "text": "before"}]},
                {"type": "At", "target": 5},
                {"type": "Plain", "text": "hi"},
                {"type": "Image", "url": "http://h/i"},
                {
                    "type": "Forward",
                    "node_list": [
                        {"sender_name": "Bo", "message_chain": [{"type": "Plain", "text": "fwd"}]},
                    ],
                },
            ],
            **told,
        },
        "history": [
            {
                "id": 1,
                "role": "user",
                "content": "one",
                "message_chain": [{"type": "Plain", "text": "one"}],
                **told,
            },
            {
                "id": 2,
                "role": "assistant",
                "content": "two",
                "message_chain": [{"type": "Plain", "text": "two"}],
                **told,
            },
        ],
        "sender": ann,
        "pipeline_uuid": "p1",
        "session_type": "person",
        "session_id": "s1",
    }


async def test_an_endpoint_is_told_what_was_said_so_far(upstream: FakeUpstream, make: Make) -> None:
    """Of a reply that another process began; of no other, lest it looks as if something had been said."""
    upstream.plays(OK)
    await listen(make(), evolve(turn("hi"), so_far="Hel"))

    (request,) = upstream.requests
    assert request.json["so_far"] == "Hel"


async def test_plain_text_streams_as_it_comes(upstream: FakeUpstream, make: Make) -> None:
    """A shell script with `echo` can be a bot, and its first line is shown while it works on the second."""
    go_on = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/plain")
        await exchange.chunk(b"one ")
        await go_on.wait()
        await exchange.chunk(b"two")
        await exchange.end()

    upstream.plays(script)
    reply = generator(make())

    assert await anext(reply) == "one "
    go_on.set()
    assert [piece async for piece in reply] == ["two", Finish("stop")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", "é日🎉".encode()),
        ("text/plain; charset=UTF-8", "é日🎉".encode()),
        ("text/plain; charset=gb18030", "é日🎉".encode("gb18030")),
        ("text/plain; charset=utf-16", "é日🎉".encode("utf-16")),
    ],
)
async def test_characters_may_be_split_in_any_charset(
    upstream: FakeUpstream, make: Make, content_type: str, body: bytes
) -> None:
    """TCP knows no characters."""
    upstream.plays(answers(*(bytes([byte]) for byte in body), content_type=content_type))

    assert (await listen(make())).text == "é日🎉"


async def test_half_a_character_at_the_end_is_replaced(upstream: FakeUpstream, make: Make) -> None:
    """The rest of the reply is still worth having."""
    upstream.plays(answers(b"a\xe6\x97", content_type="text/plain"))

    assert (await listen(make())).text == "a\ufffd"


@pytest.mark.parametrize("charset", ["nonsense", "zlib", "unicode_escape", "idna", "x\0y"])
async def test_an_unknown_charset_is_garbled(upstream: FakeUpstream, make: Make, charset: str) -> None:
    """Python would unpack bombs under some of these names."""

    async def script(exchange: Exchange) -> None:
        await exchange.stream(b"x", content_type=f"text/plain; charset={charset}")

    upstream.plays(script)

    with pytest.raises(UpstreamGarbled):
        await listen(make())


@pytest.mark.parametrize("body", [b'{"text": "hi", "more": 1}', b'"hi"', b'{"text": "\\u0068i"}'])
async def test_json_is_served_whole(upstream: FakeUpstream, make: Make, body: bytes) -> None:
    """Most frameworks answer JSON by themselves."""
    upstream.plays(answers(body, content_type="application/json"))

    heard = await listen(make())

    assert (heard.pieces, heard.finish) == (["hi"], Finish("stop"))


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b"1", b'{"text": 1}', b"[" * 100_000, b"\xff"])
async def test_json_without_a_text_is_garbled(upstream: FakeUpstream, make: Make, body: bytes) -> None:
    """Nothing is guessed."""
    upstream.plays(answers(body, content_type="application/json"))

    with pytest.raises(UpstreamGarbled):
        await listen(make())


@pytest.mark.parametrize(
    "stream",
    [
        b"data: one\n\ndata:  two\n\n",
        b"data: one\r\n\r\n: ping\r\n\r\ndata:  two\r\n\r\n",
        b"data: one\n\ndata:  two\n\ndata: [DONE]\n\ndata: never\n\n",
        b"event: message\ndata: one\n\nid: 1\ndata:  two\n\n",
    ],
    ids=["end", "comments", "[DONE]", "fields"],
)
async def test_events_are_appended(upstream: FakeUpstream, make: Make, stream: bytes) -> None:
    """The standard takes one space after the colon away: a second one is text."""
    upstream.plays(answers(stream, content_type="text/event-stream"))

    heard = await listen(make())

    assert (heard.pieces, heard.finish) == (["one", " two"], Finish("stop"))


async def test_an_event_of_several_lines_is_a_text_of_several_lines(
    upstream: FakeUpstream, make: Make
) -> None:
    """That is how event streams carry line ends."""
    upstream.plays(answers(b"data: a\ndata: b\n\n", content_type="text/event-stream"))

    assert (await listen(make())).text == "a\nb"


async def test_an_error_event_fails_the_reply(upstream: FakeUpstream, make: Make) -> None:
    """An endpoint can fail after its first words, too. What it says goes to nobody."""
    upstream.plays(answers(b"data: a\n\nevent: error\ndata: sesame\n\n", content_type="text/event-stream"))
    heard = Heard()

    with pytest.raises(UpstreamBroke) as caught:
        await listen(make(), heard=heard)

    assert heard.text == "a"
    assert "sesame" not in str(caught.value)


async def test_no_content_is_an_empty_reply(upstream: FakeUpstream, make: Make) -> None:
    """A bot may have nothing to say."""
    upstream.plays(refuses(204))

    heard = await listen(make())

    assert (heard.text, heard.finish) == ("", Finish("stop"))


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", "", "application/jsonx"])
async def test_other_content_is_garbled(upstream: FakeUpstream, make: Make, content_type: str) -> None:
    """An error page must not become the bot's answer."""
    upstream.plays(answers(b"x", content_type=content_type))

    with pytest.raises(UpstreamGarbled):
        await listen(make())


@pytest.mark.parametrize("content_type", ["text/plain", "text/event-stream", "application/json"])
async def test_an_answer_that_is_cut_off_broke(upstream: FakeUpstream, make: Make, content_type: str) -> None:
    """HTTP says where the body ends, even where the text does not."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type=content_type)
        await exchange.chunk(b"data: a\n\n")
        await exchange.cut()

    upstream.plays(script)

    with pytest.raises(UpstreamBroke):
        await listen(make())


@pytest.mark.parametrize("content_type", ["text/plain", "text/event-stream", "application/json"])
async def test_an_endless_answer_is_cut_off(upstream: FakeUpstream, make: Make, content_type: str) -> None:
    """Text that grows too long is a reply cut short, JSON that does is no reply."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type=content_type)
        while True:
            await exchange.chunk(b"data: aaaa\n\n" * 1000)

    upstream.plays(script)
    model = make(max_reply_size=10)

    if content_type == "application/json":
        with pytest.raises(UpstreamGarbled):
            await listen(model)
    else:
        heard = await listen(model)
        assert (len(heard.text), heard.finish) == (10, Finish("length"))


async def test_a_passing_failure_is_asked_again_with_the_same_body(
    upstream: FakeUpstream, make: Make
) -> None:
    """An endpoint that counts message ids sees the same id twice, never two messages."""
    upstream.plays(refuses(503), OK)

    assert (await listen(make())).text == "ok"
    assert upstream.requests[0] == upstream.requests[1]


@pytest.mark.parametrize(
    ("status", "kind"), [(302, UpstreamRefused), (401, UpstreamRefused), (429, UpstreamBusy)]
)
async def test_no_secret_reaches_an_error_or_a_log(
    upstream: FakeUpstream,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: type[PipelineError],
) -> None:
    """The address of a webhook often is its key."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    upstream.plays(refuses(status))
    model = make("/path-sesame?query-sesame", secret="key-sesame", retries=0)

    with pytest.raises(kind) as caught:
        await listen(model)

    assert caught.value.__context__ is None
    assert "sesame" not in caplog.text + str(caught.value) + repr(model)


async def test_a_stopped_reply_hangs_up(upstream: FakeUpstream, make: Make) -> None:
    """The endpoint can stop working for nobody."""
    gone = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/plain")
        await exchange.chunk(b"a")
        await exchange.gone()
        gone.set()

    upstream.plays(script)
    reply = generator(make())
    assert await anext(reply) == "a"

    await reply.aclose()

    await gone.wait()


async def test_after_a_stopped_reply_the_next_one_is_served(upstream: FakeUpstream, make: Make) -> None:
    """Also when the rest of the stopped answer was already here: its connection may be used again, or not."""
    upstream.plays(answers(b"data: a\n\ndata: b\n\n", content_type="text/event-stream"), OK)
    model = make()
    reply = generator(model)
    await anext(reply)
    await reply.aclose()

    assert (await listen(model)).text == "ok"
