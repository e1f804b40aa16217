"""A client's WebSocket frames (RFC 6455): from its bytes to what they mean. Pure.

A server's half, without extensions; `framing.py` is the way back. What comes in one piece, as nearly
everything does, is taken apart with a few steps; what comes in pieces is kept in a `_Partial`, which most
sockets never need.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from attrs import frozen

from .framing import BINARY, CLOSE, FINAL, LONGEST_CONTROL, PING, PONG, TEXT

try:
    from websockets.speedups import apply_mask
except ImportError:  # there is no wheel for this machine
    from websockets.utils import apply_mask

_MASKED = 0x80
# Frames without a byte in one message; the limit of its size does not bound them.
_EMPTY_FRAMES = 10_000
# Bytes of an unfinished message that its socket may hold whatever the others hold.
_FREE = 4 * 2**10
# Frames that are taken apart at once: ten thousand of six bytes held everybody up for 100 ms.
_TURN = 32

PROTOCOL_ERROR, BAD_DATA, POLICY, TOO_BIG, TRY_AGAIN = 1002, 1007, 1008, 1009, 1013


@frozen
class Ping:
    payload: bytes


@frozen
class Closed:
    """The peer's Close; no code if it gave none. Nothing follows it."""

    code: int | None
    reason: str = ""


@frozen
class Broken:
    """The peer did what it must not, and is to be closed with this code. Nothing follows it."""

    code: int


Happening = str | bytes | Ping | Closed | Broken
"""A text message, a binary one, or one of the others. Pongs mean nothing."""


class _Partial:
    """A message of which not all has come."""

    __slots__ = ("data", "decoder", "empty", "held", "mask", "missing", "opcode", "whole")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.data = bytearray()
        self.decoder = codecs.getincrementaldecoder("utf-8")() if opcode == TEXT else None
        self.held = 0
        self.empty = 0
        # Of the frame under way: its mask from here on, the bytes that are to come, whether it is the last.
        self.mask = b""
        self.missing = 0
        self.whole = False


