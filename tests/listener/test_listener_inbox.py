"""The inbox between a connection's reader and its application."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from server.listener.app_task import Inbox

GONE = {"type": "websocket.disconnect", "code": 1000}


def message(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text, "bytes": None}


# Passes alone, whatever its size, and leaves no room.
LARGE = message("x" * 2**20)


async def test_events_keep_their_order_and_the_disconnect_is_last() -> None:
    """What was said before the end was said."""
    inbox = Inbox()
    await inbox.put(message("a"))
    await inbox.put(message("b"))
    await inbox.put(GONE)
    await inbox.put(message("after the end"))

    assert [await inbox.get() for _ in range(4)] == [message("a"), message("b"), GONE, GONE]


async def test_a_full_inbox_holds_the_reader_until_there_is_room() -> None:
    """So the kernel's buffers fill, and the peer waits."""
    inbox = Inbox()
    await inbox.put(LARGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, message("b"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1

        assert await inbox.get() == LARGE
        assert await inbox.get() == message("b")


async def test_empty_messages_are_bounded_too(autojump_clock: trio.testing.MockClock) -> None:
    """They cost what every event costs."""
    inbox = Inbox()
    with trio.move_on_after(1) as filling:
        for _ in range(1000):
            await inbox.put(message(""))

    assert filling.cancelled_caught


async def test_a_disconnect_finds_room_in_a_full_inbox() -> None:
    """An application that answers without reading would otherwise wait for itself (fault 8)."""
    inbox = Inbox()
    await inbox.put(LARGE)
    with trio.fail_after(1):
        await inbox.put(GONE)

    assert await inbox.get() == LARGE
    assert await inbox.get() == GONE


async def test_an_abandoned_inbox_holds_nobody() -> None:
    """Nobody will read it again."""
    inbox = Inbox()
    await inbox.put(LARGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, message("b"))
        await trio.testing.wait_all_tasks_blocked()
        inbox.abandon()
    with trio.fail_after(1):
        await inbox.put(message("c"))


async def test_receiving_is_always_a_checkpoint() -> None:
    """An application may loop on what has long arrived, and on an end that stays."""
    inbox = Inbox()
    await inbox.put(message("a"))
    with trio.testing.assert_checkpoints():
        await inbox.get()
    await inbox.put(GONE)
    with trio.testing.assert_checkpoints():
        await inbox.get()
