"""The OpenAI-compatible model against an upstream on a real socket."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trio
import trio.testing

from server.pipeline.errors import (
    PipelineError,
    UpstreamBroke,
    UpstreamBusy,
    UpstreamGarbled,
    UpstreamRefused,
    UpstreamUnavailable,
)
from server.pipeline.openai import OpenAIModel
from server.pipeline.port import Finish

from .fake_upstream import Exchange, FakeUpstream, Script, delta, sse
from .turns import Heard, generator, listen, message, turn

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FINE = sse(delta("fine", "stop"), "[DONE]")


def chunks(*parts: bytes, content_type: str = "text/event-stream") -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.stream(*parts, content_type=content_type)

    return script


def whole(status: int, body: bytes | str | dict[str, Any] = b"", **headers: str) -> Script:
    data = json.dumps(body) if isinstance(body, dict) else body

    async def script(exchange: Exchange) -> None:
        await exchange.whole(status, data.encode() if isinstance(data, str) else data, **headers)

    return script


async def cut(exchange: Exchange) -> None:
    await exchange.cut()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the model wanted to sleep."""
    return []


Make = Callable[..., OpenAIModel]


@pytest.fixture
async def make(upstream: FakeUpstream, waits: list[float]) -> AsyncIterator[Make]:
    """A model for the upstream, whose sleep takes no time and whose dice never roll."""

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await trio.lowlevel.checkpoint()

    def made(base_url: str | None = None, **options: Any) -> OpenAIModel:
        options = {"model": "m", "sleep": sleep, "roll": lambda: 0.0, "now": lambda: NOW, **options}
        models.append(OpenAIModel(base_url or f"{upstream.url}/v1", **options))
        return models[-1]

    models: list[OpenAIModel] = []
    yield made
    for model in models:
        await model.aclose()


# What is asked


async def test_the_upstream_gets_the_prompt_the_newest_history_and_the_message(
    upstream: FakeUpstream, make: Make
) -> None:
    """This is all that a model knows of the conversation."""
    upstream.plays(chunks(FINE))
    model = make(system_prompt="Be brief.", history=2, parameters={"temperature": 0.5}, api_key="key")
    history = (message("one"), message("two", role="assistant"), message("three"))

    await listen(model, turn("four", history=history))

    (request,) = upstream.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer key"
    assert request.json == {
        "model": "m",
        "stream": True,
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
            {"role": "user", "content": "four"},
        ],
    }


async def test_no_history_means_none(upstream: FakeUpstream, make: Make) -> None:
    """The last zero of a list is, in Python, all of it."""
    upstream.plays(chunks(FINE))

    await listen(make(history=0), turn("now", history=(message("before"),)))

    assert upstream.requests[0].json["messages"] == [{"role": "user", "content": "now"}]


async def test_token_counts_are_asked_for_only_if_wished(upstream: FakeUpstream, make: Make) -> None:
    """Older servers refuse `stream_options`."""
    upstream.plays(chunks(FINE), chunks(FINE))

    await listen(make())
    await listen(make(include_usage=True))

    without, with_usage = (request.json for request in upstream.requests)
    assert "stream_options" not in without
    assert with_usage["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("", "/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/d?api-version=1", "/d/chat/completions?api-version=1"),
    ],
)
async def test_the_path_goes_before_the_query(
    upstream: FakeUpstream, make: Make, base: str, target: str
) -> None:
    """Azure's addresses end in a query string; people copy addresses with and without the last slash."""
    upstream.plays(chunks(FINE))

    await listen(make(upstream.url + base))

    assert upstream.requests[0].target == target


async def test_a_user_in_the_address_authenticates(upstream: FakeUpstream, make: Make) -> None:
    """Many self-hosted servers stand behind a proxy with Basic authentication."""
    upstream.plays(chunks(FINE))

    await listen(make(f"http://us%3Aer:pa%20ss@127.0.0.1:{upstream.port}"))

    assert upstream.requests[0].headers["authorization"] == "Basic dXM6ZXI6cGEgc3M="


