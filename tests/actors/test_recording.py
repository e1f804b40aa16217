"""Recording a running system, and the trace that comes of it: it keeps the laws of its format."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from weakref import ref

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors import ActorRef, Restart, origin
from actors.observation.chrome_trace import to_chrome
from actors.observation.recorder import Recorded, Recorder
from actors.observation.recording import Recording, record

from .puppets import Boom, Do, Eager, Now, Part, Puppet, Stage, answer, busy, crash, settle, stage

Event = dict[str, Any]


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class Trace:
    """A trace as a reader of the format understands it."""

    def __init__(self, chrome: dict[str, Any]) -> None:
        self.chrome = json.loads(json.dumps(chrome))
        self.events: list[Event] = self.chrome["traceEvents"]
        self.processes = {e["pid"]: e["args"]["name"] for e in self.events if e["name"] == "process_name"}
        self.tracks = {
            (e["pid"], e["tid"]): e["args"]["name"] for e in self.events if e["name"] == "thread_name"
        }
        self.check_laws()

    def on(self, track: str) -> list[Event]:
        """What is on the track of that name."""
        return [e for e in self.events if e["ph"] in "Xi" and self.track_of(e) == track]

    def track_of(self, event: Event) -> str:
        return str(self.tracks.get((event["pid"], event["tid"]), ""))

    def slices(self, track: str) -> list[Event]:
        return [e for e in self.on(track) if e["ph"] == "X"]

    def names(self, track: str) -> list[str]:
        return [e["name"] for e in self.on(track)]

    def steps(self, task: str) -> list[Event]:
        """The steps of the one task of that name."""
        (track,) = (t for t in self.tracks.values() if t.rpartition(" (")[0] == task)
        return self.slices(track)

    def enclosing(self, event: Event) -> Event:
        """The slice in which *event* lies, on its own track."""
        (found,) = (
            e
            for e in self.slices(self.track_of(event))
            if e["ts"] <= event["ts"] <= e["ts"] + e["dur"] and e["pid"] == event["pid"]
        )
        return found

    def arrows(self) -> Iterator[tuple[Event, Event]]:
        """The slices at both ends of every flow."""
        starts = {e["id"]: e for e in self.events if e["ph"] == "s"}
        for end in self.events:
            if end["ph"] == "f":
                yield self.enclosing(starts[end["id"]]), self.enclosing(end)

    def check_laws(self) -> None:
        assert self.processes == {1: "actors", 2: "tasks"}
        assert len(set(self.tracks.values())) == len(self.tracks)
        latest: dict[Any, float] = defaultdict(float)
        ends: dict[Any, float] = defaultdict(float)
        starts: dict[int, Event] = {}
        arrived: set[int] = set()
        for event in self.events:
            phase = event["ph"]
            assert phase in "MXisfC"
            if phase == "M":
                continue
            track = event["pid"], event.get("tid")
            assert event["ts"] >= latest[track]
            latest[track] = event["ts"]
            if phase == "C":
                assert all(isinstance(value, int) and value >= 0 for value in event["args"].values())
            elif event.get("s") != "g":
                assert track in self.tracks
            if phase == "X":
                assert event["ts"] >= ends[track]  # no slice lies in another, so none may overlap
                assert event["dur"] >= 0
                ends[track] = event["ts"] + event["dur"]
            elif phase == "s":
                assert event["id"] not in starts
                starts[event["id"]] = event
                self.enclosing(event)
            elif phase == "f":
                assert event["id"] not in arrived
                arrived.add(event["id"])
                start = starts[event["id"]]
                assert start["ts"] <= event["ts"]
                assert (start["cat"], start["name"]) == (event["cat"], event["name"])
                assert event["bp"] == "e"
                assert self.enclosing(event)["ts"] == event["ts"]
        assert arrived == set(starts)


@contextmanager
def recording(here: Stage, **options: Any) -> Iterator[list[Trace]]:
    """Records the block; its trace is in the list afterwards."""
    recorder = Recorder(**options)
    traces: list[Trace] = []
    with recorder.attached(here.system):
        yield traces
    traces.append(Trace(Recording(recorder.hand_over()).to_chrome()))


@asynccontextmanager
async def chain(length: int) -> AsyncIterator[tuple[Stage, ActorRef[Any]]]:
    """Actors that each pass a message on to the next: `root/0` … `root/length-1`."""
    refs: list[ActorRef[Any]] = []

    class Passes(Puppet):
        async def handle(self, message: Any) -> None:
            place = refs.index(self.ref)
            if place + 1 < length:
                await refs[place + 1].tell(message)

    async with stage() as here:
        refs += [here.spawn(Part(Passes), name=str(place)) for place in range(length)]
        await settle()
        yield here, refs[0]


async def test_one_origin_can_be_followed_through_all_it_led_to() -> None:
    """That is what a trace is for: from one frame of a client to every actor it made work."""
    async with chain(4) as (here, first):
        with recording(here) as traces:
            for number in range(3):
                with origin("frame message", connection=str(number)):
                    await first.tell("hello")
            await settle()

    (trace,) = traces
    arrows = list(trace.arrows())
    for begin in trace.slices("outside"):
        came = [begin]
        for one in came:
            came += [to for frm, to in arrows if frm is one]
        assert [trace.track_of(one) for one in came] == ["outside", "root/0", "root/1", "root/2", "root/3"]
        assert {one["args"]["origin"] for one in came} == {begin["args"]["origin"]}
        assert {one["args"]["origin_name"] for one in came} == {"frame message"}
        assert len({one["args"]["labels"]["connection"] for one in came}) == 1
        assert [one["args"]["cause"] for one in came[2:]] == [one["args"]["message"] for one in came[1:-1]]
    assert len(trace.slices("outside")) == 3


async def test_a_handling_tells_what_it_handles() -> None:
    """Kind, sender, and how long it waited."""
    async with chain(2) as (here, first):
        with recording(here) as traces:
            await first.tell("hello")
            await settle()

    ((outer,), (inner,)) = traces[0].slices("root/0"), traces[0].slices("root/1")
    assert (outer["name"], outer["args"]["sender"]) == ("str", "")
    assert (inner["name"], inner["args"]["sender"]) == ("str", "root/0")
    assert inner["args"]["waited_us"] > 0


async def test_what_is_taken_at_once_is_shown_like_all_that_is_handled(autojump_clock: MockClock) -> None:
    """On its actor's track, with an arrow from its sender, as long as it took, and with what came of it."""
    part, last = Part(Eager), Part(Eager)

    def work(me: Eager) -> str:
        compute(0.002)
        last.now.ref.tell_nowait(Now())
        compute(0.002)
        return "left"

    async with stage() as here:
        sender = here.spawn(Part(), "sender")
        ref = here.spawn(part, "eager")
        here.spawn(last, "last")
        await settle()
        with recording(here) as traces:
            sender.tell_nowait(Do(lambda me: ref.tell_nowait(Now(work))))
            await settle()
            ref.tell_nowait("declined")
            ref.tell_nowait(Now(crash))
            await trio.sleep(5)
            ref.tell_nowait(Now(crash))

    (trace,) = traces
    (sent,), (effect,) = trace.slices("root/sender"), trace.slices("root/last")
    taken, left, declined, handled, crashed = trace.slices("root/eager")
    assert [one["name"] for one in (taken, left, declined, handled)] == ["Now", "str", "str", "Now"]
    assert [handled["args"].get("error"), crashed["args"].get("error")] == ["Boom", "Boom"]
    assert taken["dur"] >= 4_000
    assert sent["ts"] <= taken["ts"] < effect["ts"] < taken["ts"] + taken["dur"]
    arrows = [(frm, to) for frm, to in trace.arrows() if to in (taken, left, declined, effect)]
    assert arrows == [(sent, taken), (taken, effect), (sent, left), (trace.slices("outside")[1], declined)]
    queued = [
        event["args"]["queued"]
        for event in trace.events
        if event["ph"] == "C" and event["name"] == "mailbox of root/eager"
    ]
    assert (max(queued), queued[-1]) == (2, 0)


