"""Garbage collections stop everybody: what messages and connections leave is freed without one."""

from __future__ import annotations

import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from trio.testing import wait_all_tasks_blocked

from server.listener.hand_over import Arrival
from server.listener.raw_socket import RawSocket
from server.listener.readiness import readiness
from server.pipeline import EchoModel
from tests.in_memory import PIPELINE, Server, Socket, running
from tests.listener.inside import listener
from tests.listener.raw import PING, TEXT, Raw, close_frame, frame, upgrade


async def ask_and_be_answered(client: Socket) -> None:
    client.say("hi")
    await client.final()


async def ping(client: Socket) -> None:
    client.send({"type": "ping"})
    await client.receive()


async def ask_too_much(client: Socket) -> None:
    for _ in range(30):
        client.say("hi")
    outcomes = 0
    while outcomes < 30:
        frame = await client.receive()
        outcomes += frame["type"] == "error" or (frame["type"] == "response" and frame["data"]["is_final"])


async def send_nonsense(client: Socket) -> None:
    client.send([])
    await client.receive()


@pytest.mark.parametrize("talk", [ask_and_be_answered, ping, ask_too_much, send_nonsense])
async def test_no_cycles_are_left_behind(talk: Callable[[Socket], Awaitable[None]]) -> None:
    """What was handled is freed at once; in a cycle, 8 MB of a picture would wait for a collection."""
    async with running(EchoModel) as server:
        client = await server.connect()
        await talk(client)
        await wait_all_tasks_blocked()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await talk(client)
            await wait_all_tasks_blocked()
            await trio.lowlevel.checkpoint()
            found = gc.collect()
        finally:
            gc.enable()

    assert found < 20


async def vanish(client: Raw) -> None:
    """It goes without a word."""


async def be_reset(client: Raw) -> None:
    client.reset()


async def say_goodbye(client: Raw) -> None:
    await client.send(frame(TEXT, '{"type":"ping"}') + frame(PING) + close_frame(1000))
    assert await client.close_code() == 1000


async def be_sent_away(client: Raw) -> None:
    await client.send(frame(TEXT, '{"type":"disconnect"}'))
    assert await client.close_code() == 1000


async def chat(client: Raw) -> None:
    await client.send(frame(TEXT, '{"type":"message","message":[{"type":"Plain","text":"hi"}]}'))
    while '"is_final":true' not in await client.message():
        pass


async def break_the_rules(client: Raw) -> None:
    await client.send(frame(TEXT, b"\xff"))
    await client.end()


@pytest.mark.parametrize("part", [vanish, be_reset, say_goodbye, be_sent_away, chat, break_the_rules])
async def test_a_connection_that_ends_leaves_no_cycles(part: Callable[[Raw], Awaitable[None]]) -> None:
    """With thousands of sockets that come and go, what they leave would bring on collections of a second."""
    notices, under = readiness(), listener()

    async def come_and_go(server: Server) -> None:
        door: Any = server.doors.websocket
        ours, theirs = socket.socketpair()
        raw = RawSocket(ours, notices)
        arrival = Arrival(wrap_app(door, 0, "asgi"), WorkerContext(None), {}, under, raw, "")
        server.nursery.start_soon(arrival.run)
        del arrival, raw
        async with Raw(trio.SocketStream(trio.socket.from_stdlib_socket(theirs))) as client:
            await client.send(upgrade(f"/api/v1/pipelines/{PIPELINE}/ws/connect"))
            assert await client.status() == 101
            assert '"connected"' in await client.message()
            await part(client)
        await wait_all_tasks_blocked()

    async with running(EchoModel) as server, trio.open_nursery() as noticing:
        if notices is not None:
            noticing.start_soon(notices.run)
        await come_and_go(server)
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await come_and_go(server)
            await trio.lowlevel.checkpoint()
            found = gc.collect()
        finally:
            gc.enable()
        noticing.cancel_scope.cancel()

    assert found < 20
