"""How a server ends: with a word to everybody, in time, whatever its peers do."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from .client import Client, Frame, connect, is_final, refused
from .running import ECHO, PIPELINES, SCRIPT, WAYS, Triologue

# Replies get one second here; a promise of `drain + 5 s` is then six.
QUICK = "[timeouts]\ndrain = 1.0\n" + PIPELINES.replace("idle_timeout = 1.0", "idle_timeout = 60.0")
PROMISE = 6.0


@pytest.fixture(params=WAYS)
def ending(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Triologue]:
    """A server for one test to end."""
    server = Triologue(request.param, tmp_path, QUICK)
    try:
        yield server.wait_ready()
    finally:
        server.kill()


async def exit_of(server: Triologue) -> int:
    """Its exit status, within what it promises and some patience for a busy machine."""
    return await trio.to_thread.run_sync(lambda: server.wait_exit(PROMISE + 5))


async def test_idle_sockets_are_closed_with_1012(ending: Triologue) -> None:
    """A client knows by it that it may come back at once."""
    async with connect(ending.socket_url(ECHO)) as one, connect(ending.socket_url(SCRIPT)) as two:
        ending.terminate()
        assert [await client.until_closed() for client in (one, two)] == [([], 1012), ([], 1012)]
        assert await exit_of(ending) == 0


async def test_a_running_reply_may_finish(ending: Triologue, tmp_path: Path) -> None:
    """The stream ends final before its socket's 1012."""
    gate = tmp_path / "gate"
    async with connect(ending.socket_url(SCRIPT)) as client, connect(ending.socket_url(ECHO)) as witness:
        await client.say(f"gate {gate}")
        await client.until(lambda frame: frame["type"] == "response")
        ending.terminate()
        await draining_error(client)
        gate.touch()
        frames, code = await client.until_closed()
        assert (await witness.until_closed())[1] == 1012
        assert await exit_of(ending) == 0

    finished = next(frame["data"] for frame in frames if is_final(frame))
    assert (finished["content"], finished["finish_reason"]) == ("waiting done", "stop")
    assert is_final(frames[-1])
    assert code == 1012


async def test_a_reply_that_takes_too_long_is_interrupted(ending: Triologue, tmp_path: Path) -> None:
    """What was said stays, marked; whoever waited behind it is answered by the next process."""
    async with connect(ending.socket_url(SCRIPT)) as client:
        await client.say("gate /nonexistent/gate")
        await client.say("say later")
        await client.until(lambda frame: frame["type"] == "response")
        ending.terminate()
        frames, code = await client.until_closed()
        assert await exit_of(ending) == 0

    ends = [frame["data"] for frame in frames if is_final(frame)]
    assert [(end["finish_reason"], end["content"]) for end in ends] == [("interrupted", "waiting ")]
    assert code == 1012
    successor = Triologue(ending.way, tmp_path, QUICK)
    try:
        await trio.to_thread.run_sync(successor.wait_ready)
        async with connect(successor.socket_url(SCRIPT)) as client:
            await client.say("say after that")
            (*_, last) = await client.until(lambda f: is_final(f) and "after" in f["data"]["content"])
            assert last["data"]["id"] == 6
    finally:
        await trio.to_thread.run_sync(successor.kill)


async def test_no_new_messages_are_taken_while_draining(ending: Triologue) -> None:
    """The sender is told at once, and may ask the next process."""
    async with connect(ending.socket_url(SCRIPT)) as client:
        await client.say("gate /nonexistent/gate")
        await client.until(lambda frame: frame["type"] == "response")
        ending.terminate()
        frame = await draining_error(client)

    assert (frame["code"], frame["retry"]) == ("restarting", True)


async def test_a_peer_that_stops_reading_cannot_hang_the_shutdown(ending: Triologue) -> None:
    """Its socket is aborted; hypercorn alone would wait for it for ever."""
    url = ending.socket_url(SCRIPT, "session_type=group")
    async with connect(url) as good:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with raw:
            raw.connect(("127.0.0.1", ending.port))
            path = url.removeprefix(f"ws://127.0.0.1:{ending.port}")
            raw.sendall(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            raw.recv(1)
            for _ in range(3):
                await good.say("say " + "x" * 4_000_000, stream=False)
                await good.until_final()
            ending.terminate()
            assert (await good.until_closed())[1] == 1012
            assert await exit_of(ending) == 0


async def test_a_signal_to_the_whole_process_group_ends_it_in_order(ending: Triologue) -> None:
    """systemd signals every process of a service, workers too."""
    async with connect(ending.socket_url(ECHO)) as client:
        os.killpg(ending.process.pid, signal.SIGTERM)
        assert (await client.until_closed())[1] == 1012
        assert await exit_of(ending) == 0
    assert "Traceback" not in ending.output


async def test_a_successor_waits_while_its_predecessor_drains(ending: Triologue, tmp_path: Path) -> None:
    """A rolling restart: the data directory changes hands without two owners at once."""
    async with connect(ending.socket_url(SCRIPT)) as client:
        await client.say("gate /nonexistent/gate")
        await client.until(lambda frame: frame["type"] == "response")
        ending.terminate()
        await draining_error(client)
        successor = Triologue(ending.way, tmp_path, QUICK)
        try:
            await trio.to_thread.run_sync(successor.wait_ready)
            assert ending.process.poll() is not None or (await exit_of(ending)) == 0
            async with refused(successor.socket_url(ECHO)) as next_client:
                assert (await next_client.receive())["type"] == "connected"
        finally:
            await trio.to_thread.run_sync(successor.kill)


async def draining_error(client: Client) -> Frame:
    """What a sender hears once the server takes no more messages; until then, some are taken or must wait."""
    while True:
        await client.say("say x")
        frame = (await client.until(lambda f: f["type"] in ("error", "user_message")))[-1]
        if frame["type"] == "error" and frame["code"] != "busy":
            return frame