# What is legal


async def served(upstream: FakeUpstream, make: Make, *parts: bytes, **options: Any) -> Heard:
    upstream.plays(chunks(*parts))
    return await listen(make(**options))


async def test_every_delta_is_passed_on_as_it_comes(upstream: FakeUpstream, make: Make) -> None:
    """A reply streams: the first word is there while the second is not yet written."""
    go_on = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("one ")))
        await go_on.wait()
        await exchange.chunk(sse(delta("two", "stop"), "[DONE]"))
        await exchange.end()

    upstream.plays(script)
    reply = generator(make())

    assert await anext(reply) == "one "
    go_on.set()
    assert [piece async for piece in reply] == ["two", Finish("stop")]


@pytest.mark.parametrize(
    "stream",
    [
        sse({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, delta("a", "stop"), "[DONE]"),
        sse(delta("a"), delta(None, "stop"), "[DONE]"),
        sse({"choices": []}, delta("a", "stop"), "[DONE]"),
        b": ping\n\n" + sse(delta("a", "stop")) + b": ping\n\n" + sse("[DONE]"),
        sse(delta("a", "stop")),
        sse(delta("a"), "[DONE]"),
        sse(delta("a", "stop"), "[DONE]", end="\r\n"),
        sse(delta("a", "stop"), "[DONE]", end="\r"),
        b"\xef\xbb\xbf" + sse(delta("a", "stop"), "[DONE]"),
        sse(delta("a", "stop"))[:-1],
        b"event: message\nid: 1\nretry: 5\n" + sse(delta("a", "stop")),
        sse(delta("a", ""), delta("", "stop")),
        sse({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]})
        + sse(delta("a", "stop")),
        sse({"choices": [{"index": 1, "delta": {"content": "b"}}, delta("a", "stop")["choices"][0]]}),
        sse({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}),
        sse({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}, delta("a", "stop")),
        sse({"choices": [{"index": 0, "delta": {"content": "a"}}], "error": None}, "[DONE]"),
        sse(delta("a"), {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}),
        sse({"choices": [{"index": 0, "delta": {"content": None, "tool_calls": []}}]}, delta("a", "stop")),
    ],
    ids=[
        "role-only delta",
        "null content",
        "no choices",
        "comments",
        "no [DONE]",
        "no finish reason",
        "CRLF",
        "CR",
        "byte order mark",
        "no last blank line",
        "other fields",
        "empty finish reason",
        "other choice in another chunk",
        "other choice in the same chunk",
        "no index",
        "reasoning",
        "null error",
        "null delta",
        "tool calls",
    ],
)
async def test_what_servers_legally_say_is_understood(
    upstream: FakeUpstream, make: Make, stream: bytes
) -> None:
    """OpenAI-compatible servers agree on little more than the name."""
    heard = await served(upstream, make, stream)

    assert (heard.text, heard.finish) == ("a", Finish("stop"))


async def test_a_character_may_be_split_over_packets(upstream: FakeUpstream, make: Make) -> None:
    """TCP knows no characters."""
    stream = json.dumps(delta("日本 🎉", "stop"), ensure_ascii=False).encode()

    heard = await served(upstream, make, b"data: ", *(bytes([byte]) for byte in stream), b"\n\n")

    assert heard.text == "日本 🎉"


