"""Ten thousand peers that mean no good, against one worker process that has to outlive them all.

`HOSTILE_SEED` repeats a run; the seed is printed with a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
from pathlib import Path

import pytest
import trio

from .running import ECHO, Triologue, running

SOCKET = f"/api/v1/pipelines/{ECHO}/ws/connect?session_type=group"
ATTACKS = 10_000
BATCH = 250
# Seconds after which a witness that is not answered counts as harmed.
PATIENCE = 30.0
# Seconds one hostile peer takes at most.
STRIKE = 0.5
# The others talk in the same group, and it lets only so many messages wait for their answers.
BUSY = b'"code":"busy"'
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

NASTY = [
    b"\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b" ",
    b":",
    b"%00",
    b"\t",
    b",",
    b"\xc3\x28",
    b"-1",
    b"0x",
    b"A" * 9000,
]
PAYLOADS = [
    b"",
    b"{}",
    b"\x03\xe8",
    b"\x03",
    b"\xff\xff",
    b"\xc3\x28",
    b'{"type":"ping"}',
    b'{"type":"message","message":[{"type":"Plain","text":"hello"}]}',
    b'{"message":[{"type":"Quote","origin":[{"type":"Image","base64":"AAAA"}]},{"type":"Nonsense"}]}',
    b'{"type":"disconnect"}',
    b"x" * 200,
    b"y" * 70_000,
]
HEADERS = [
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Connection: Upgrade",
    b"Connection: close",
    b"Connection: keep-alive, HTTP2-Settings, Upgrade",
    b"HTTP2-Settings: AAMAAABk",
    b"HTTP2-Settings: A",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Version: 8",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Key: \xe9",
    b"Sec-WebSocket-Protocol: caf\xe9",
    b"Sec-WebSocket-Protocol: triologue.v1",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=abc",
    b'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99, x; y="',
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 5, 6",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue",
    b"Host: \xff",
    b"Host: a, b",
    b"Host: a..b",
    b"Host: " + b"a" * 64,
    b"Origin: null",
    b"Authorization: Bearer \xc3\x28",
    b"X" * 300 + b": y",
]
TARGETS = [
    SOCKET.encode(),
    f"/api/v1/pipelines/{ECHO}/ws/broadcast".encode(),
    f"/api/v1/pipelines/{ECHO}/ws/messages/group".encode(),
    b"/",
    b"/%ff",
    b"/%00",
    b"//",
    b"*",
    b"http://[::1",
    b"/\xe9",
    b"/?" + b"&" * 2000,
    b"/../..",
    b"",
]


# -- what is sent


def frame(rng: random.Random, opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    first, masked = (0x80 if fin else 0) | opcode, 0x80 if mask else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) < 2**16:
        head = struct.pack("!BBH", first, masked | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(payload))
    key = rng.randbytes(4) if mask else b""
    if key:
        pattern = key * (len(payload) // 4 + 1)
        payload = bytes(a ^ b for a, b in zip(payload, pattern, strict=False))
    return head + key + payload


def mutated(rng: random.Random, data: bytes) -> bytes:
    """*data* with a few bytes changed, lost, doubled, or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randint(1, 20)]
            case 2:
                changed[at:at] = changed[at : at + rng.randint(1, 40)]
            case 3:
                changed[at:at] = rng.choice(NASTY)
            case _:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(changed)


def request(rng: random.Random) -> bytes:
    """A request's head, of parts that do not go together."""
    method = rng.choice([b"GET", b"GET", b"POST", b"PRI", b"CONNECT", b"HEAD", b"G\xe9T", b""])
    version = rng.choice([b"HTTP/1.1"] * 4 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""])
    headers = rng.sample(HEADERS, rng.randint(0, 8))
    head = b"\r\n".join([method + b" " + rng.choice(TARGETS) + b" " + version, *headers, b"", b""])
    return head + rng.choice([b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"SM\r\n\r\n" + bytes(30)])


