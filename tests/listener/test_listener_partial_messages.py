"""Messages that are begun and not finished, and frames that are nearly nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from hypercorn.events import RawData
from trio.testing import MockClock, wait_all_tasks_blocked

from server.listener import ListenerLimits
from tests.listener.inside import Socket, listener, socket
from tests.listener.raw import BINARY, CLOSE, PONG, TEXT, close_frame, frame, header

LARGE = 60_000
BEGINNING = frame(BINARY, bytes(LARGE), fin=False)
# What of it is counted.
COUNTED = LARGE - 4096


@pytest.mark.parametrize(
    "tiny",
    [frame(PONG), frame(0, fin=False), frame(0, "x", fin=False)],
    ids=["pongs", "empty fragments", "short fragments"],
)
async def test_others_get_turns_while_one_read_of_tiny_frames_is_handled(tiny: bytes) -> None:
    """Ten thousand frames came with one read, and every other socket waited for the last of them."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with socket(listener()) as it, trio.open_nursery() as nursery:
        await it.peer.send(frame(TEXT, fin=False))
        await wait_all_tasks_blocked()
        nursery.start_soon(take_turns)
        await it.connection.protocol.handle(RawData(tiny * (2**16 // len(tiny))))
        taken = turns
        nursery.cancel_scope.cancel()

    # About one for every 32 frames.
    assert taken > 200


@pytest.mark.parametrize(("empty_frames", "code"), [(10_000, None), (10_001, 1008)])
async def test_a_message_has_ten_thousand_empty_fragments_at_most(
    empty_frames: int, code: int | None
) -> None:
    """They cost time and no size, so the limit of size never ends them."""
    async with socket(listener()) as it:
        await it.peer.send(frame(TEXT, "x", fin=False) + frame(0, fin=False) * empty_frames)
        await it.peer.send(frame(0, "!"))
        await wait_all_tasks_blocked()

        assert it.diary.messages == (["x!"] if code is None else [])
        assert it.diary.code == code


BEGUN = {
    "a fragment": frame(TEXT, "x", fin=False),
    "an empty fragment": frame(TEXT, fin=False),
    "a header": header(BINARY, 10),
    "half a payload": header(BINARY, 10) + b"xxxxx",
    "one after another": frame(TEXT, "x") + frame(TEXT, "y", fin=False),
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
async def test_a_message_that_is_begun_has_to_be_finished(begun: bytes, mock_clock: MockClock) -> None:
    """Fifty sockets held 388 MB of unfinished messages for as long as they liked."""
    async with socket(listener()) as it:
        await it.peer.send(begun)
        await wait_all_tasks_blocked()
        mock_clock.jump(119)
        await wait_all_tasks_blocked()
        assert it.diary.code is None
        mock_clock.jump(2)

        assert await it.peer.frame() == (CLOSE, (1008).to_bytes(2, "big"))
        await wait_all_tasks_blocked()
        assert it.diary.code == 1008


async def test_a_trickle_does_not_put_off_the_end_of_a_message(mock_clock: MockClock) -> None:
    """A byte now and then would otherwise hold the rest for ever."""
    async with socket(listener()) as it:
        await it.peer.send(frame(TEXT, "x", fin=False))
        for _ in range(13):
            await wait_all_tasks_blocked()
            mock_clock.jump(10)
            await it.peer.send(frame(0, "x", fin=False))

        assert await it.peer.close_code() == 1008


async def test_every_message_has_its_own_time(mock_clock: MockClock) -> None:
    """A slow line is no offence, and neither is silence between messages."""
    async with socket(listener()) as it:
        for _ in range(3):
            await it.peer.send(frame(TEXT, "slo", fin=False))
            await wait_all_tasks_blocked()
            mock_clock.jump(100)
            await it.peer.send(frame(0, "w"))
            await wait_all_tasks_blocked()
            mock_clock.jump(1000)
            await wait_all_tasks_blocked()

        assert it.diary.messages == ["slow"] * 3
        assert it.diary.code is None


async def test_a_wide_letter_may_be_cut_between_fragments() -> None:
    """Text is kept as UTF-8, so that one wide letter does not quadruple what its message takes."""
    letter = "€".encode()
    async with socket(listener()) as it:
        await it.peer.send(frame(TEXT, b"a" + letter[:1], fin=False) + frame(0, letter[1:2], fin=False))
        await it.peer.send(frame(0, letter[2:]))
        await wait_all_tasks_blocked()

        assert it.diary.messages == ["a€"]


@pytest.mark.parametrize("unfinished", [BEGINNING, header(BINARY, LARGE + 1) + bytes(LARGE)])
async def test_whoever_would_exceed_the_budget_is_asked_to_try_again_later(unfinished: bytes) -> None:
    """What is held for all sockets together is bounded, and the others keep what they have."""
    shared = listener(partial_messages=100_000)
    async with socket(shared) as first, socket(shared) as second:
        await first.peer.send(BEGINNING)
        await wait_all_tasks_blocked()
        await second.peer.send(unfinished)
        assert await second.peer.close_code() == 1013
        await first.peer.send(frame(0, b"!"))
        await wait_all_tasks_blocked()

        assert second.diary.code == 1013
        assert first.diary.messages == [bytes(LARGE) + b"!"]


async def test_a_used_up_budget_is_in_no_ordinary_messages_way() -> None:
    """Otherwise a few strangers could have everybody's small talk refused."""
    shared = listener(partial_messages=COUNTED)
    async with socket(shared) as first, socket(shared) as second:
        await first.peer.send(BEGINNING)
        await wait_all_tasks_blocked()
        await second.peer.send(frame(TEXT, "hel", fin=False) + frame(0, "lo"))
        await wait_all_tasks_blocked()

        assert shared.partial_bytes == shared.limits.partial_messages
        assert second.diary.messages == ["hello"]


async def finish(it: Socket) -> None:
    await it.peer.send(frame(0, b"!"))


async def exceed(it: Socket) -> None:
    await it.peer.send(header(0, 2**23))


async def offend(it: Socket) -> None:
    await it.peer.send(frame(TEXT, "in the midst of another"))


async def exhaust(it: Socket) -> None:
    await it.peer.send(frame(0, bytes(2 * LARGE), fin=False))


async def say_goodbye(it: Socket) -> None:
    await it.peer.send(close_frame(1000))


async def vanish(it: Socket) -> None:
    await trio.aclose_forcefully(it.peer.stream)


async def leave(it: Socket) -> None:
    it.diary.leave.set()


async def abort(it: Socket) -> None:
    it.connection.abort()


async def cancel(it: Socket) -> None:
    it.scope.cancel()
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


ENDS: list[Callable[[Socket], Awaitable[None]]] = [
    finish,
    exceed,
    offend,
    exhaust,
    say_goodbye,
    vanish,
    leave,
    abort,
    cancel,
]


@pytest.mark.parametrize("end", ENDS)
async def test_what_was_held_is_given_back_however_it_ends(end: Callable[[Socket], Awaitable[None]]) -> None:
    """A budget that leaks refuses everybody in the end."""
    shared = listener(partial_messages=100_000)
    async with socket(shared) as it:
        await it.peer.send(BEGINNING)
        await wait_all_tasks_blocked()
        held = shared.partial_bytes
        await end(it)
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        left = shared.partial_bytes

    assert (held, left) == (COUNTED, 0)


async def test_what_was_held_is_given_back_when_it_is_late(mock_clock: MockClock) -> None:
    """Then it is dropped."""
    shared = listener()
    async with socket(shared) as it:
        await it.peer.send(BEGINNING)
        await wait_all_tasks_blocked()
        assert shared.partial_bytes == COUNTED
        mock_clock.jump(ListenerLimits().message_timeout)
        await wait_all_tasks_blocked()

        assert shared.partial_bytes == 0
