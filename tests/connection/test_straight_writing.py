"""What is written to a straight WebSocket: at once, in order, and with no queue but the mailbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import FanOut, MailboxFull
from server.connection import wire
from server.connection.framing import CLOSE, PING, PONG, TEXT, frame
from server.connection.socket_port import Bounds
from server.connection.transport import AsgiTransport
from server.messages import (
    TOO_SLOW,
    Announced,
    Close,
    Deliver,
    Dialect,
    Event,
    Flush,
    tell_each,
)
from server.protocol import GrowingReply, encode
from tests.listener import raw

from .happenings import NOON, Client, added, ended, grew, welcomed
from .lines import Line, line
from .sockets import running

NEVER = 1e9


def announced(text: str) -> Deliver:
    return Deliver(Announced(text, NOON))


def size_of(text: str) -> int:
    """Bytes of the frame that announces *text*."""
    made = wire.encoded(Announced(text, NOON), "cumulative", wire.Greeting(1, 1))
    assert made is not None
    return len(made)


async def read(it: Line, done: Callable[[], bool]) -> None:
    """Have the peer read until what it got is enough."""
    for _ in range(10_000):
        it.peer.take()
        if done():
            return
        await wait_all_tasks_blocked()
    raise AssertionError(f"it only got {it.peer}")


# -- at once


async def test_what_is_told_is_written_in_the_teller_s_task() -> None:
    """A turn of the scheduler costs more than most messages: no task has to run in between."""
    async with running() as world, line(world) as it:
        await wait_all_tasks_blocked()
        for text in ("one", "two", "three"):
            it.ref.tell_nowait(announced(text))
            it.peer.take()

            assert text in it.peer.texts[-1]


async def test_a_stopped_reader_holds_up_neither_the_teller_nor_the_others() -> None:
    """All of it is done without waiting for anybody; the slow one alone is given up."""
    async with running(mailbox=16) as world, line(world, window=1000) as slow, line(world) as quick:
        await wait_all_tasks_blocked()
        slow.peer.socket.peer.stall()
        untold = []
        for number in range(30):
            untold += await tell_each([slow.ref, quick.ref], announced(f"number {number}"))
            quick.peer.take()
            assert len(quick.peer.texts) == number + 1

        assert slow.ref in untold or not slow.ref.alive
        assert quick.ref.alive


async def test_what_a_full_socket_leaves_waits_in_the_mailbox() -> None:
    """And what comes after it waits behind it; all is written as soon as there is room."""
    async with running() as world, line(world, window=100) as it:
        await wait_all_tasks_blocked()
        texts = [f"number {number} {'x' * 50}" for number in range(5)]
        for text in texts:
            it.ref.tell_nowait(announced(text))
        assert it.socket.sent == 100
        await read(it, lambda: len(it.peer.texts) == 5)

        assert [text in sent for text, sent in zip(texts, it.peer.texts, strict=True)] == [True] * 5


# -- the one queue


steps = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(0, 400)),
        st.tuples(st.just("ping"), st.just(0)),
        st.tuples(st.just("pong"), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 500)),
        st.tuples(st.just("stall"), st.just(0)),
        st.tuples(st.just("go on"), st.just(0)),
        st.tuples(st.just("others run"), st.just(0)),
    ),
    max_size=40,
)
ends = st.sampled_from(["nothing", "close", "too slow", "peer closes", "restart"])


class Books:
    """What a line was given to write, and what has become of it."""

    def __init__(self, it: Line) -> None:
        self._it = it
        self._mailbox: Any = it.ref._recipient.mailbox
        self.texts: list[str] = []
        self.accepted = 0
        self.controls = 0
        self.largest = 0

    def tell(self, size: int) -> None:
        text = f"{len(self.texts)} {'x' * size}"
        try:
            self._it.ref.tell_nowait(announced(text))
        except MailboxFull:
            return
        self.texts.append(text)
        self.largest = max(self.largest, size_of(text))
        self.accepted += size_of(text)

    def control(self, opcode: int) -> None:
        owner = self._it.transport.output.owner
        assert owner is not None
        replaced, refused = self._mailbox.conflated, self._mailbox.rejected
        data = frame(opcode, b"beat")
        owner.control(data, "ping" if opcode == PING else "pong")
        if (self._mailbox.conflated, self._mailbox.rejected) == (replaced, refused):
            self.controls += 1
            self.accepted += len(data)

    def check(self) -> None:
        """Bytes accepted − bytes written = bytes in the mailbox + at most one frame, in the actor's hands."""
        waiting = 0
        for envelope in self._mailbox._queue:
            message = envelope.message
            if isinstance(message, Deliver):
                assert isinstance(message.event, Announced)
                waiting += size_of(message.event.text)
            else:
                waiting += len(getattr(message, "data", b""))
        in_hand = self.accepted - self._it.socket.sent - waiting
        assert 0 <= in_hand <= max(self.largest, 6)

    def settled(self, *, closed: bool) -> bool:
        """Whether the peer got all that there is for it."""
        if closed:
            return self._it.peer.close is not None
        return self._it.peer.read == self.accepted


