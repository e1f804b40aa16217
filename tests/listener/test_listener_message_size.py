"""Faults 6 and 7: messages without bounds, and a compression nobody asked for."""

from __future__ import annotations

import pytest
import trio

from tests.listener.raw import (
    BINARY,
    CLOSE,
    TEXT,
    Raw,
    close_frame,
    connect,
    frame,
    header,
    upgrade,
    websocket,
)
from tests.listener.servers import PATHS, PATIENCE, Kind, serving

MEGABYTE = 2**20
SMALL = {"message_size": 1000}
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


async def push(peer: Raw, megabytes: int) -> None:
    """Send the start of a message and then fragments without an end, while the server takes them."""
    fragment = frame(0, bytes(MEGABYTE), fin=False)
    try:
        await peer.send(frame(BINARY, b"", fin=False))
        for _ in range(megabytes):
            await peer.send(fragment)
    except trio.BrokenResourceError:
        pass


async def test_stock_hypercorn_buffers_what_it_refused() -> None:
    """If upstream has cured it (fault 6), our cure may go."""
    async with serving("stock") as server, await websocket(server.port, "/count") as peer:
        before = await server.get("/status")
        await push(peer, 120)
        after = await server.get("/status")

    assert after["rss"] - before["rss"] > 60 * MEGABYTE


@pytest.mark.parametrize("kind", PATHS)
async def test_memory_stays_flat_while_two_hundred_megabytes_are_pushed(kind: Kind) -> None:
    """Otherwise a handful of strangers fill the machine."""
    async with serving(kind) as server, await websocket(server.port, "/count") as peer:
        before = await server.get("/status")
        codes: list[int | None] = []

        async def listen() -> None:
            codes.append(await peer.close_code())

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                await push(peer, 200)
        after = await server.get("/status")

    assert codes == [1009]
    assert after["rss"] - before["rss"] < 40 * MEGABYTE


async def test_stock_hypercorn_counts_characters() -> None:
    """If upstream has cured it (fault 6), our cure may go: 18 MB pass a limit of 16 MiB."""
    async with serving("stock") as server, await websocket(server.port, "/count") as peer:
        await peer.send(frame(TEXT, "€" * 6_000_000))
        with trio.fail_after(PATIENCE):
            assert await peer.message() == "6000000"


FITTING = {
    "text": frame(TEXT, "x" * 1000),
    "binary": frame(BINARY, bytes(1000)),
    "wide text": frame(TEXT, "€" * 333 + "x"),
    "fragments": frame(TEXT, "x" * 999, fin=False) + frame(0, fin=False) * 100 + frame(0, "x"),
}
OVERSIZE = {
    "text": frame(TEXT, "x" * 1001),
    "binary": frame(BINARY, bytes(1001)),
    "wide text": frame(TEXT, "€" * 334),
    "fragments": frame(TEXT, "x" * 999, fin=False) + frame(0, "€"),
    "announced fragment": frame(BINARY, bytes(999), fin=False) + header(0, 2),
    "announced": header(BINARY, 2**62),
    "announced by one": header(TEXT, 1001),
}


@pytest.mark.parametrize("kind", PATHS)
async def test_a_message_of_the_largest_size_passes_again_and_again(kind: Kind) -> None:
    """The limit is the message's, not the connection's."""
    async with serving(kind, LIMITS=SMALL) as server, await websocket(server.port, "/count") as peer:
        for name, fitting in [*FITTING.items()] * 3:
            await peer.send(fitting)
            with trio.fail_after(PATIENCE):
                assert await peer.message() in {"1000", "334"}, name


@pytest.mark.parametrize("kind", PATHS)
async def test_one_byte_more_is_refused_as_soon_as_it_is_known(kind: Kind) -> None:
    """1009 tells a client that repeating itself will not help; the application hears the same."""
    async with serving(kind, LIMITS=SMALL) as server:
        for name, oversize in OVERSIZE.items():
            async with await websocket(server.port, "/count") as peer:
                await peer.send(oversize)
                with trio.fail_after(PATIENCE):
                    assert await peer.close_code() == 1009, name
                    assert await peer.end() == b"", name
        assert await server.get("/wait?count:1009") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_a_refused_peer_reads_the_code_whatever_it_was_sending(kind: Kind) -> None:
    """Closing over unread input sends RST, which would take the Close with it."""
    async with (
        serving(kind, LIMITS=SMALL) as server,
        await websocket(server.port, "/count") as peer,
    ):
        await peer.send(frame(BINARY, bytes(20 * MEGABYTE)))
        with trio.fail_after(PATIENCE):
            assert await peer.frame() == (CLOSE, (1009).to_bytes(2, "big"))
            assert await peer.end() == b""


@pytest.mark.parametrize("kind", ["stock", "embedded"])
async def test_compression_is_negotiated_by_stock_hypercorn_only(kind: str) -> None:
    """It costs 100 KiB a socket, and lets a few bytes become many (fault 7)."""
    async with (
        serving("stock" if kind == "stock" else "embedded") as server,
        await connect(server.port) as peer,
    ):
        await peer.send(upgrade("/echo", DEFLATE))
        with trio.fail_after(PATIENCE):
            head = await peer.head()
        negotiated = "permessage-deflate" in head

    assert negotiated is (kind == "stock")


@pytest.mark.parametrize("kind", PATHS)
async def test_a_compressed_frame_is_a_protocol_error(kind: Kind) -> None:
    """Its reserved bit has no meaning where nothing was negotiated (RFC 6455, 5.2)."""
    async with serving(kind) as server, await websocket(server.port) as peer:
        await peer.send(bytes([0xC1]) + frame(TEXT, "x")[1:])
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1002
            await peer.send(close_frame(1002))
