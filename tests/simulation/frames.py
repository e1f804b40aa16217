"""RFC 6455 as a client speaks it: frames that it masks, fragments and mixes at random, and those it gets.

Written apart from the server's own half, so that the two don't share their mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from websockets.utils import apply_mask

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
# The first bytes that a server's frame may have here: whole, without extensions.
_FIRST = {0x80 | opcode for opcode in (TEXT, CLOSE, PING, PONG)}
_LONGEST_CONTROL = 125
# Nothing that a simulated server says is as long as this.
_LONGEST = 2**20


class NoFrame(Exception):
    """What came is not what a server may send."""


class ServerFrames:
    """Takes a server's bytes apart, as strictly as a browser does."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def torn(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The opcode and payload of each frame that *data* brings to an end.

        Raises:
            NoFrame: None can be made of it.
        """
        rest = self._rest
        rest += data
        while len(rest) >= 2:
            first, size, body = rest[0], rest[1], 2
            if first not in _FIRST:
                raise NoFrame(f"it begins with {first:#04x}")
            if size > _LONGEST_CONTROL:
                if size > 127 or first & 0x08:
                    raise NoFrame(f"its second byte is {size:#04x}")
                body = 4 if size == 126 else 10
                if len(rest) < body:
                    return
                size = int.from_bytes(rest[2:body], "big")
                if not (126 if body == 4 else 2**16) <= size < _LONGEST:
                    raise NoFrame(f"it says that it has {size} bytes")
            if len(rest) < body + size:
                return
            payload = bytes(rest[body : body + size])
            del rest[: body + size]
            yield first & 0x0F, payload


def masked(opcode: int, payload: bytes, dice: Random, *, last: bool = True) -> bytes:
    """One frame of a client."""
    head, size, key = bytes((last << 7 | opcode,)), len(payload), dice.randbytes(4)
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 2**16:
        head += bytes((0x80 | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((0x80 | 127,)) + size.to_bytes(8, "big")
    return head + key + apply_mask(payload, key)


def message(text: str, dice: Random, pings: set[bytes]) -> Iterator[bytes]:
    """A text message: one frame or several, maybe empty ones, with Pings in between, noted in *pings*."""
    payload = text.encode()
    cuts = sorted(dice.randint(0, len(payload)) for _ in range(dice.choice((0, 0, 0, 1, 2, 5))))
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
        if number and dice.random() < 0.2:
            payload_of_ping = dice.randbytes(dice.choice((0, 4, 125)))
            pings.add(payload_of_ping)
            yield masked(PING, payload_of_ping, dice)
        yield masked(0 if number else TEXT, payload[begin:end], dice, last=number == len(cuts))


def closing(code: int | None, dice: Random) -> bytes:
    """A client's Close; without a payload if there is no *code*."""
    return masked(CLOSE, b"" if code is None else code.to_bytes(2, "big") + b"bye", dice)


BREACHES: dict[str, tuple[bytes, int]] = {
    "unmasked": (b"\x81\x02hi", 1002),
    "a reserved bit": (b"\xc1\x80\0\0\0\0", 1002),
    "a reserved opcode": (b"\x83\x80\0\0\0\0", 1002),
    "a continuation of nothing": (b"\x80\x80\0\0\0\0", 1002),
    "a fragmented Ping": (b"\x09\x80\0\0\0\0", 1002),
    "no UTF-8": (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
    "a code that may not be said": (b"\x88\x82\0\0\0\0\x03\xed", 1002),
    "endless": (b"\x81\xff\0\0\0\xff\0\0\0\0\0\0\0\0", 1009),
}
"""Frames that break the rules, and the code that the server has to close with."""
