"""A WebSocket on the TCP socket itself, read and ended: whatever its peer does, and whoever ends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from server.connection.socket_port import Bounds
from server.messages import Close
from tests.listener.raw import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, header
from tests.listener.violations import VIOLATIONS

from .lines import Line, line
from .sockets import running
from .test_rfc6455 import Budget

# No pings, in nobody's way.
NEVER = 1e9
LARGE = 60_000
BEGINNING = frame(BINARY, bytes(LARGE), fin=False)
# What of it is counted.
COUNTED = LARGE - 4096


async def settle() -> None:
    with trio.CancelScope(shield=True):
        await wait_all_tasks_blocked()


# -- messages


async def test_messages_come_in_order_and_as_they_were() -> None:
    """Text and binary, in fragments or whole; those that came with the handshake first."""
    async with running(heartbeat=NEVER) as world, line(world, first=frame(TEXT, "one") + b"\x81") as it:
        it.peer.send(frame(TEXT, "two")[1:] + frame(BINARY, b"3"))
        it.peer.send(frame(TEXT, "fo", fin=False) + frame(0, "ur"))
        await settle()

        assert it.heard == ["one", "two", b"3", "four"]


async def test_a_ping_is_answered_in_kind() -> None:
    """RFC 6455, 5.5.3: amid the fragments of a message as well; of several, the newest is enough."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(TEXT, "a", fin=False) + frame(PING, "one"))
        await settle()
        it.peer.send(frame(0, "b") + frame(PING, "two") + frame(PONG, "unasked"))
        await settle()
        it.peer.take()

        assert it.peer.frames == [(PONG, b"one"), (PONG, b"two")]
        assert it.heard == ["ab"]


@pytest.mark.parametrize(
    "tiny",
    [frame(PONG), frame(PING), frame(TEXT), frame(0, fin=False), frame(0, "x", fin=False)],
    ids=["pongs", "pings", "messages", "empty fragments", "short fragments"],
)
@pytest.mark.parametrize("when", ["in one read", "with the handshake", "after our goodbye"])
async def test_others_get_turns_while_one_read_of_tiny_frames_is_handled(tiny: bytes, when: str) -> None:
    """Ten thousand frames came with one read, and every other socket waited for the last of them."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    begin = frame(TEXT, fin=False) if tiny[0] & 0x0F == 0 else b""
    many = begin + tiny * (30_000 // len(tiny)) + close_frame(1000)
    first = many if when == "with the handshake" else b""
    async with running(heartbeat=NEVER) as world, line(world, first=first) as it:
        if when == "after our goodbye":
            it.ref.tell_nowait(Close(1000))
            await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            if not first:
                it.peer.send(many)
            while not it.is_over():
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    # One for every 32 frames.
    assert turns >= 30_000 // len(tiny) // 33


# -- the time and the room that a message may take


BEGUN = {
    "a fragment": frame(TEXT, "x", fin=False),
    "an empty fragment": frame(TEXT, fin=False),
    "a header": header(BINARY, 10),
    "half a header": header(BINARY, 10)[:3],
    "half a payload": header(BINARY, 10) + b"xxxxx",
    "a long payload": header(BINARY, 100_000) + bytes(50_000),
    "one after another": frame(TEXT, "x") + frame(TEXT, "y", fin=False),
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
async def test_a_message_that_is_begun_has_to_be_finished(begun: bytes, mock_clock: MockClock) -> None:
    """Fifty sockets held 388 MB of unfinished messages for as long as they liked."""
    async with running(heartbeat=NEVER) as world, line(world, Bounds(message_timeout=120)) as it:
        it.peer.send(begun)
        await settle()
        mock_clock.jump(119)
        await settle()
        it.peer.take()
        assert it.peer.close is None
        mock_clock.jump(2)
        await settle()
        it.peer.take()

        assert it.peer.close == (1008, "")


async def test_a_trickle_does_not_put_off_the_end_of_a_message(mock_clock: MockClock) -> None:
    """A byte now and then would otherwise hold the rest for ever; pings are no progress either."""
    async with running(heartbeat=NEVER) as world, line(world, Bounds(message_timeout=120)) as it:
        it.peer.send(frame(TEXT, "x", fin=False))
        for _ in range(13):
            await settle()
            mock_clock.jump(10)
            await settle()
            if not it.is_over() and it.peer.close is None:
                it.peer.send(frame(0, "x", fin=False) + frame(PING))
                it.peer.take()
        it.peer.take()

        assert it.peer.close == (1008, "")


async def test_every_message_has_its_own_time(mock_clock: MockClock) -> None:
    """A slow line is no offence, and neither is silence between messages."""
    async with running(heartbeat=NEVER) as world, line(world, Bounds(message_timeout=120)) as it:
        it.peer.send(frame(TEXT, "slo", fin=False))
        for _ in range(3):
            await settle()
            mock_clock.jump(100)
            # The end of one, and the begin of the next, with one read.
            it.peer.send(frame(0, "w") + frame(TEXT, "slo", fin=False))
        await settle()
        it.peer.send(frame(0, "w"))
        await settle()
        mock_clock.jump(10_000)
        await settle()
        it.peer.take()

        assert it.heard == ["slow"] * 4
        assert it.peer.frames == []


async def test_whoever_would_exceed_the_budget_is_asked_to_try_again_later() -> None:
    """What is held for all sockets together is bounded, and the others keep what they have."""
    budget = Budget(100_000)
    bounds = Bounds(hold=budget.hold, give_back=budget.give_back)
    async with running(heartbeat=NEVER) as world, line(world, bounds) as first, line(world, bounds) as second:
        first.peer.send(BEGINNING)
        await settle()
        second.peer.send(BEGINNING)
        await settle()
        second.peer.take()
        first.peer.send(frame(0, b"!"))
        await settle()

        assert second.peer.close == (1013, "")
        assert first.heard == [bytes(LARGE) + b"!"]


async def finish(it: Line) -> None:
    it.peer.send(frame(0, b"!"))


async def exceed(it: Line) -> None:
    it.peer.send(header(0, 2**23))


async def offend(it: Line) -> None:
    it.peer.send(frame(TEXT, "in the midst of another"))


async def say_goodbye(it: Line) -> None:
    it.peer.send(close_frame(1000))


async def half_close(it: Line) -> None:
    it.peer.socket.send_eof()


async def vanish(it: Line) -> None:
    it.peer.socket.abort()


async def leave(it: Line) -> None:
    await it.ref.tell(Close(4000))


async def abort(it: Line) -> None:
    it.transport.abort()


ENDS: list[Callable[[Line], Awaitable[None]]] = [
    finish,
    exceed,
    offend,
    say_goodbye,
    half_close,
    vanish,
    leave,
    abort,
]


@pytest.mark.parametrize("end", ENDS)
async def test_what_was_held_is_given_back_however_it_ends(end: Callable[[Line], Awaitable[None]]) -> None:
    """At once, and not only when the peer has answered: a budget that leaks refuses everybody in the end."""
    budget = Budget()
    async with (
        running(heartbeat=NEVER) as world,
        line(world, Bounds(hold=budget.hold, give_back=budget.give_back)) as it,
    ):
        it.peer.send(BEGINNING)
        await settle()
        held = budget.held
        await end(it)
        await settle()
        left = budget.held

    assert (held, left) == (COUNTED, 0)


async def test_what_was_held_is_given_back_by_one_that_is_cancelled() -> None:
    """As at a shutdown that can't wait."""
    budget = Budget()
    async with (
        running(heartbeat=NEVER) as world,
        line(world, Bounds(hold=budget.hold, give_back=budget.give_back)) as it,
    ):
        it.peer.send(BEGINNING)
        await settle()

    assert budget.held == 0


