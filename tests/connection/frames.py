"""Clients' frames as hypothesis draws them: what was meant, and how it went over the wire."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from hypothesis import strategies as st

from server.connection.framing import BINARY, CLOSE, PING, PONG, TEXT
from server.connection.rfc6455 import Closed, Happening, Ping


@frozen
class Said:
    """Bytes of a client, and what a server is to make of them."""

    data: bytes
    meant: list[Happening]


def masked(first: int, payload: bytes, mask: bytes) -> bytes:
    """A client's frame that begins with the byte *first*."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 2**16:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


masks = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.binary(max_size=40),
    # Around the sizes where the head of a frame becomes longer.
    st.builds(lambda size, byte: bytes([byte]) * size, st.integers(120, 130), st.integers(0, 255)),
    st.builds(
        lambda size, byte: bytes([byte]) * size, st.integers(2**16 - 2, 2**16 + 2), st.integers(0, 255)
    ),
)
texts = st.one_of(
    st.text(max_size=20),
    st.builds(lambda size, letter: letter * size, st.integers(40, 130), st.sampled_from("aé€🙂")),
    st.builds(lambda size: "x" * size, st.integers(2**16 - 2, 2**16 + 2)),
)


@st.composite
def controls(draw: Any) -> Said:
    payload = draw(st.binary(max_size=125))
    ping = draw(st.booleans())
    data = masked(0x80 | (PING if ping else PONG), payload, draw(masks))
    return Said(data, [Ping(payload)] if ping else [])


@st.composite
def messages(draw: Any) -> Said:
    """A message in some fragments, with control frames between them."""
    meant = draw(st.one_of(texts, payloads))
    opcode, payload = (TEXT, meant.encode()) if isinstance(meant, str) else (BINARY, meant)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    parts = [payload[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data = b""
    happened: list[Happening] = []
    for number, part in enumerate(parts, start=1):
        data += masked((0x80 if number == len(parts) else 0) | opcode, part, draw(masks))
        opcode = 0
        for between in draw(st.lists(controls(), max_size=2)) if number < len(parts) else []:
            data += between.data
            happened += between.meant
    return Said(data, [*happened, meant])


@st.composite
def closes(draw: Any) -> Said:
    mask = draw(masks)
    if draw(st.booleans()):
        return Said(masked(0x80 | CLOSE, b"", mask), [Closed(None)])
    code = draw(st.sampled_from([1000, 1001, 1003, 1007, 1013, 3000, 4999]))
    reason = draw(st.text(max_size=30))
    return Said(masked(0x80 | CLOSE, code.to_bytes(2, "big") + reason.encode(), mask), [Closed(code, reason)])


@st.composite
def conversations(draw: Any) -> Said:
    """All that one client says, perhaps with a Close at the end."""
    said = draw(st.lists(st.one_of(messages(), controls()), max_size=6))
    said += draw(st.lists(closes(), max_size=1))
    return Said(b"".join(each.data for each in said), [what for each in said for what in each.meant])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """*data*, cut at these places; those beyond its end begin again at its begin."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
