"""Telling a plain WebSocket handshake from everything else, by its first bytes. Pure.

hypercorn makes a dozen objects of each request, and a millisecond's work; and all that stay are WebSockets.
So those that come as every browser and library sends them, in one piece and with nothing odd about them,
are understood here. All others are hypercorn's, which has an answer to each.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1

from attrs import frozen

# RFC 9112; nothing outside ASCII, no folded lines, no white space where there should be none.
_HEAD = re.compile(
    rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+)\r\n",
)
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 6455, 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# As much as hypercorn takes of a head.
_LONGEST_HEAD = 2**14
_ONCE = (b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version")
_NEVER = (b"content-length", b"transfer-encoding", b"expect", b"trailer")


@frozen
class Upgrade:
    """A client's handshake; *rest* came right after it. Names of headers are in lower case."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    key: bytes
    subprotocols: list[str]
    rest: bytes

    def accepted(self, subprotocol: str | None) -> bytes:
        """The answer that opens the WebSocket (RFC 6455, 4.2.2)."""
        proof = b64encode(sha1(self.key + _GUID, usedforsecurity=False).digest())
        chosen = f"sec-websocket-protocol: {subprotocol}\r\n".encode() if subprotocol else b""
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: %b\r\n%b\r\n" % (proof, chosen)
        )


def recognise(data: bytes) -> Upgrade | None:
    """The handshake that *data* begins with; `None` if it is anything else, or a piece of one."""
    head = _HEAD.match(data)
    if head is None or head.end() > _LONGEST_HEAD:
        return None
    headers: list[tuple[bytes, bytes]] = []
    for line in head[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip()))
    found = dict(headers)
    names = [name for name, _ in headers]
    if any(names.count(name) != 1 for name in _ONCE) or any(name in found for name in _NEVER):
        return None
    tokens = [token.strip() for token in found[b"connection"].lower().split(b",")]
    if b"upgrade" not in tokens or found[b"upgrade"].lower() != b"websocket":
        return None
    if found[b"sec-websocket-version"] != b"13" or not _KEY.fullmatch(found[b"sec-websocket-key"]):
        return None
    subprotocols = []
    if b"sec-websocket-protocol" in found:
        subprotocols = [each.strip() for each in found[b"sec-websocket-protocol"].decode().split(",")]
        once = names.count(b"sec-websocket-protocol") == 1 and len(set(subprotocols)) == len(subprotocols)
        if not once or not all(map(_TOKEN.fullmatch, subprotocols)):
            return None
    return Upgrade(head[1], headers, found[b"sec-websocket-key"], subprotocols, data[head.end() :])