@given(steps, ends, st.integers(1, 300), st.one_of(st.none(), st.integers(0, 2**16)))
@settings(deadline=None, max_examples=300)
def test_order_is_kept_and_nothing_is_lost_or_doubled(
    course: list[tuple[str, int]], end: str, window: int, whim: int | None
) -> None:
    """However few bytes the socket takes at a time: whole frames come, and the mailbox is the only queue."""

    async def main() -> None:
        dice = None if whim is None else Random(whim)
        async with (
            running(heartbeat=NEVER, mailbox=12) as world,
            line(world, Bounds(send_timeout=NEVER), window=window, whim=dice) as it,
        ):
            await wait_all_tasks_blocked()
            books = Books(it)
            for what, value in course:
                match what:
                    case "tell":
                        books.tell(value)
                    case "ping" | "pong":
                        books.control(PING if what == "ping" else PONG)
                    case "read":
                        it.peer.take(value)
                    case "stall":
                        it.socket.stall()
                    case "go on":
                        it.socket.go_on()
                    case _:
                        await wait_all_tasks_blocked()
                books.check()
            it.socket.go_on()
            match end:
                case "close":
                    await it.ref.tell(Close(4000, "enough"))
                case "too slow":
                    it.ref.stop(TOO_SLOW)
                case "restart":
                    it.ref.stop("the server ends")
                case "peer closes":
                    it.peer.socket.set_window(100)
                    it.peer.send(raw.frame(CLOSE))
            await read(it, lambda: books.settled(closed=end != "nothing"))
            assert it.peer.torn == b""
            told = [json.loads(text)["message"].partition(" ")[0] for text in it.peer.texts]
            numbers = [int(each) for each in told if each.isdigit()]
            if end in ("nothing", "close", "peer closes"):
                assert numbers == list(range(len(books.texts)))
                beats = [opcode for opcode, payload in it.peer.frames if opcode in (PING, PONG)]
                assert len(beats) == books.controls
            else:  # what still waited was dropped, but nothing out of the middle
                assert numbers == list(range(len(numbers)))
            codes = {"close": 4000, "too slow": 4408, "restart": 1012, "peer closes": None}
            if end == "nothing":
                assert it.peer.close is None
            else:
                assert it.peer.close is not None
                assert it.peer.close[0] == codes[end]

    trio.run(main, clock=MockClock())


# -- a goodbye after half a frame


GOODBYES: dict[str, tuple[Callable[[Line], None], int]] = {
    "a slow reader": (lambda it: it.ref.stop(TOO_SLOW), 4408),
    "a restart": (lambda it: it.ref.stop("the system stops"), 1012),
    "a close": (lambda it: it.ref.tell_nowait(Close(1000)), 1000),
}


@pytest.mark.parametrize(("end", "code"), GOODBYES.values(), ids=GOODBYES)
@pytest.mark.parametrize("run_between", [False, True], ids=["at once", "later"])
async def test_a_goodbye_comes_after_the_frame_that_was_begun(
    end: Callable[[Line], None], code: int, run_between: bool
) -> None:
    """A client that finds it amid another frame can only report nonsense, and does not know to resume."""
    async with running(heartbeat=NEVER) as world, line(world, window=40) as it:
        await wait_all_tasks_blocked()
        it.ref.tell_nowait(announced("cut in two " + "x" * 100))
        if run_between:
            await wait_all_tasks_blocked()
        end(it)
        await read(it, lambda: it.peer.close is not None)

        assert "cut in two" in it.peer.texts[0]
        assert it.peer.close is not None
        assert it.peer.close[0] == code