async def test_the_upstream_says_why_it_ended_and_what_it_cost(upstream: FakeUpstream, make: Make) -> None:
    """Token counts come after the last word, in a chunk without choices."""
    usage = {
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "note": "x",
        "nan": float("nan"),
    }
    counts = {"choices": [], "usage": usage}

    heard = await served(upstream, make, sse(delta("a", "content_filter"), counts, "[DONE]"))

    assert heard.finish == Finish(
        "content_filter", {"total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}
    )


async def test_an_odd_finish_reason_is_not_passed_on(upstream: FakeUpstream, make: Make) -> None:
    """It reaches clients, and a text that an upstream chose must not."""
    heard = await served(upstream, make, sse(delta("a", "<b>\ud800 key"), "[DONE]"))

    assert heard.finish == Finish("stop")


async def test_an_upstream_that_cannot_stream_is_served_whole(upstream: FakeUpstream, make: Make) -> None:
    """Some servers and proxies ignore `stream`."""
    answer = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "length"}
        ],
        "usage": {"total_tokens": 3},
    }
    upstream.plays(whole(200, answer, Content_Type="application/json; charset=utf-8"))

    heard = await listen(make())

    assert (heard.pieces, heard.finish) == (["all"], Finish("length", {"total_tokens": 3}))


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (sse(delta("\ud83d"), delta("\ude00", "stop")), "😀"),
        (sse(delta("a\ud83d"), delta(None), delta("\ude00", "stop")), "a😀"),
        (sse(delta("a\ud83d", "stop")), "a\ufffd"),
        (sse(delta("\ude00a\ud83db", "stop")), "\ufffda\ufffdb"),
        (sse(delta("\ud83d"), delta("\ud83d\ude00", "stop")), "\ufffd😀"),
    ],
)
async def test_surrogates_are_joined_or_replaced(
    upstream: FakeUpstream, make: Make, stream: bytes, text: str
) -> None:
    """JSON escapes can carry halves of a character; WebSocket frames can't."""
    heard = await served(upstream, make, stream)

    assert heard.text == text
    assert all(piece.encode() for piece in heard.pieces)


async def test_a_finished_answer_needs_no_end_of_the_stream(upstream: FakeUpstream, make: Make) -> None:
    """A server that leaves the stream open must not leave the client waiting for the final frame."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a", "stop")))
        await exchange.gone()

    upstream.plays(script)

    heard = await listen(make())

    assert (heard.text, heard.finish) == ("a", Finish("stop"))


async def test_a_finished_answer_survives_a_broken_end(upstream: FakeUpstream, make: Make) -> None:
    """Everything was said; the connection's fate interests nobody."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a", "stop")))
        await exchange.cut()

    upstream.plays(script)

    assert (await listen(make())).finish == Finish("stop")


async def test_a_whole_answer_leaves_the_connection_open_for_the_next(
    upstream: FakeUpstream, make: Make
) -> None:
    """A TLS handshake for each reply would be felt."""
    upstream.plays(chunks(FINE), chunks(FINE))
    model = make()

    await listen(model)
    await listen(model)

    assert (len(upstream.requests), upstream.connections) == (2, 1)


async def test_cookies_are_not_carried_from_one_reply_to_another(upstream: FakeUpstream, make: Make) -> None:
    """What an upstream remembers about one conversation is no business of the next."""

    async def script(exchange: Exchange) -> None:
        await exchange.whole(200, FINE, Content_Type="text/event-stream", Set_Cookie="who=ann")

    upstream.plays(script, script)
    model = make()

    await listen(model)
    await listen(model)

    assert all("cookie" not in request.headers for request in upstream.requests)


