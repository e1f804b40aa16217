"""Telling a plain handshake by its first bytes: whatever is recognised, hypercorn would have taken so too."""

from __future__ import annotations

import socket
from typing import Any

import attrs
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from server.listener.connection import Connection
from server.listener.hand_over import Arrival
from server.listener.raw_socket import RawSocket
from server.listener.upgrade import recognise
from tests.listener.inside import listener
from tests.listener.raw import TEXT, Raw, frame, upgrade

# What the two ways make differently, and need to.
OWN = ("extensions", "state", "client", "server")
ANSWERS = ("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions")


@attrs.define(eq=False)
class Listening:
    """An application that takes every WebSocket, and remembers what it was told of it."""

    scope: dict[str, Any] | None = None
    first: bytes = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        self.scope = dict(scope)
        chosen = (scope["subprotocols"] or [None])[0]
        offer = scope["extensions"].get("triologue.stream")
        if offer is not None:
            self.first = await offer.accept(chosen)
        else:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": chosen})


async def answer(data: bytes, *, straight: bool) -> tuple[Listening, list[str]]:
    """What becomes of a connection that begins so, on one of the two ways."""
    ours, theirs = socket.socketpair()
    app, under = Listening(), listener()
    served: Any = app
    wrapped = wrap_app(served, 0, "asgi")
    context, client = WorkerContext(None), trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
    async with Raw(client) as peer, trio.open_nursery() as nursery:
        if straight:
            nursery.start_soon(Arrival(wrapped, context, {}, under, RawSocket(ours), "").run)
        else:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            nursery.start_soon(Connection(wrapped, Config(), context, {}, under, stream).run)
        await peer.send(data)
        head = await peer.head()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return app, head.split("\r\n")


def lines(head: list[str]) -> set[tuple[str, str]]:
    """What a response says; not when and by whom it was said."""
    found = {(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:])}
    tokens = {(name, value.lower()) for name, value in found if name in ("upgrade", "connection")}
    return tokens | {(name, value) for name, value in found if name in ANSWERS}


async def compare(data: bytes) -> None:
    straight, head = await answer(data, straight=True)
    plain, expected = await answer(data, straight=False)

    assert expected[0].split()[:2] == ["HTTP/1.1", "101"]
    assert head[0].split()[:2] == ["HTTP/1.1", "101"]
    assert straight.scope is not None
    assert plain.scope is not None
    for field in plain.scope:
        if field not in OWN:
            assert straight.scope[field] == plain.scope[field], field
    assert set(straight.scope) == set(plain.scope)
    assert lines(head) == lines(expected)