async def test_an_actor_that_handles_since_before_and_for_longer_is_shown_all_the_while() -> None:
    """Of what hangs, neither the beginning nor the end is to be seen."""
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell(Do(busy()))
        await settle()
        trace = Trace((await record(here.system, 0.01)).to_chrome())
        ref.stop()

    (hangs,) = trace.slices("root/child")
    assert hangs["ts"] == 0
    assert hangs["args"]["begun_before"]
    assert hangs["args"]["unfinished"]
    assert hangs["dur"] == pytest.approx(trace.chrome["otherData"]["seconds"] * 1e6)


async def test_a_handling_that_began_before_is_shown_from_the_start() -> None:
    """And ends where it ends."""
    over = trio.Event()
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell(Do(lambda me: over.wait()))
        await settle()
        with recording(here) as traces:
            over.set()
            await settle()
            await ref.tell("next")
            await settle()

    first, second = traces[0].slices("root/child")
    assert (first["ts"], first["name"]) == (0, "Do")
    assert first["args"]["begun_before"]
    assert "begun_before" not in second["args"]
    assert len(list(traces[0].arrows())) == 1


async def test_a_message_that_nobody_takes_is_seen() -> None:
    """In the mailbox's counter, and where it was sent. It may wait, or have been dropped."""
    async with stage() as here:
        stuck = here.spawn(Part(), name="stuck")
        sender = here.spawn(Part(), name="sender")
        await stuck.tell(Do(busy()))
        await settle()
        with recording(here) as traces:
            await sender.tell(Do(lambda me: stuck.tell("waits")))
            await stuck.tell(1)
            await settle()
        stuck.stop()

    assert "str, not handled" in traces[0].names("root/sender")
    assert "int, not handled" in traces[0].names("outside")
    depths = [
        event["args"]["queued"] for event in traces[0].events if event["name"] == "mailbox of root/stuck"
    ]
    assert depths == [1, 2]