# What is not


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (sse("{nonsense"), UpstreamGarbled),
        (sse("[1]"), UpstreamGarbled),
        (sse("[" * 100_000), UpstreamGarbled),
        (sse('{"choices": ' + "9" * 5000 + "}"), UpstreamGarbled),
        (sse({"choices": {}}), UpstreamGarbled),
        (sse({}), UpstreamGarbled),
        (sse({"choices": [1]}), UpstreamGarbled),
        (sse({"choices": [{"delta": []}]}), UpstreamGarbled),
        (sse(delta(1)), UpstreamGarbled),
        (sse(delta(["a"])), UpstreamGarbled),
        (sse(delta("x", 1)), UpstreamGarbled),
        (sse({"error": {"message": "sesame", "code": "oops"}}), UpstreamBroke),
        (sse({"error": "sesame"}), UpstreamBroke),
        (sse({"error": {"code": 400, "message": "sesame"}}), UpstreamRefused),
        (sse({"error": {"code": 429, "message": "sesame"}}), UpstreamBusy),
        (sse({"error": {"code": 503, "message": "sesame"}}), UpstreamUnavailable),
        (b"", UpstreamBroke),
        (b"data: " + json.dumps(delta("x", "stop")).encode(), UpstreamBroke),
    ],
    ids=[
        "no JSON",
        "no object",
        "too deep",
        "number too long",
        "choices no list",
        "no choices",
        "choice no object",
        "delta no object",
        "content number",
        "content list",
        "finish reason number",
        "error",
        "error text",
        "error 400",
        "error 429",
        "error 503",
        "nothing",
        "half an event",
    ],
)
async def test_a_bad_stream_fails_the_reply_and_keeps_what_came(
    upstream: FakeUpstream, make: Make, stream: bytes, kind: type[PipelineError]
) -> None:
    """The client keeps the words it has seen, and is told in words of ours, not of the upstream's."""
    upstream.plays(chunks(sse(delta("so far")), stream))
    heard = Heard()

    with pytest.raises(kind) as caught:
        await listen(make(), heard=heard)

    assert (heard.text, heard.finish) == ("so far", None)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("ending", ["no end", "half an event", "half a chunk", "reset"])
async def test_a_stream_that_ends_too_early_broke(upstream: FakeUpstream, make: Make, ending: str) -> None:
    """Without a finish reason or [DONE], nobody knows whether something is missing."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a")))
        if ending == "half an event":
            await exchange.chunk(b'data: {"choices"')
        if ending == "half a chunk":
            await exchange.raw(b"ff\r\ndata: ")
        await (exchange.end() if ending == "no end" else exchange.cut())

    upstream.plays(script)
    heard = Heard()

    with pytest.raises(UpstreamBroke):
        await listen(make(), heard=heard)

    assert heard.text == "a"
    assert len(upstream.requests) == 1


async def test_silence_in_the_middle_breaks_the_reply(upstream: FakeUpstream, make: Make) -> None:
    """It is not repeated: the client would see the beginning twice."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a")))
        await exchange.gone()

    upstream.plays(script)

    with pytest.raises(UpstreamBroke):
        await listen(make(read_timeout=0.05))

    assert len(upstream.requests) == 1


@pytest.mark.parametrize("content_type", ["text/html", "text/event-stream+x", "image/png"])
async def test_an_unknown_content_type_is_not_guessed_at(
    upstream: FakeUpstream, make: Make, content_type: str
) -> None:
    """Login pages of captive portals come with status 200."""
    upstream.plays(chunks(FINE, content_type=content_type))

    with pytest.raises(UpstreamGarbled):
        await listen(make())


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 1}}]}', b"\xff\xfe\xfd"],
)
async def test_a_bad_whole_answer_is_garbled(upstream: FakeUpstream, make: Make, body: bytes) -> None:
    """Wrong types must end the reply, not the server."""
    upstream.plays(whole(200, body, Content_Type="application/json"))

    with pytest.raises(UpstreamGarbled):
        await listen(make())


async def test_a_compressed_answer_is_garbled(upstream: FakeUpstream, make: Make) -> None:
    """Nobody asked for one, and a thousandth of its size on the wire would get around every bound."""
    upstream.plays(whole(200, b"x", Content_Type="application/json", Content_Encoding="gzip"))

    with pytest.raises(UpstreamGarbled):
        await listen(make())

    assert upstream.requests[0].headers["accept-encoding"] == "identity"