# -- the peer's last word


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
async def test_a_close_is_answered_in_kind_and_the_connection_ends(code: int) -> None:
    """RFC 6455, 5.5.1 and 7.1.1: it is the server that ends it, and at once."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(TEXT, "last words") + close_frame(code, b"bye"))
        await settle()
        it.peer.take()

        assert it.peer.close == (code, "")
        assert (it.heard, it.is_over(), it.peer.ended) == (["last words"], True, True)


async def test_a_close_without_a_code_is_answered_without_one() -> None:
    """A code that was not said must not be sent (RFC 6455, 7.4.1)."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(CLOSE))
        await settle()
        it.peer.take()

        assert it.peer.frames == [(CLOSE, b"")]
        assert it.peer.ended


@pytest.mark.parametrize("how", [half_close, vanish])
async def test_one_that_goes_without_a_word_is_gone(how: Callable[[Line], Awaitable[None]]) -> None:
    """Nobody is waited for, and nothing is left open."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(TEXT, "hel", fin=False))
        await settle()
        await how(it)
        await settle()

        assert it.is_over()
        assert it.socket.closed


async def test_a_half_closed_peer_reads_what_it_was_told() -> None:
    """What was written before counts."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(PING, "one"))
        await settle()
        it.peer.socket.send_eof()
        await settle()
        it.peer.take()

        assert it.peer.frames == [(PONG, b"one")]
        assert it.peer.ended