async def test_the_depth_of_a_mailbox_rises_and_falls() -> None:
    """With each message that comes, and each that is taken."""
    async with stage() as here:
        ref = here.spawn(Part())
        await settle()
        with recording(here) as traces:
            for number in range(3):
                ref.tell_nowait(number)
            await settle()

    depths = [
        event["args"]["queued"] for event in traces[0].events if event["name"] == "mailbox of root/child"
    ]
    assert depths == [1, 2, 3, 2, 1, 0]


async def test_what_an_actor_sends_beside_its_messages_has_a_track_beside() -> None:
    """A helper's message is not sent by whatever the actor is handling just then."""

    async def helper(me: Puppet) -> None:
        await trio.lowlevel.checkpoint()
        await me.ref.tell("from the helper")

    part = Part()
    async with stage() as here:
        ref = here.spawn(part)
        await settle()
        with recording(here) as traces:
            await ref.tell(Do(lambda me: me.start_task(helper, me, name="helper")))
            await settle()
            await ref.tell(Do(lambda me: me.after(0, "from a timer")))
            await settle()

    (trace,) = traces
    assert [one["name"] for one in trace.slices("root/child: beside its messages")] == ["str", "str"]
    arrows = [(trace.track_of(begin), trace.track_of(end), end["name"]) for begin, end in trace.arrows()]
    assert arrows == 2 * [
        ("outside", "root/child", "Do"),
        ("root/child", "root/child: beside its messages", "str"),  # because of that message
        ("root/child: beside its messages", "root/child", "str"),
    ]


async def test_a_crash_and_the_life_after_it_are_seen() -> None:
    """With the name of the error; its text may be private."""
    async with stage() as here:
        ref = here.spawn(Part())
        await settle()
        with recording(here) as traces:
            await ref.tell(Do(crash))
            await ref.ask(answer(1), timeout=60)
        gone = here.spawn(Part(), name="gone", restart=Restart.TEMPORARY)
        await settle()
        with recording(here) as more:
            gone.stop()
            await gone.wait_gone()

    (crashed, _) = traces[0].slices("root/child")
    assert crashed["args"]["error"] == Boom.__name__
    names = traces[0].names("root/child")
    assert [name for name in names if name.islower()] == ["stopping", "restarting", "starting", "idle"]
    assert more[0].names("root/gone")[-1] == "gone"