async def test_something_other_than_http_is_garbled(upstream: FakeUpstream, make: Make) -> None:
    """A wrong port is not worth a second try."""

    async def script(exchange: Exchange) -> None:
        await exchange.raw(b"SSH-2.0-OpenSSH\r\n\r\n")
        await exchange.gone()

    upstream.plays(script)

    with pytest.raises(UpstreamGarbled):
        await listen(make())


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 403, 404, 422])
async def test_redirects_and_refusals_are_final(upstream: FakeUpstream, make: Make, status: int) -> None:
    """Whoever can redirect us could have the key; and asking again would not help."""
    upstream.plays(whole(status, "sesame", Location=f"{upstream.url}/elsewhere?sesame"))

    with pytest.raises(UpstreamRefused) as caught:
        await listen(make())

    assert caught.value.status == status
    assert len(upstream.requests) == 1
    assert "sesame" not in str(caught.value)


async def test_a_redirect_to_nowhere_fails_the_reply_only(upstream: FakeUpstream, make: Make) -> None:
    """httpx reads `Location` even when told not to follow it, and stumbles over bad ones."""
    upstream.plays(whole(302, Location="http://sesame:port/"))

    with pytest.raises(PipelineError) as caught:
        await listen(make())

    assert "sesame" not in str(caught.value)


# Bounds