# -- peers that do not read


async def test_a_peer_that_takes_nothing_in_time_is_cut_off(mock_clock: MockClock) -> None:
    """Its socket's buffers and its actor are held for nobody."""
    bounds = Bounds(send_timeout=10)
    async with running(heartbeat=NEVER) as world, line(world, bounds, window=40) as it:
        await wait_all_tasks_blocked()
        it.ref.tell_nowait(announced("x" * 100))
        await wait_all_tasks_blocked()
        mock_clock.jump(9.5)
        await wait_all_tasks_blocked()
        assert not it.is_over()
        mock_clock.jump(1)
        await wait_all_tasks_blocked()
        it.peer.take()

        assert it.is_over()
        assert it.peer.reset


async def test_one_that_takes_a_little_now_and_then_is_not_waited_for_longer(mock_clock: MockClock) -> None:
    """A byte a second would hold an actor for hours."""
    bounds = Bounds(send_timeout=10)
    async with running(heartbeat=NEVER) as world, line(world, bounds, window=40) as it:
        await wait_all_tasks_blocked()
        it.ref.tell_nowait(announced("x" * 100))
        for _ in range(11):
            await wait_all_tasks_blocked()
            it.peer.take(1)
            mock_clock.jump(1)
        await wait_all_tasks_blocked()

        assert it.is_over()


async def test_a_violator_that_does_not_read_is_hung_up_on(mock_clock: MockClock) -> None:
    """Its Close waits behind what it does not take; it has the seconds that any other has."""
    async with running(heartbeat=NEVER) as world, line(world, window=40) as it:
        await wait_all_tasks_blocked()
        it.ref.tell_nowait(announced("x" * 100))
        await wait_all_tasks_blocked()
        it.peer.send(b"\x01\x01")
        for _ in range(3):
            await wait_all_tasks_blocked()
            mock_clock.jump(1)
        await wait_all_tasks_blocked()

        assert it.is_over()
        assert it.socket.closed


async def test_writing_to_one_that_is_gone_is_nothing() -> None:
    """The reading side notices; whoever tells has nothing to do with it."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        await wait_all_tasks_blocked()
        it.peer.socket.abort()
        for number in range(5):
            it.ref.tell_nowait(announced(str(number)))
        await wait_all_tasks_blocked()

        assert it.is_over()
        await it.ref.ask(Flush(), timeout=1)


async def test_a_writer_that_is_cancelled_finishes_its_frame() -> None:
    """Half a frame would spoil the next one, which may say why it ends."""
    async with running(heartbeat=NEVER) as world, line(world, window=10) as it:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(it.transport.output.write, frame(TEXT, b"x" * 30))
                await wait_all_tasks_blocked()
                scope.cancel()
                with trio.CancelScope(shield=True):
                    await read(it, lambda: bool(it.peer.frames))

        assert it.peer.frames == [(TEXT, b"x" * 30)]


# -- several frames at a time


@pytest.mark.parametrize("window", [2**16, 20, 5])
async def test_what_is_gathered_leaves_together(window: int) -> None:
    """One call of the system for all of it; what is left of it is written like the end of one frame."""
    async with running(heartbeat=NEVER) as world, line(world, window=window) as it:
        await wait_all_tasks_blocked()
        it.transport.output.cork()
        for text in ("one", "two", "three"):
            it.ref.tell_nowait(announced(text))
        assert it.socket.sent == 0
        it.transport.output.uncork()
        assert it.socket.sent == min(window, sum(map(size_of, ("one", "two", "three"))))
        it.ref.tell_nowait(announced("four"))
        await read(it, lambda: len(it.peer.frames) == 4)

        texts = [json.loads(text)["message"] for text in it.peer.texts]
        assert texts == ["one", "two", "three", "four"]


async def test_nothing_gathered_is_nothing_written() -> None:
    """And afterwards all is as before."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        it.transport.output.cork()
        it.transport.output.uncork()
        assert it.transport.output.write_nowait(frame(TEXT, b"x")) is None
        it.peer.take()

        assert it.peer.texts == ["x"]


