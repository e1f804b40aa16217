"""One clock for all straight sockets: whom it pings when, and whom it gives up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from server.connection.heartbeat import Heartbeat, Watched
from tests.listener.raw import PING, PONG, TEXT, frame

from .lines import line
from .sockets import running

INTERVAL, PATIENCE = 20.0, 10.0


@define(eq=False)
class Beat:
    """A socket, as far as its life is concerned: what was done to it, and when."""

    heard: float | None = None
    """When something last came; `None` while it is not listened to."""
    pinged: list[float] = field(factory=list)
    aborted: float | None = None

    @property
    def last_life(self) -> float:
        return trio.current_time() if self.heard is None else self.heard

    def ping(self) -> None:
        self.pinged.append(trio.current_time())

    def abort(self) -> None:
        assert self.aborted is None, "one is given up once"
        self.aborted = trio.current_time()


@asynccontextmanager
async def beating() -> AsyncIterator[Heartbeat]:
    heartbeat = Heartbeat(INTERVAL, PATIENCE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.run)
        await wait_all_tasks_blocked()
        yield heartbeat
        nursery.cancel_scope.cancel()


async def test_a_socket_is_pinged_at_intervals(autojump_clock: MockClock) -> None:
    """From the moment at which it is watched, whenever that is."""
    early, late = Beat(), Beat()
    async with beating() as heartbeat:
        heartbeat.watch(early, early.ping)
        await trio.sleep(7)
        heartbeat.watch(late, late.ping)
        await trio.sleep(60)

    assert early.pinged == [20, 40, 60]
    assert late.pinged == [27, 47, 67][: len(late.pinged)]
    assert len(late.pinged) >= 2


async def test_one_from_which_nothing_comes_is_given_up(autojump_clock: MockClock) -> None:
    """A phone out of reach never says goodbye: an interval and the patience after its last sign of life."""
    silent = Beat(heard=0.0)
    async with beating() as heartbeat:
        heartbeat.watch(silent, silent.ping)
        await trio.sleep(1000)

    assert silent.pinged == [20]
    assert silent.aborted == 30


async def test_any_sign_of_life_puts_the_end_off(autojump_clock: MockClock) -> None:
    """It need not be a pong."""
    talkative = Beat(heard=0.0)
    async with beating() as heartbeat:
        heartbeat.watch(talkative, talkative.ping)
        for _ in range(10):
            await trio.sleep(25)
            talkative.heard = trio.current_time()
        assert talkative.aborted is None
        await trio.sleep(1000)

    assert talkative.aborted == 280


async def test_one_that_is_not_listened_to_is_not_blamed(autojump_clock: MockClock) -> None:
    """While we are busy with what it said, its pongs lie in the kernel; it is pinged all the same."""
    waiting = Beat(heard=None)
    async with beating() as heartbeat:
        heartbeat.watch(waiting, waiting.ping)
        await trio.sleep(1000.5)
        assert waiting.aborted is None
        assert len(waiting.pinged) == 50
        waiting.heard = trio.current_time()
        await trio.sleep(1000)

    assert waiting.aborted == 1030.5


async def test_one_that_is_forgotten_is_left_alone(autojump_clock: MockClock) -> None:
    """Its socket may be another's by then."""
    gone = Beat(heard=0.0)
    async with beating() as heartbeat:
        watched = heartbeat.watch(gone, gone.ping)
        await trio.sleep(21)
        watched.forget()
        watched.forget()
        await trio.sleep(1000)

    assert (gone.pinged, gone.aborted) == ([20], None)


async def test_one_may_be_forgotten_by_its_own_ping(autojump_clock: MockClock) -> None:
    """A ping may be what tells that the socket is gone."""
    gone, other = Beat(heard=0.0), Beat()
    async with beating() as heartbeat:

        def ping() -> None:
            gone.ping()
            watched.forget()

        watched = heartbeat.watch(gone, ping)
        heartbeat.watch(other, other.ping)
        await trio.sleep(100.5)

    assert (gone.pinged, gone.aborted) == ([20], None)
    assert other.pinged == [20, 40, 60, 80, 100]


