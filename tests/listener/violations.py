"""What no peer may send, and the code it is closed with (RFC 6455, 7.4.1)."""

from __future__ import annotations

from tests.listener.raw import CLOSE, PING, TEXT, close_frame, frame, header

VIOLATIONS = {
    "an unmasked frame": (frame(TEXT, "x", masked=False), 1002),
    "an unknown opcode": (frame(3, "x"), 1002),
    "a reserved bit": (bytes([0xA1]) + frame(TEXT, "x")[1:], 1002),
    "a fragmented ping": (frame(PING, fin=False), 1002),
    "a ping of 126 bytes": (header(PING, 126) + bytes(126), 1002),
    "a continuation of nothing": (frame(0, "x"), 1002),
    "a message within a message": (frame(TEXT, "x", fin=False) + frame(TEXT, "y"), 1002),
    "a length with its top bit set": (bytes([0x82, 0xFF]) + b"\xff" * 12, 1002),
    "a length longer than it needs": (bytes([0x82, 0xFE, 0, 5]) + bytes(9), 1002),
    "a close code of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code below 1000": (close_frame(999), 1002),
    "a close code nobody may send": (close_frame(1006), 1002),
    "a close code nobody defined": (close_frame(1999), 1002),
    "a close reason that is no UTF-8": (close_frame(1000, b"\xff"), 1007),
    "a text that is no UTF-8": (frame(TEXT, b"\xc3\x28"), 1007),
    "a text cut within a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
}