async def test_what_is_told_together_is_written_together_within_bounds() -> None:
    """What is beyond them waits in the mailbox, shared with all others; and in order."""
    async with running(heartbeat=NEVER) as world, line(world, window=2**20) as it, line(world) as other:
        await wait_all_tasks_blocked()
        texts = [letter * 30_000 for letter in "abcd"]
        with FanOut([it.ref, other.ref]) as out:
            for text in texts:
                out.tell(announced(text))
        assert out.untold == []
        assert it.socket.sent == size_of(texts[0]) + size_of(texts[1])
        await read(it, lambda: len(it.peer.frames) == 4)

        assert [json.loads(text)["message"] for text in it.peer.texts] == texts


@pytest.mark.parametrize("taken", [1, 2])
async def test_a_fault_in_an_answer_is_this_connection_s(taken: int) -> None:
    """And not the trouble of whoever noticed, who has all others to look after; its reader may be awake."""
    async with running(heartbeat=NEVER) as world, line(world) as it:
        await wait_all_tasks_blocked()

        def fail(data: bytes | memoryview, /) -> int:
            raise ValueError("a bug")

        def at_once(messages: Sequence[str | bytes]) -> int:
            it.ref.tell_nowait(announced("an answer"))
            it.socket.send = fail  # type: ignore[method-assign]
            return taken

        it.transport.at_once, it.may_fail = at_once, (ValueError,)
        it.peer.send(2 * raw.frame(TEXT, b"x"))
        await wait_all_tasks_blocked()
        assert str(it.failed) == "a bug"


# -- encoding


DIALECTS: list[Dialect] = ["document", "cumulative", "delta"]


@pytest.mark.parametrize("each", [1, 10])
async def test_an_event_is_encoded_once_for_each_dialect(each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sockets it goes to, of whatever kind: what most of them know is shared."""
    calls: list[Any] = []

    def counting(message: Any) -> bytes:
        calls.append(message)
        return encode(message)

    class CountingReply(GrowingReply):
        def whole(self, text: str) -> bytes:
            calls.append(text)
            return super().whole(text)

        def deltas(self, pieces: Sequence[str], offset: int) -> list[bytes]:
            calls.append(pieces)
            return super().deltas(pieces, offset)

    monkeypatch.setattr(wire, "encode", counting)
    monkeypatch.setattr(wire, "GrowingReply", CountingReply)
    events: list[tuple[Event, int]] = [
        (welcomed(), 1),
        (added(1), 1),
        (grew("Hel", 0), 2),
        (grew("Hello", 3), 2),
        (ended(2, "Hello!", 5), 2),
        (Announced("All", NOON), 1),
    ]
    async with running(heartbeat=NEVER) as world, trio.open_nursery() as nursery:
        crowd: list[tuple[Client, Callable[[], list[str]]]] = []
        refs = []

        async def serve(dialect: Dialect, *, task_status: Any) -> None:
            async with line(world, dialect=dialect) as it:

                def texts() -> list[str]:
                    it.peer.take()
                    return it.peer.texts

                crowd.append((Client(dialect), texts))
                refs.append(it.ref)
                task_status.started()
                await trio.sleep_forever()

        for dialect in DIALECTS * each:
            await nursery.start(serve, dialect)
            sent: list[str] = []

            async def send(event: Any, sent: list[str] = sent) -> None:
                sent.append(event["text"])

            transport: Any = AsgiTransport(trio.sleep_forever, send)
            refs.append(await world.adopt(transport, dialect))
            crowd.append((Client(dialect), partial(list, sent)))
        await wait_all_tasks_blocked()
        for event, encodings in events:
            calls.clear()
            assert await tell_each(refs, Deliver(event)) == []
            await wait_all_tasks_blocked()
            assert len(calls) == encodings, event
        for client, texts in crowd:
            for text in texts():
                client.hear(text)
            assert client.finals == {2: "Hello!"}
            assert client.last == 2
        nursery.cancel_scope.cancel()