@pytest.mark.parametrize("endless", [b"x", b"data: x\n", b": comment\n"], ids=["line", "event", "comments"])
async def test_an_endless_event_is_cut_off(upstream: FakeUpstream, make: Make, endless: bytes) -> None:
    """An event that never ends must not fill the memory."""
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.head(Content_Type="text/event-stream")
        while True:
            await exchange.chunk(endless * (2**16 // len(endless)))
            sent += 2**16

    upstream.plays(script)

    with pytest.raises(UpstreamGarbled):
        await listen(make())

    # What the sockets' buffers hold comes on top of what was read.
    assert sent < 2**20 + 2**24


async def test_nothing_of_a_failed_reply_is_left_to_the_garbage_collector(
    upstream: FakeUpstream, make: Make
) -> None:
    """Async generators that are closed by the collector run at its time, and each of them warns."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        while True:
            await exchange.chunk(b"x" * 2**16)

    upstream.plays(script)

    # Not `pytest.raises`, which would keep the frames alive beyond the end of trio's run.
    with contextlib.suppress(UpstreamGarbled):
        await listen(make())

    gc.collect()


async def test_an_endless_whole_answer_is_cut_off(upstream: FakeUpstream, make: Make) -> None:
    """The body of an answer that is no stream is gathered before it is read."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="application/json")
        while True:
            await exchange.chunk(b" " * 2**16)

    upstream.plays(script)

    with pytest.raises(UpstreamGarbled):
        await listen(make(max_reply_size=10))


async def test_an_endless_error_body_is_not_read(upstream: FakeUpstream, make: Make) -> None:
    """A refusal is clear from its status."""
    gone = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(400, Content_Type="application/json")
        try:
            while True:
                await exchange.chunk(b"x" * 2**16)
        except trio.BrokenResourceError:
            gone.set()

    upstream.plays(script)

    with pytest.raises(UpstreamRefused):
        await listen(make())
    await gone.wait()


async def test_a_reply_that_grows_too_long_is_cut_in_good_order(upstream: FakeUpstream, make: Make) -> None:
    """Too much of an answer is still an answer."""
    gone = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        for _ in range(3):
            await exchange.chunk(sse(delta("日本語")))
        await exchange.gone()
        gone.set()

    upstream.plays(script)

    heard = await listen(make(max_reply_size=7))

    assert (heard.text, heard.finish) == ("日本語日本語日", Finish("length"))
    await gone.wait()


async def test_a_reply_of_just_the_allowed_length_is_whole(upstream: FakeUpstream, make: Make) -> None:
    """The bound is the most that is allowed, not the least that is not."""
    heard = await served(upstream, make, sse(delta("abc"), delta("de", "stop")), max_reply_size=5)

    assert (heard.text, heard.finish) == ("abcde", Finish("stop"))


# Retries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_failure_is_asked_again(
    upstream: FakeUpstream, make: Make, waits: list[float], status: int
) -> None:
    """Nothing was said yet, so nobody notices."""
    upstream.plays(whole(status), whole(status), chunks(FINE))

    heard = await listen(make())

    assert heard.text == "fine"
    assert waits == [0.5, 1.0]
    assert upstream.requests[0].body == upstream.requests[2].body


@pytest.mark.parametrize(("status", "kind"), [(429, UpstreamBusy), (503, UpstreamUnavailable)])
async def test_retries_come_to_an_end(
    upstream: FakeUpstream, make: Make, status: int, kind: type[PipelineError]
) -> None:
    """The client hears of it rather than waiting for ever."""
    upstream.plays(*[whole(status)] * 4)

    with pytest.raises(kind):
        await listen(make(retries=2))

    assert len(upstream.requests) == 3


async def test_an_upstream_that_hangs_up_before_answering_is_asked_again(
    upstream: FakeUpstream, make: Make
) -> None:
    """That is how a server closes an idle connection in the moment in which we use it."""
    upstream.plays(cut, chunks(FINE))

    assert (await listen(make())).text == "fine"


async def test_an_upstream_that_never_answers_is_asked_again(upstream: FakeUpstream, make: Make) -> None:
    """Silence before the first byte may be a worker that died."""

    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    upstream.plays(script, chunks(FINE))

    assert (await listen(make(read_timeout=0.05, retries=1))).text == "fine"


async def test_an_upstream_that_never_answers_is_unavailable_in_the_end(
    upstream: FakeUpstream, make: Make
) -> None:
    """The read time-out is the last word when there are no retries."""

    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    upstream.plays(script)

    with pytest.raises(UpstreamUnavailable):
        await listen(make(read_timeout=0.05, retries=0))


async def test_nobody_at_the_address_is_unavailable(make: Make, waits: list[float]) -> None:
    """A server that is being restarted is tried again."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()

    with pytest.raises(UpstreamUnavailable, match=f"http://127.0.0.1:{port}"):
        await listen(make(f"http://127.0.0.1:{port}", retries=2))

    assert len(waits) == 2


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("3", 3.0),
        ("0", 0.5),
        (format_datetime(NOW + timedelta(seconds=4), usegmt=True), 4.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.5),
        ("soon", 0.5),
        ("9" * 5000, 0.5),
        ("Fri, 99 Foo 2026", 0.5),
        ("-1", 0.5),
    ],
)
async def test_retry_after_is_honoured(
    upstream: FakeUpstream, make: Make, waits: list[float], value: str, wait: float
) -> None:
    """The upstream knows best, when it speaks clearly."""
    upstream.plays(whole(429, Retry_After=value), chunks(FINE))

    assert (await listen(make())).text == "fine"
    assert waits == [wait]


@pytest.mark.parametrize(("status", "kind"), [(429, UpstreamBusy), (503, UpstreamUnavailable)])
async def test_a_pause_beyond_all_patience_is_not_waited_for(
    upstream: FakeUpstream, make: Make, waits: list[float], status: int, kind: type[PipelineError]
) -> None:
    """A person is waiting; better a clear word now than an answer in an hour."""
    upstream.plays(whole(status, Retry_After="3600"))

    with pytest.raises(kind):
        await listen(make(max_retry_wait=10.0))

    assert waits == []
    assert len(upstream.requests) == 1


# Leaving


async def test_a_stopped_reply_hangs_up_on_the_upstream(upstream: FakeUpstream, make: Make) -> None:
    """Every further token would cost money and be read by nobody."""
    gone = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a"), delta("b")))
        await exchange.gone()
        gone.set()

    upstream.plays(script)
    reply = generator(make())
    assert await anext(reply) == "a"

    await reply.aclose()

    await gone.wait()


@pytest.mark.parametrize("head", [True, False], ids=["amid the stream", "before the head"])
async def test_a_cancelled_reply_hangs_up_on_the_upstream(
    upstream: FakeUpstream, make: Make, head: bool
) -> None:
    """Cancellation finds the reply waiting for the upstream."""
    waiting, gone = trio.Event(), trio.Event()

    async def script(exchange: Exchange) -> None:
        if head:
            await exchange.head(Content_Type="text/event-stream")
            await exchange.chunk(sse(delta("a")))
        waiting.set()
        await exchange.gone()
        gone.set()

    upstream.plays(script)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, make())
        await waiting.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    await gone.wait()


async def test_a_reply_closed_under_cancellation_still_hangs_up(upstream: FakeUpstream, make: Make) -> None:
    """The server stops replies by cancelling the task that reads them, wherever it is."""
    gone = trio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head(Content_Type="text/event-stream")
        await exchange.chunk(sse(delta("a")))
        await exchange.gone()
        gone.set()

    upstream.plays(script)
    reply = generator(make())
    await anext(reply)

    with trio.CancelScope() as scope:
        scope.cancel()
        await reply.aclose()

    await gone.wait()


# Secrets

SECRETS = ("sk-sesame", "pass-sesame", "user-sesame", "query-sesame", "path-sesame")


@pytest.mark.parametrize(
    "script",
    [
        chunks(FINE),
        whole(503),
        whole(401),
        whole(302, Location="/?query-sesame"),
        chunks(sse("{")),
        chunks(sse({"error": {"message": "bad key sk-sesame"}})),
        cut,
        chunks(b"x", content_type="x/path-sesame"),
    ],
    ids=["fine", "503", "401", "302", "garbled", "error", "cut", "content type"],
)
@pytest.mark.parametrize("with_key", [True, False], ids=["key", "user"])
async def test_no_secret_reaches_an_error_or_a_log(
    upstream: FakeUpstream,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    script: Script,
    with_key: bool,
) -> None:
    """Logs are read by more people than keys are meant for."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name)
    user = "" if with_key else "user-sesame:pass-sesame@"
    model = make(
        f"http://{user}127.0.0.1:{upstream.port}/path-sesame?k=query-sesame",
        api_key="sk-sesame" if with_key else None,
    )
    upstream.plays(script, script, script)

    failure = None
    try:
        await listen(model)
    except PipelineError as error:
        logging.getLogger("test").exception("the reply failed")
        failure = error

    shown = [caplog.text, repr(model), repr(model._upstream)]
    if failure is not None:
        # Not even where a more talkative logger would look.
        assert failure.__cause__ is failure.__context__ is None
        shown += [repr(failure), failure.said]
    assert not [secret for secret in SECRETS if secret in "\n".join(shown)]


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "ftp://sesame/"},
        {"base_url": "sesame"},
        {"base_url": "http://[sesame"},
        {"base_url": "http:///sesame"},
        {"base_url": "http://sesame:x@h", "api_key": "sesame"},
        {"api_key": "ses\name"},
        {"api_key": "sesamé"},
        {"api_key": " "},
        {"parameters": {"messages": []}},
        {"parameters": {"x": object()}},
        {"history": -1},
        {"retries": -1},
        {"read_timeout": 0},
    ],
    ids=str,
)
def test_senseless_arguments_are_refused_in_one_line(options: dict[str, Any]) -> None:
    """The operator sees this line at the start of the server; it may be seen by others, too."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        OpenAIModel(**{"base_url": "http://h", "model": "m", **options})

    assert "sesam" not in str(caught.value)


def test_the_line_end_of_a_key_file_is_forgiven() -> None:
    """`echo $KEY > file` adds one."""
    model = OpenAIModel("http://h", "m", api_key="key\n")

    assert model._upstream._headers["authorization"] == "Bearer key"