def handshake(*headers: bytes) -> bytes:
    lines = [f"GET {SOCKET} HTTP/1.1".encode(), b"Host: localhost", b"Upgrade: websocket"]
    lines += [b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
    return b"\r\n".join([*lines, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers, b"", b""])


def frames(rng: random.Random) -> bytes:
    """What may follow a good handshake: frames good and bad, in fragments, too large, or no frames at all."""
    sent = b""
    for _ in range(rng.randint(1, 6)):
        opcode = rng.choice([0, TEXT, TEXT, BINARY, CLOSE, PING, PONG, 3, 11])
        payload = rng.choice(PAYLOADS)
        one = frame(rng, opcode, payload, fin=rng.random() < 0.7, mask=rng.random() < 0.9)
        match rng.randrange(8):
            case 0:
                one = mutated(rng, one)
            case 1:
                # Announced, and never sent.
                one = struct.pack("!BBQ", 0x80 | BINARY, 0xFF, rng.choice([2**20, 2**40, 2**63])) + bytes(4)
            case 2:
                one = rng.randbytes(rng.randint(1, 400))
            case 3:
                one *= rng.randint(2, 50)
        sent += one
    return sent


def attack(rng: random.Random) -> list[bytes]:
    """What one peer sends, packet by packet."""
    match rng.randrange(6):
        case 0:
            packets = [request(rng)]
        case 1:
            packets = [mutated(rng, request(rng))]
        case 2:
            packets = [mutated(rng, handshake(*rng.sample(HEADERS, rng.randint(0, 3))))]
        case 3:
            packets = [handshake(), frames(rng)]
        case 4:
            packets = [handshake(*rng.sample(HEADERS, rng.randint(0, 2))) + frames(rng)]
        case _:
            packets = [handshake(), *(frames(rng) for _ in range(3))]
    if rng.random() < 0.2:
        whole = b"".join(packets)
        cut = rng.randrange(len(whole) + 1)
        packets = [whole[:cut], whole[cut:]]
    return packets


async def strike(port: int, rng: random.Random) -> None:
    """One peer, from connecting to whatever end it chooses."""
    packets, end = attack(rng), rng.choice(["close", "close", "half-close", "reset", "read"])
    # A peer that sends megabytes and reads nothing is not read from either, until the send deadline.
    with trio.move_on_after(STRIKE), contextlib.suppress(OSError, trio.BrokenResourceError):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            for packet in packets:
                await stream.send_all(packet)
                if end == "read":
                    with trio.move_on_after(0.02):
                        await stream.receive_some(2**16)
            if end == "half-close":
                await stream.send_eof()
                with trio.move_on_after(0.05):
                    await stream.receive_some(2**16)
            elif end == "reset":
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# -- who must not be harmed


class Witness:
    """A peer that means well, and is answered."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._seen = b""
        self._rng = random.Random(0)

    async def open(self) -> None:
        with trio.fail_after(PATIENCE):
            await self._stream.send_all(handshake())
            await self._read_until(b"\r\n\r\n")

    async def is_answered(self, number: int) -> None:
        """Send a message that was never sent before and see it come back; pings in between are answered."""
        text = f"witness number {number}"
        message = json.dumps({"message": [{"type": "Plain", "text": text}], "stream": False}).encode()
        with trio.fail_after(PATIENCE):
            answer = BUSY
            while answer == BUSY:
                await self._stream.send_all(frame(self._rng, TEXT, message) + frame(self._rng, PONG, b""))
                answer = await self._read_until(text.encode(), BUSY)

    async def _read_until(self, *wanted: bytes) -> bytes:
        """Which of *wanted* came first; what came before that is forgotten."""
        while not (found := [one for one in wanted if one in self._seen]):
            data = await self._stream.receive_some(2**16)
            assert data, f"the witness was cut off: {self._seen!r}"
            self._seen += data
        first = min(found, key=self._seen.index)
        self._seen = self._seen.partition(first)[2]
        return first


def worker_of(server: Triologue) -> int:
    """The process id of hypercorn's one worker, which it would start anew if it ended."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    (worker,) = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(worker)


@pytest.mark.timeout(300)
async def test_ten_thousand_hostile_peers_harm_nobody_else(tmp_path: Path) -> None:
    """One unauthenticated request ended the whole process once (upstream #225); none may again."""
    seed = int(os.environ.get("HOSTILE_SEED") or random.SystemRandom().randrange(2**32))
    print(f"HOSTILE_SEED={seed}")
    with running("hypercorn", tmp_path) as server:
        before = worker_of(server)
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            witness = Witness(stream)
            await witness.open()
            for first in range(0, ATTACKS, BATCH):
                async with trio.open_nursery() as batch:
                    for number in range(first, first + BATCH):
                        batch.start_soon(strike, server.port, random.Random(seed * ATTACKS + number))
                await witness.is_answered(first)
        assert worker_of(server) == before
        printed = server.output

    assert "Traceback" not in printed, printed
    assert " failed: " not in printed, printed
    assert "crashed" not in printed, printed