async def test_others_get_turns_while_very_many_are_pinged(mock_clock: MockClock) -> None:
    """All sockets that came after a restart are due in the same moment."""
    beats = [Beat() for _ in range(320)]
    turns = []
    async with beating() as heartbeat, trio.open_nursery() as nursery:
        for beat in beats:
            heartbeat.watch(beat, beat.ping)

        async def take_turns() -> None:
            while True:
                await trio.lowlevel.checkpoint()
                turns.append(sum(len(beat.pinged) for beat in beats))

        nursery.start_soon(take_turns)
        mock_clock.jump(20)
        while not all(beat.pinged for beat in beats):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert all(after - before <= 64 for before, after in pairwise(turns))


steps = st.lists(
    st.tuples(st.sampled_from(["watch", "hear", "busy", "forget"]), st.integers(0, 3), st.integers(0, 25)),
    max_size=30,
)


@given(steps)
@settings(deadline=None)
def test_whatever_happens_each_is_pinged_and_given_up_in_time(course: list[tuple[str, int, int]]) -> None:
    """Never two intervals without a ping, never later than its time, and nobody before it."""

    async def main() -> None:
        beats: list[Beat] = []
        watched: dict[Beat, Watched] = {}
        since: dict[Beat, float] = {}
        async with beating() as heartbeat:
            for what, which, seconds in course:
                await trio.sleep(seconds)
                now = trio.current_time()
                beat = beats[which] if which < len(beats) else None
                if what == "watch":
                    beats.insert(0, Beat())
                    since[beats[0]] = now
                    watched[beats[0]] = heartbeat.watch(beats[0], beats[0].ping)
                elif beat is not None and beat.aborted is None and beat in since:
                    if what == "forget":
                        watched[beat].forget()
                        del since[beat]
                        done = (list(beat.pinged), beat.aborted)
                        await trio.lowlevel.checkpoint()
                        assert (beat.pinged, beat.aborted) == done
                    else:
                        beat.heard = now if what == "hear" else None
            await trio.sleep(0.5)
            for beat, begun in since.items():
                end = trio.current_time() if beat.aborted is None else beat.aborted
                assert all(b - a == INTERVAL for a, b in pairwise([begun, *beat.pinged]))
                assert end - ([begun, *beat.pinged][-1]) <= INTERVAL
                if beat.aborted is not None:
                    assert beat.heard is not None
                    assert beat.aborted >= beat.heard + INTERVAL + PATIENCE
                elif beat.heard is not None:
                    assert end < beat.heard + INTERVAL + PATIENCE

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_straight_socket_is_pinged_by_its_actor(mock_clock: MockClock) -> None:
    """In its turn, like all that is written; and a peer that answers stays."""
    async with running() as world, line(world) as it:
        for number in range(1, 6):
            await wait_all_tasks_blocked()
            mock_clock.jump(20)
            await wait_all_tasks_blocked()
            it.peer.take()
            assert it.peer.frames == [(PING, b"")] * number
            it.peer.send(frame(PONG))
        it.peer.send(frame(TEXT, "still here"))
        await wait_all_tasks_blocked()

        assert it.heard == ["still here"]


async def test_a_straight_socket_whose_peer_is_silent_is_cut_off(mock_clock: MockClock) -> None:
    """Its reader learns that it is over, and the peer that it was not heard."""
    async with running() as world, line(world) as it:
        await wait_all_tasks_blocked()
        for _ in range(2):
            mock_clock.jump(20)
            await wait_all_tasks_blocked()
        it.peer.take()

        assert it.is_over()
        assert it.peer.reset


async def test_a_straight_socket_that_ended_is_pinged_no_more(mock_clock: MockClock) -> None:
    """Nothing may follow its Close."""
    async with running() as world, line(world) as it:
        it.ref.stop("the end")
        await wait_all_tasks_blocked()
        mock_clock.jump(20)
        await wait_all_tasks_blocked()
        it.peer.take()

        assert it.peer.close is not None
        assert len(it.peer.frames) == 1