@pytest.mark.parametrize(("violation", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_a_violation_is_closed_with_the_code_of_its_kind(
    violation: bytes, code: int, mock_clock: MockClock
) -> None:
    """What was said before it counts; what comes after it does not, but the peer can read why."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(TEXT, "before") + violation + frame(TEXT, "after") * 1000)
        await settle()
        it.peer.send(frame(BINARY, bytes(50_000)))
        await settle()
        it.peer.take()
        assert it.peer.close == (code, "")
        assert it.peer.ended
        assert not it.is_over()
        it.peer.socket.send_eof()
        await settle()

        assert it.is_over()
        assert it.heard == ["before"]


async def test_a_violator_is_not_read_for_ever(mock_clock: MockClock) -> None:
    """It may read its Close within two seconds; then it is left."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(frame(TEXT, "x", masked=False))
        for _ in range(16):
            await settle()
            assert not it.is_over()
            it.peer.send(bytes(100))
            mock_clock.jump(0.125)
        await settle()

        assert it.is_over()


# -- our last word


async def test_our_close_is_answered_and_then_the_connection_ends() -> None:
    """What the peer said meanwhile is read and does not count: we said that we would hear no more."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        await it.ref.tell(Close(1000, "goodbye"))
        await settle()
        it.peer.take()
        assert it.peer.close == (1000, "goodbye")
        assert (it.is_over(), it.peer.ended) == (False, False)
        it.peer.send(frame(TEXT, "on the way") + frame(PING) + close_frame(1000))
        await settle()
        it.peer.take()

        assert (it.heard, it.is_over(), it.peer.ended) == ([], True, True)


@pytest.mark.parametrize("place", [1, 3, 8, 20, 40_000])
async def test_the_answer_is_heard_after_the_message_that_was_under_way(place: int) -> None:
    """A peer in the midst of a message has to finish it before it can answer."""
    message = frame(BINARY, bytes(50_000))
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(message[:place])
        await settle()
        await it.ref.tell(Close(1000))
        await settle()
        assert not it.is_over()
        it.peer.send(message[place:] + close_frame(1000))
        await settle()

        assert it.is_over()


async def test_a_peer_that_never_answers_a_close_is_left(mock_clock: MockClock) -> None:
    """After a second it is told that nothing follows; after two more it is hung up on."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        await it.ref.tell(Close(4404, "gone"))
        for state in [(False, False)] * 8 + [(False, True)] * 16:
            await settle()
            it.peer.take()
            assert (it.is_over(), it.peer.ended) == state
            it.peer.send(frame(TEXT, "did you say something?"))
            mock_clock.jump(0.125)
        await settle()

        assert it.is_over()
        assert it.peer.close == (4404, "gone")


async def test_both_may_say_goodbye_at_once() -> None:
    """Then each has its answer."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(close_frame(1001))
        it.ref.tell_nowait(Close(1012, "the server is restarting"))
        await settle()
        it.peer.take()

        assert it.peer.close is not None
        assert (it.is_over(), it.peer.ended) == (True, True)


async def test_a_goodbye_wakes_one_who_reads_later() -> None:
    """Whoever was busy when it was said must not wait for a peer that is through."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.at_leisure = trio.Event()
        it.peer.send(frame(TEXT, "something long"))
        await settle()
        await it.ref.tell(Close(1000))
        await settle()
        it.peer.send(close_frame(1000))
        it.at_leisure.set()
        await settle()

        assert it.is_over()


async def test_an_end_stays_the_end() -> None:
    """Who reads a closed socket to its end may ask more than once."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.peer.send(close_frame(1000))
        await settle()

        assert it.is_over()
        assert await it.transport.receive() == []
        await it.transport.close(1000, "")


async def test_an_aborted_socket_is_over_for_both() -> None:
    """The reader wakes; the peer's connection is reset."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.transport.abort()
        await settle()
        it.peer.take()

        assert (it.is_over(), it.peer.reset) == (True, True)


# -- life


async def test_a_peer_counts_as_alive_while_nobody_listens(mock_clock: MockClock) -> None:
    """While we are busy, its pongs lie in the kernel; and then it has as long as ever to be heard again."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        await settle()
        mock_clock.jump(10)
        assert it.transport.last_life == 0
        it.at_leisure = trio.Event()
        it.peer.send(frame(TEXT, "something long"))
        await settle()
        mock_clock.jump(100)
        assert it.transport.last_life == 110
        it.at_leisure.set()
        await settle()
        mock_clock.jump(5)

        assert it.transport.last_life == 110


@pytest.mark.parametrize("sign", [b"\x81", frame(PONG), frame(TEXT, "x", fin=False)])
async def test_any_byte_is_a_sign_of_life(sign: bytes, mock_clock: MockClock) -> None:
    """A peer in the midst of a large message cannot answer a ping."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        for moment in (10, 20, 30):
            await settle()
            mock_clock.jump(10)
            it.peer.send(sign[:1] if moment == 10 else sign[1:2] if moment == 20 else sign[2:3])
            await settle()

            assert it.transport.last_life == (moment if len(sign) * 10 >= moment else len(sign) * 10)


# -- what is dealt with at once


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3), st.booleans()), max_size=12))
@settings(deadline=None)
def test_every_message_is_dealt_with_once_at_once_or_later(course: list[tuple[int, int, bool]]) -> None:
    """Whoever notices them deals with the first of them, the reader with the others; in order, amid pings."""

    async def main() -> None:
        dealt: list[str | bytes] = []
        able = 0

        def at_once(messages: Sequence[str | bytes]) -> int:
            dealt.extend(messages[:able])
            return min(able, len(messages))

        async with running(heartbeat=NEVER) as world, line(world) as it:
            it.heard = dealt
            it.transport.at_once = at_once
            said: list[str | bytes] = []
            for many, able_now, pinged in course:
                able = able_now * 20
                data = b""
                for _ in range(many):
                    said.append(str(len(said)))
                    data += frame(TEXT, str(len(said) - 1)) + (frame(PING) if pinged else b"")
                it.peer.send(data[:-3])
                await settle()
                it.peer.send(data[-3:])
                await settle()
                it.peer.take()
            assert dealt == said

    trio.run(main, clock=MockClock())