async def test_a_handling_that_is_cut_short_ends() -> None:
    """A cancellation is an end, too."""
    async with stage() as here:
        ref = here.spawn(Part(), grace=0.01)
        await ref.tell(Do(busy()))
        await settle()
        with recording(here) as traces:
            here.system.stop()
            await ref.wait_gone()

    (cut,) = traces[0].slices("root/child")
    assert cut["args"]["error"] == "Cancelled"
    assert "unfinished" not in cut["args"]


async def test_a_step_tells_who_woke_the_task() -> None:
    """The other half of why it runs now."""
    bell = trio.Event()

    async def wait() -> None:
        await bell.wait()
        await trio.lowlevel.checkpoint()  # makes itself ready again, within the step it was woken for

    async with stage() as here, trio.open_nursery() as nursery:
        nursery.start_soon(wait, name="waits")
        await settle()
        with recording(here) as traces:

            async def ring() -> None:
                bell.set()

            nursery.start_soon(ring, name="rings")
            await settle()

    (trace,) = traces
    first, second = trace.steps("waits")
    assert first["args"]["woken_by"].startswith("rings (")
    assert first["args"]["ready_us"] > 0
    assert second["args"]["woken_by"].startswith("waits (")


async def test_the_birth_and_the_end_of_a_task_are_seen() -> None:
    """And by whom it was begun. Its name is known though it is gone."""
    me = trio.lowlevel.current_task().name
    async with stage() as here:
        with recording(here) as traces:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint, name="short")

    (trace,) = traces
    (track,) = (name for name in trace.tracks.values() if name.startswith("short ("))
    assert [event["name"] for event in trace.on(track)] == ["spawned", "step", "step", "exited"]
    assert trace.on(track)[0]["args"]["by"].startswith(f"{me} (")


async def test_the_step_in_which_a_recording_ends_is_unfinished() -> None:
    """Its own task's; and the one in which it begins has no beginning."""
    me = trio.lowlevel.current_task().name
    async with stage() as here:
        with recording(here) as traces:
            await trio.lowlevel.checkpoint()

    first, last = traces[0].steps(me)
    assert first["ts"] == 0
    assert last["args"]["unfinished"]


async def test_a_long_step_is_named_with_the_line_it_was_at() -> None:
    """Which no instrument can see when it is over."""
    async with stage() as here:
        ref = here.spawn(Part())
        await settle()
        with recording(here) as traces:
            await ref.tell(Do(lambda me: compute(0.2)))
            await ref.ask(answer(1), timeout=60)

    (long,) = (step for step in traces[0].steps("actor root/child") if step["name"] != "step")
    assert long["name"].startswith("test_recording.py:")
    assert long["name"].endswith(" compute")
    assert long["dur"] >= 200_000
    assert "Cell.run" in long["args"]["stack"][0]
    assert any("compute(0.2)" in line for line in long["args"]["stack"])


async def test_times_are_real_whatever_clock_trio_runs_on(autojump_clock: MockClock) -> None:
    """A simulated hour takes no time, and a trace shows what takes time."""
    async with stage() as here:
        result = await record(here.system, 3600)

    trace = Trace(result.to_chrome())
    assert trace.chrome["otherData"]["seconds"] < 3600


async def test_a_recording_is_bounded_and_tells_what_it_dropped() -> None:
    """A minute at full load would not fit into memory."""
    async with chain(3) as (here, first):
        with recording(here, limit=50) as traces:
            for number in range(100):
                await first.tell(number)
            await settle()

    (trace,) = traces
    about = trace.chrome["otherData"]
    assert about["dropped"] > 0
    assert about["events"] <= 50 + 1  # what was going on at the end comes on top
    assert f"{about['dropped']} older events were dropped" in [event["name"] for event in trace.events]
    handled = trace.slices("root/2")
    assert handled
    assert {one["name"] for one in handled} == {"int"}