GOOD = {
    "nothing odd": upgrade(),
    "a query": upgrade("/echo?a=b&c=%20?d"),
    "escapes in the path": upgrade("/%e4%bd%a0/%2F%00%ff"),
    "subprotocols": upgrade("/", "Sec-WebSocket-Protocol: triologue.v1, b"),
    "an offer of compression": upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate"),
    "many headers": upgrade("/", "Origin: http://a", "Cookie: a=b", "Cookie: c=d", "X-Empty:", "X-Tab:\tx\t"),
    "a browser": upgrade("/").replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
async def test_a_plain_handshake_is_answered_as_by_hypercorn(data: bytes) -> None:
    """The application and the client must not be able to tell which way it went."""
    assert recognise(data) is not None
    with trio.fail_after(20):
        await compare(data)


BAD = {
    "nothing": b"",
    "half of one": upgrade()[:-3],
    "all but one byte": upgrade()[:-1],
    "another method": upgrade().replace(b"GET", b"POST"),
    "HTTP/1.0": upgrade(version="HTTP/1.0"),
    "an absolute target": upgrade("http://localhost/echo"),
    "a byte outside ASCII in the path": upgrade("/café"),
    "a byte outside ASCII in a header": upgrade("/", "X-Name: café"),
    "a byte outside ASCII in the subprotocol": upgrade("/", "Sec-WebSocket-Protocol: café"),
    "a NUL in a header": upgrade("/", "X-Name: a\0b"),
    "a folded line": upgrade("/", "X-Name: a", " b"),
    "white space before a colon": upgrade("/", "X-Name : a"),
    "a line without a colon": upgrade("/", "X-Name"),
    "bare line feeds": upgrade().replace(b"\r\n", b"\n"),
    "no host": upgrade().replace(b"Host: localhost\r\n", b""),
    "two hosts": upgrade("/", "Host: elsewhere"),
    "no upgrade": upgrade().replace(b"Upgrade: websocket\r\n", b""),
    "another upgrade": upgrade().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "two upgrades": upgrade("/", "Upgrade: websocket"),
    "no connection": upgrade().replace(b"Connection: Upgrade\r\n", b""),
    "another connection": upgrade().replace(b"Connection: Upgrade", b"Connection: close"),
    "no key": upgrade().replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
    "two keys": upgrade("/", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "a short key": upgrade().replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBs"),
    "no version": upgrade().replace(b"Sec-WebSocket-Version: 13\r\n", b""),
    "an old version": upgrade().replace(b"Version: 13", b"Version: 8"),
    "a body": upgrade("/", "Content-Length: 3") + b"xyz",
    "a body in chunks": upgrade("/", "Transfer-Encoding: chunked"),
    "trailers": upgrade("/", "Trailer: none"),
    "an expectation": upgrade("/", "Expect: 100-continue"),
    "a subprotocol twice": upgrade("/", "Sec-WebSocket-Protocol: a, a"),
    "two lists of subprotocols": upgrade("/", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
    "an empty list of subprotocols": upgrade("/", "Sec-WebSocket-Protocol:"),
    "a subprotocol that is no token": upgrade("/", "Sec-WebSocket-Protocol: a b"),
    "a head that is too long": upgrade("/", "X-Name: " + "x" * 2**14),
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_odd_is_left_to_hypercorn(data: bytes) -> None:
    """Which has an answer to each."""
    assert recognise(data) is None


@given(st.binary(max_size=300))
def test_what_came_right_after_it_is_kept(rest: bytes) -> None:
    """A hasty client's first frames."""
    found = recognise(upgrade() + rest)

    assert found is not None
    assert found.rest == rest


@given(st.integers(0, 1000))
def test_a_piece_of_one_is_not_enough(size: int) -> None:
    """It may still become anything."""
    head = upgrade("/echo", "Origin: http://localhost")
    assert (recognise(head[:size]) is None) == (size < len(head))


tokens = st.text("!#$%&'*+-.^_`|~azAZ09", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
targets = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
NAMES = ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]
others = st.one_of(
    st.tuples(tokens, values),
    st.tuples(st.sampled_from(["Sec-WebSocket-Protocol"]), st.lists(tokens, max_size=3).map(", ".join)),
    st.tuples(
        st.sampled_from([*NAMES, "Content-Length", "Sec-WebSocket-Extensions", "Keep-Alive", "Trailer"]),
        st.one_of(values, st.sampled_from(["websocket", "Upgrade", "13", "0", "permessage-deflate"])),
    ),
)


@st.composite
def heads(draw: Any) -> bytes:
    """Handshakes, most of them right, with other headers in between, in any order and case."""
    headers = [
        ("Host", draw(st.sampled_from(["localhost", "localhost:80", "[::1]:8000", ""]))),
        ("Upgrade", draw(st.sampled_from(["websocket", "WebSocket", "WEBSOCKET "]))),
        ("Connection", draw(st.sampled_from(["Upgrade", "upgrade", "keep-alive, Upgrade", "x,UPGRADE , y"]))),
        ("Sec-WebSocket-Key", draw(st.sampled_from(["dGhlIHNhbXBsZSBub25jZQ==", "A" * 22 + "=="]))),
        ("Sec-WebSocket-Version", "13"),
        *draw(st.lists(others, max_size=3)),
    ]
    headers = draw(st.permutations(headers))
    space = st.sampled_from(["", " ", "\t ", "  "])
    found = [f"{draw(st.sampled_from([n, n.lower(), n.upper()]))}:{draw(space)}{v}" for n, v in headers]
    return "\r\n".join([f"GET /{draw(targets)} HTTP/1.1", *found, "", ""]).encode("ascii")


@given(heads())
@settings(deadline=None, max_examples=300)
def test_whatever_is_recognised_hypercorn_takes_the_same_way(data: bytes) -> None:
    """It would answer 101 as well, and tell the application the same of it."""
    if recognise(data) is not None:
        trio.run(compare, data)


@given(heads(), st.integers(0, 400), st.binary(min_size=1, max_size=2), st.integers(0, 1))
@settings(deadline=None, max_examples=300)
def test_a_handshake_with_a_wrong_byte_is_left_alone_or_right(
    data: bytes, at: int, put: bytes, remove: int
) -> None:
    """What is taken by mistake would be served to somebody who asked for something else."""
    changed = data[:at] + put + data[at + remove :]
    found = recognise(changed)
    if found is not None and not found.rest:
        trio.run(compare, changed)


async def test_frames_ahead_of_the_answer_are_the_application_s() -> None:
    """They were read with the head."""
    app, _ = await answer(upgrade() + frame(TEXT, "early"), straight=True)

    assert app.first == frame(TEXT, "early")
