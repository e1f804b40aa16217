"""Garbage collections stop everybody: the ways that messages take leave them nothing to do."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from server.pipeline import EchoModel
from tests.in_memory import Socket, running


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