async def test_under_full_load_a_trace_keeps_the_laws_of_its_format() -> None:
    """Actors that crash, restart, answer, wait and end, tasks that come and go."""
    async with chain(3) as (here, first), trio.open_nursery() as nursery:

        async def load(seed: int) -> None:
            for number in range(50):
                with origin("frame", load=str(seed)):
                    await first.tell(number)
                name = f"{seed}-{number}"
                brief = here.spawn(Part(), name=name, restart=Restart.TEMPORARY)
                await brief.ask(answer(number), timeout=60)
                brief.tell_nowait(Do(crash if number % 3 else lambda me: me.stop()))
                await brief.wait_gone()

        for seed in range(4):
            nursery.start_soon(load, seed)
        await trio.lowlevel.checkpoint()
        traces = []
        for _ in range(3):
            traces.append(Trace((await record(here.system, 0.02)).to_chrome()))

    assert all(list(trace.arrows()) for trace in traces)
    assert all(trace.chrome["otherData"]["dropped"] == 0 for trace in traces)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_nothing_is_left_of_a_recorder(cancelled: bool) -> None:
    """Neither in trio nor in the actors nor as a thread; not even if it was cancelled under full load."""
    runner = trio._core._run.GLOBAL_RUN_CONTEXT.runner
    threads, instruments = set(threading.enumerate()), dict(runner.instruments.data)
    async with chain(3) as (here, first), trio.open_nursery() as nursery:

        async def load() -> None:
            while True:
                await first.tell("more")

        nursery.start_soon(load)
        with trio.move_on_after(0.01 if cancelled else 60) as scope:
            await record(here.system, 60 if cancelled else 0.01)
        assert scope.cancelled_caught is cancelled
        assert here.system._world.observers == []
        assert set(threading.enumerate()) == threads
        nursery.cancel_scope.cancel()
    assert runner.instruments.data == instruments


async def test_a_recorder_that_cant_be_attached_leaves_nothing() -> None:
    """Half of it would go on for ever."""

    class Refuses:
        def attach(self, observer: object) -> None:
            raise Boom

        def detach(self, observer: object) -> None:
            raise AssertionError

    threads = set(threading.enumerate())
    with pytest.raises(Boom), Recorder().attached(Refuses()):
        pass
    assert set(threading.enumerate()) == threads


async def test_a_recording_keeps_no_message_and_no_task() -> None:
    """They may be large, and private."""

    class Large:
        pass

    tasks: list[ref[trio.lowlevel.Task]] = []

    async def brief() -> None:
        tasks.append(ref(trio.lowlevel.current_task()))

    async with stage() as here:
        part = Part()
        to = here.spawn(part)
        recorder = Recorder()
        with recorder.attached(here.system):
            message = Large()
            large = ref(message)
            await to.tell(message)
            del message
            await settle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(brief)
            part.seen.clear()
            gc.collect()
            assert large() is None
            assert tasks[0]() is None
        recorder.hand_over()


async def test_two_recordings_may_overlap() -> None:
    """They don't know of each other."""
    async with chain(2) as (here, first):
        with recording(here) as outer:
            await first.tell("a")
            await settle()
            with recording(here) as inner:
                await first.tell("b")
                await settle()

    assert len(outer[0].slices("root/1")) == 2
    assert len(inner[0].slices("root/1")) == 1


async def test_the_text_of_a_trace_is_the_same() -> None:
    """In parts, and once, because it lets go of what it has told."""
    async with chain(3) as (here, first):
        recorder = Recorder()
        with recorder.attached(here.system):
            for number in range(500):
                await first.tell(number)
            await settle()
    result = Recording(recorder.hand_over())
    chrome = result.to_chrome()
    parts = list(result.to_json())

    assert len(parts) > 3
    assert json.loads(b"".join(parts)) == json.loads(json.dumps(chrome))
    assert result.recorded.events == []


def test_an_empty_recording_is_a_trace() -> None:
    """Nothing may happen in a moment."""
    nothing = Recorded(began=5, ended=5, wall_clock=0.0, events=[], dropped=0, tasks={})

    trace = Trace(to_chrome(nothing))
    assert trace.chrome["otherData"]["began"] == "1970-01-01T00:00:00+00:00"
    assert json.loads(b"".join(Recording(nothing).to_json())) == to_chrome(nothing)