class Parser:
    """A client's half of one WebSocket.

    Args:
        limit: Bytes that a message may have.
        hold: Counts more bytes of unfinished messages, over all sockets, or says that there are too many.
        give_back: Counts them no longer.

    Attributes:
        has_more: Whether `feed` has left something for its next call, because there was so much.
    """

    __slots__ = ("_deaf", "_give_back", "_hold", "_limit", "_over", "_partial", "_rest", "has_more")

    def __init__(self, limit: int, hold: Callable[[int], bool], give_back: Callable[[int], None]) -> None:
        self._limit = limit
        self._hold = hold
        self._give_back = give_back
        self._rest = b""
        self._partial: _Partial | None = None
        self._deaf = False
        self._over = False
        self.has_more = False

    @property
    def in_message(self) -> bool:
        """Whether a message, or a frame, has begun and not ended."""
        return self._partial is not None or bool(self._rest)

    @property
    def missing(self) -> int:
        """How many bytes of the frame under way are known to be still to come."""
        return 0 if self._partial is None else self._partial.missing

    def feed(self, data: bytes) -> list[Happening]:
        """What *data*, the next bytes, bring to an end, in order: as much of it as is done at once."""
        if self._over:
            return []
        self.has_more = False
        if self._rest:
            data, self._rest = self._rest + data, b""
        happened: list[Happening] = []
        at, end, turn = 0, len(data), _TURN
        while at < end:
            if turn == 0:
                self._rest, self.has_more = data[at:], True
                break
            turn -= 1
            partial = self._partial
            if partial is not None and partial.missing:
                at = self._go_on(partial, data, at, happened)
            else:
                size = self._begin(data, at, end, happened)
                if size == 0:
                    self._rest = data[at:]
                    break
                at += size
            if happened and type(happened[-1]) in _LAST:
                self.forget()
                self._over = True
                break
        return happened

    def deafen(self) -> None:
        """Hold nothing more, of the message under way and those to come: only a Close counts from now on."""
        self._deaf = True
        if (partial := self._partial) is not None:
            self._give_back(partial.held)
            partial.held = 0
            partial.data.clear()
            partial.decoder = None

    def forget(self) -> None:
        """Hold nothing more of what came. Whatever may still come begins with a new frame."""
        if self._partial is not None:
            self._give_back(self._partial.held)
            self._partial = None
        self._rest = b""

    def _begin(self, data: bytes, at: int, end: int, happened: list[Happening]) -> int:
        """Take the frame that begins at *at*, or what is there of it: so many bytes; 0 if too few."""
        if end - at < 6:
            return self._check_early(data, at, end, happened)
        first, size = data[at], data[at + 1]
        if size < 0x80:
            happened.append(Broken(PROTOCOL_ERROR))  # not masked
            return 2
        size &= 0x7F
        body = at + 6
        if size > 125:
            length = 2 if size == 126 else 8
            body += length
            if body > end:
                return self._check_early(data, at, end, happened)
            size = int.from_bytes(data[at + 2 : at + 2 + length], "big")
            if size < (126 if length == 2 else 2**16) or size >= 2**63:
                happened.append(Broken(PROTOCOL_ERROR))  # not the shortest form
                return 2
        mask = data[body - 4 : body]
        if first == FINAL | TEXT and body + size <= end and self._partial is None and size <= self._limit:
            try:
                happened.append(apply_mask(data[body : body + size], mask).decode())
            except UnicodeDecodeError:
                happened.append(Broken(BAD_DATA))
            return body + size - at
        if first & 0x08:
            if (code := _control_fault(first, size)) is not None:
                happened.append(Broken(code))
                return 2
            if body + size > end:
                return 0
            self._control(first & 0x0F, apply_mask(data[body : body + size], mask), happened)
            return body + size - at
        fault = self._begin_data(first, size, mask)
        if fault is not None:
            happened.append(Broken(fault))
        elif size == 0:
            self._frame_ended(happened)
        return body - at

    def _check_early(self, data: bytes, at: int, end: int, happened: list[Happening]) -> int:
        """A head that is not all there: enough to be wrong, maybe."""
        first = data[at]
        unmasked = end - at > 1 and data[at + 1] < _MASKED
        if unmasked or first & 0x70 or first & 0x0F not in _OPCODES:
            happened.append(Broken(PROTOCOL_ERROR))
            return 2
        return 0

    def _begin_data(self, first: int, size: int, mask: bytes) -> int | None:
        """Go into a data frame; the code to close with, if it must not be there."""
        opcode, partial = first & 0x0F, self._partial
        begins = opcode != 0
        if first & 0x70 or opcode not in (0, TEXT, BINARY) or begins == (partial is not None):
            return PROTOCOL_ERROR
        if partial is None:
            partial = self._partial = _Partial(opcode)
        if len(partial.data) + size > self._limit:
            return TOO_BIG
        partial.mask, partial.missing, partial.whole = mask, size, bool(first & FINAL)
        if size == 0 and not partial.whole:
            partial.empty += 1
            if partial.empty > _EMPTY_FRAMES:
                return POLICY
        return None

    def _go_on(self, partial: _Partial, data: bytes, at: int, happened: list[Happening]) -> int:
        """Take what is there of the data frame under way; where that ends."""
        piece = apply_mask(data[at : at + partial.missing], partial.mask)
        size = len(piece)
        partial.missing -= size
        turn = size % 4
        partial.mask = partial.mask[turn:] + partial.mask[:turn]
        if self._deaf:
            piece = b""
        ends = partial.missing == 0 and partial.whole
        more = max(0, len(partial.data) + len(piece) - _FREE) - partial.held
        if not ends and more > 0:
            if not self._hold(more):
                happened.append(Broken(TRY_AGAIN))
                return at + size
            partial.held += more
        partial.data += piece
        if partial.decoder is not None:
            try:
                partial.decoder.decode(piece)  # as soon as it is wrong, it is known to be
            except UnicodeDecodeError:
                happened.append(Broken(BAD_DATA))
                return at + size
        if partial.missing == 0:
            self._frame_ended(happened)
        return at + size

    def _frame_ended(self, happened: list[Happening]) -> None:
        partial = self._partial
        assert partial is not None
        if not partial.whole:
            return
        self.forget()
        if partial.decoder is None:
            happened.append(bytes(partial.data))
            return
        try:
            happened.append(partial.data.decode())
        except UnicodeDecodeError:
            happened.append(Broken(BAD_DATA))  # it ends within a character

    def _control(self, opcode: int, payload: bytes, happened: list[Happening]) -> None:
        if opcode == PING:
            happened.append(Ping(payload))
        elif opcode == CLOSE:
            happened.append(_closed(payload))


_OPCODES = frozenset({0, TEXT, BINARY, CLOSE, PING, PONG})
_LAST = frozenset({Closed, Broken})


def _control_fault(first: int, size: int) -> int | None:
    whole = first & 0xF0 == FINAL
    if whole and first & 0x0F in _OPCODES and size <= LONGEST_CONTROL:
        return None
    return PROTOCOL_ERROR


def _closed(payload: bytes) -> Closed | Broken:
    if not payload:
        return Closed(None)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not _may_be_said(code):
        return Broken(PROTOCOL_ERROR)
    try:
        return Closed(code, payload[2:].decode())
    except UnicodeDecodeError:
        return Broken(BAD_DATA)


def _may_be_said(code: int) -> bool:
    """Whether a peer may close with *code* (RFC 6455, 7.4, and the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
