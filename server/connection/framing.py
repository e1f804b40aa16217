"""A server's WebSocket frames (RFC 6455): from what they mean to bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
LONGEST_CONTROL = 125


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame of a server."""
    size = len(payload)
    if size < 126:
        return bytes((FINAL | opcode, size)) + payload
    if size < 2**16:
        return bytes((FINAL | opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((FINAL | opcode, 127)) + size.to_bytes(8, "big") + payload


def text_frame(payload: bytes) -> bytes:
    """The frame of one text."""
    size = len(payload)
    return _SHORT_TEXTS[size] + payload if size < len(_SHORT_TEXTS) else frame(TEXT, payload)


def text_frames(payloads: Iterable[bytes]) -> bytes:
    """The frames of several texts in a row."""
    parts: list[bytes] = []
    short = len(_SHORT_TEXTS)
    for payload in payloads:
        size = len(payload)
        if size < short:
            parts += _SHORT_TEXTS[size], payload
        else:
            parts.append(frame(TEXT, payload))
    return b"".join(parts)


_SHORT_TEXTS = [frame(TEXT, b"")[:1] + bytes((size,)) for size in range(126)]
"""How they begin, by their size."""


def texts(frames: bytes) -> Iterator[str]:
    """What the text frames of a server say, whole ones in a row."""
    at = 0
    while at < len(frames):
        size, at = frames[at + 1], at + 2
        if size > LONGEST_CONTROL:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(frames[at : at + width], "big"), at + width
        yield frames[at : at + size].decode()
        at += size


def close_frame(code: int | None, reason: str = "") -> bytes:
    """A Close; a reason that is too long for one is cut."""
    if code is None:
        return frame(CLOSE, b"")
    said = reason.encode()[: LONGEST_CONTROL - 2].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + said)
