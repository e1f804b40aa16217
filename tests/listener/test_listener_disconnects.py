"""Fault 9: ends whose reason nobody is told, and sends that never come back."""

from __future__ import annotations

import pytest
import trio

from tests.listener.raw import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, websocket
from tests.listener.servers import PATHS, PATIENCE, Kind, serving
from tests.listener.violations import VIOLATIONS


async def test_stock_hypercorn_always_says_1006() -> None:
    """If upstream has cured it, our cure may go."""
    async with serving("stock") as server, await websocket(server.port) as peer:
        await peer.send(close_frame(4001))

        assert await server.get("/wait?echo:1006") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_the_application_gets_the_code_its_peer_gave(kind: Kind) -> None:
    """A page that was left is no network fault."""
    async with serving(kind) as server:
        for code in (1000, 1001, 3000, 4001):
            async with await websocket(server.port) as peer:
                await peer.send(close_frame(code))
                with trio.fail_after(PATIENCE):
                    assert await peer.close_code() == code
                    assert await peer.end() == b""
            assert await server.get(f"/wait?echo:{code}") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_a_close_without_a_code_is_1005(kind: Kind) -> None:
    """RFC 6455, 7.1.5."""
    async with serving(kind) as server, await websocket(server.port) as peer:
        await peer.send(frame(CLOSE))
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 1005
        assert await server.get("/wait?echo:1005") == "seen"


@pytest.mark.parametrize("how", ["end of file", "reset"])
@pytest.mark.parametrize("kind", PATHS)
async def test_a_connection_cut_off_is_1006(kind: Kind, how: str) -> None:
    """RFC 6455, 7.1.5."""
    async with serving(kind) as server:
        async with await websocket(server.port) as peer:
            if how == "reset":
                peer.reset()
        assert await server.get("/wait?echo:1006") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_last_words_are_heard_though_nothing_can_be_sent_any_more(kind: Kind) -> None:
    """A peer that closes in the midst of our stream said why; only our sends fail."""
    async with serving(kind) as server:
        async with await websocket(server.port, "/flood") as peer:
            await peer.send(close_frame(4002))
            await server.get("/stuck")
        assert await server.get("/wait?flood:4002") == "seen"


async def test_stock_hypercorn_drops_a_violator_without_a_word() -> None:
    """If upstream has cured it, our cure may go."""
    async with serving("stock") as server, await websocket(server.port) as peer:
        await peer.send(frame(TEXT, "x", masked=False))
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() is None


@pytest.mark.parametrize("kind", PATHS)
async def test_a_violation_is_closed_with_the_code_of_its_kind(kind: Kind) -> None:
    """RFC 6455, 7.4.1; peer and application are told the same."""
    async with serving(kind) as server:
        for name, (violation, code) in VIOLATIONS.items():
            async with await websocket(server.port) as peer:
                await peer.send(violation)
                with trio.fail_after(PATIENCE):
                    assert await peer.close_code() == code, name
                    assert await peer.end() == b"", name
        for code in (1002, 1007):
            assert await server.get(f"/wait?echo:{code}") == "seen"


async def test_stock_hypercorn_freezes_when_an_application_sends_to_nobody() -> None:
    """If upstream has cured it, our cure may go: `send` returns without a checkpoint."""
    async with serving("stock") as server, await websocket(server.port, "/late-send") as peer:
        await peer.send(close_frame(1000))
        with trio.move_on_after(1) as waiting:
            await server.get("/wait?late_send:gone")

    assert waiting.cancelled_caught


async def test_sending_to_nobody_lets_everybody_else_run() -> None:
    """A bare loop over a dead socket is a bug in one task, not in all."""
    async with serving("embedded") as server:
        async with await websocket(server.port, "/late-send") as peer:
            await peer.send(close_frame(1000))
            with trio.fail_after(PATIENCE):
                await peer.end()
        assert await server.get("/wait?late_send:gone") == "seen"
        await server.get("/note?stop")
        assert await server.get("/wait?late_send:stopped") == "seen"


@pytest.mark.parametrize("kind", PATHS)
async def test_a_close_is_read_whatever_the_peer_was_sending(kind: Kind) -> None:
    """Closing over unread input sends RST, which would take the Close with it."""
    async with serving(kind) as server:
        for _ in range(20):
            async with await websocket(server.port, "/leave?code=4404&reason=gone") as peer:
                await peer.send(frame(BINARY, bytes(2**20)) * 3)
                with trio.fail_after(PATIENCE):
                    assert await peer.frame() == (CLOSE, (4404).to_bytes(2, "big") + b"gone")
                    await peer.send(close_frame(4404))
                    assert await peer.end() == b""


@pytest.mark.parametrize("kind", PATHS)
async def test_a_peer_that_never_answers_a_close_is_left(kind: Kind) -> None:
    """One that never will must not keep a task."""
    async with serving(kind) as server, await websocket(server.port, "/leave?code=4408") as peer:
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() == 4408
            assert await peer.end() == b""


@pytest.mark.parametrize("code", [1005, 1006, 1015])
async def test_a_code_that_must_not_be_sent_is_not(code: int) -> None:
    """Some stand for what was not said (RFC 6455, 7.4.1), and applications hand on what they got."""
    async with serving("embedded") as server, await websocket(server.port, f"/leave?code={code}") as peer:
        with trio.fail_after(PATIENCE):
            assert await peer.close_code() in {1000, 1005}


@pytest.mark.parametrize("kind", PATHS)
async def test_a_ping_is_answered_in_kind(kind: Kind) -> None:
    """RFC 6455, 5.5.3: the pong carries the ping's payload, amid the fragments of a message as well."""
    async with serving(kind) as server, await websocket(server.port) as peer:
        await peer.send(frame(TEXT, "ab", fin=False) + frame(PING, "now") + frame(0, "cd"))
        with trio.fail_after(PATIENCE):
            assert await peer.frame() == (PONG, b"now")
            assert await peer.message() == "abcd"
