"""What can be seen of a running system: shapes and numbers, never what is in a message or a text."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

import trio
from trio.testing import MockClock

from actors import ActorRef, ActorView, Envelope, Observer, Restart, State

from .puppets import Ask, Do, Part, Puppet, Stage, answer, busy, crash, settle, stage

SECRET = "the owner's diary"


class Colour(Enum):
    RED = SECRET


class Full(Puppet):
    """Has one attribute of every kind."""

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self.text = SECRET
        self.bytes = SECRET.encode()
        self.list = [SECRET]
        self.dict = {SECRET: SECRET}
        self.queue = deque([SECRET])
        self.number = 7
        self.huge = 10**30
        self.share = 0.5
        self.yes = True
        self.nothing = None
        self.colour = Colour.RED
        self.other: ActorRef[Any] | None = None
        self.error = ValueError(SECRET)


def view(here: Stage, name: str = "child") -> ActorView:
    found = here.system.actor(f"root/{name}")
    assert found is not None
    return found


async def test_the_state_of_a_live_actor_is_shown_without_its_contents(autojump_clock: MockClock) -> None:
    """In the middle of a message too; what people wrote is none of the operator's business."""
    part = Part(Full)
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(busy(5)))
        await settle()
        part.now.__dict__["other"] = ref
        state = here.system.get_state("root/child")
        assert here.system.get_state("root/nobody") is None

    assert state == {
        "part": "Part",
        "text": "str of 17",
        "bytes": "bytes of 17",
        "list": "list of 1",
        "dict": "dict of 1",
        "queue": "deque of 1",
        "number": "7",
        "huge": "int, huge",
        "share": "0.5",
        "yes": "True",
        "nothing": "None",
        "colour": "Colour.RED",
        "other": "actor root/child",
        "error": "ValueError",
    }


async def test_no_view_shows_what_is_in_a_message(autojump_clock: MockClock) -> None:
    """Neither of what is handled, nor of what was, nor of what was lost."""
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell(SECRET)
        await ref.tell(Do(busy(1)))
        await settle()
        ref.tell_nowait(SECRET)
        shown = [here.system.actors(), here.system.recent("root/child")]
        ref.stop()
        await ref.wait_gone()
        shown += [here.system.gone(), here.system.dead_letters, here.system.totals()]

    assert here.system.dead_letters.total == 1
    assert SECRET not in repr(shown)


async def test_an_actor_is_shown_with_what_it_does_and_has_done(autojump_clock: MockClock) -> None:
    """State, queue, counts by type, time, crashes and their causes."""
    async with stage() as here:
        ref = here.spawn(Part())
        for message in ("A", 1, 2, Do(crash)):
            ref.tell_nowait(message)
        await trio.sleep(10)
        await ref.tell(Do(busy(5)))
        await settle()
        ref.tell_nowait("B")
        await trio.sleep(2)
        seen = view(here)
        assert (seen.kind, seen.state, seen.since, seen.busy) == ("Puppet", State.HANDLING, 2, 2)
        assert (seen.queued, seen.oldest, seen.capacity, seen.peak) == (1, 2, 256, 4)
        assert (seen.counts, seen.handled, seen.restarts) == ({"str": 1, "int": 2, "Do": 1}, 4, 1)
        assert [(crash.ago > 10, crash.error, crash.kind) for crash in seen.crashes] == [
            (True, "Boom()", "Do")
        ]
        assert [message.kind for message in here.system.recent("root/child")] == ["str", "int", "int", "Do"]


async def test_who_waits_for_another_is_shown_as_waiting(autojump_clock: MockClock) -> None:
    """For whom, since when, and with what; a helper's wait is shown, and does not make the actor wait."""
    async with stage() as here:
        slow, ref, helped = (
            here.spawn(Part(), "slow"),
            here.spawn(Part(), "asker"),
            here.spawn(Part(), "helped"),
        )

        async def ask(*_: object) -> None:
            await slow.ask(Ask(busy(9)), timeout=60)

        await trio.sleep(1)
        await ref.tell(Do(ask))
        await helped.tell(Do(lambda me: me.start_task(ask, name="helper")))
        await trio.sleep(2)
        asker, other = view(here, "asker"), view(here, "helped")
        assert (asker.state, asker.since) == (State.WAITING, 2)
        assert other.state is State.IDLE
        edges = {
            (edge.waiter, edge.address, edge.what, edge.kind, edge.seconds) for edge in here.system.waits()
        }
        assert edges == {
            ("root/asker", "root/slow", "answer", "Ask", 2),
            ("root/helped: helper", "root/slow", "answer", "Ask", 2),
        }


async def test_the_gone_stay_visible_for_a_while(autojump_clock: MockClock) -> None:
    """What is looked for is most often what has just ended."""
    async with stage() as here:
        for name, end in (("a", Do(crash)), ("b", Do(lambda me: me.ref.stop("enough")))):
            await here.spawn(Part(), name, restart=Restart.TEMPORARY).tell(end)
            await trio.sleep(1)
        gone = here.system.gone()
        assert [(one.address, one.reason, one.ago, one.handled) for one in gone] == [
            ("root/a", "crashed: Boom()", 2, 1),
            ("root/b", "stopped: enough", 1, 1),
        ]
        for number in range(300):
            here.spawn(Part(), str(number)).stop()
        await settle()
        assert len(here.system.gone()) == 200


async def test_the_totals_of_a_class_never_shrink(autojump_clock: MockClock) -> None:
    """They feed counters, which must not forget those that are gone."""
    async with stage() as here:
        await trio.sleep(1)
        totals = []
        for number in range(3):
            ref = here.spawn(Part(), str(number))
            await ref.ask(answer(number), timeout=1)
            totals.append(here.system.totals()[0])
            ref.stop()
            await ref.wait_gone()
            totals.append(here.system.totals()[0])

    assert [total.handled["Ask"] for total in totals] == [1, 1, 2, 2, 3, 3]
    assert [(total.living, total.started) for total in totals] == [
        (2, 2),
        (1, 2),
        (2, 3),
        (1, 3),
        (2, 4),
        (1, 4),
    ]


async def test_an_observer_hears_everything_until_it_is_detached(autojump_clock: MockClock) -> None:
    """Each message sent, begun and ended, and each change of an actor, in the order of events."""
    heard: list[Any] = []

    class Ear(Observer):
        def sent(self, envelope: Any, address: str, queued: int) -> None:
            heard.append(("sent", envelope.kind, address, queued))

        def began(self, envelope: Any, address: str, queued: int) -> None:
            heard.append(("began", envelope.kind, address, queued))

        def ended(self, envelope: Any, address: str, error: BaseException | None) -> None:
            heard.append(("ended", envelope.kind, address, type(error).__name__))

        def changed(self, address: str, state: State) -> None:
            heard.append((state.value, address))

    ear = Ear()
    async with stage() as here:
        here.system.attach(ear)
        ref = here.spawn(Part(), restart=Restart.TEMPORARY)
        await settle()
        ref.tell_nowait("A")
        ref.tell_nowait(Do(crash))
        await ref.wait_gone()
        here.system.detach(ear)
        here.system.detach(ear)
        here.spawn(Part())

    child = "root/child"
    assert heard == [
        ("starting", child),
        ("idle", child),
        ("sent", "str", child, 1),
        ("sent", "Do", child, 2),
        ("began", "str", child, 1),
        ("ended", "str", child, "NoneType"),
        ("began", "Do", child, 0),
        ("ended", "Do", child, "Boom"),
        ("stopping", child),
        ("gone", child),
    ]


async def test_what_had_to_wait_for_room_is_told_before_it_is_begun() -> None:
    """Its sender runs again only later; an arrow of a trace must not begin after its end."""

    class Order(Observer):
        def __init__(self) -> None:
            self.events: list[tuple[str, object]] = []

        def sent(self, envelope: Envelope, address: str, queued: int) -> None:
            self.events.append(("sent", envelope.message))

        def began(self, envelope: Envelope, address: str, queued: int) -> None:
            self.events.append(("began", envelope.message))

    order = Order()
    async with stage() as here:
        ref = here.spawn(Part(), capacity=1)
        here.system.attach(order)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ref.tell, number)
        await settle()

    assert len(order.events) == 40
    assert all(order.events.index(("sent", n)) < order.events.index(("began", n)) for n in range(20))


async def test_a_crash_is_not_counted_as_busy_time_twice(autojump_clock: MockClock) -> None:
    """While it winds up, its last message is still shown, but over."""

    async def work_and_crash(me: Puppet) -> None:
        await trio.sleep(3)
        crash(me)

    async with stage() as here:
        ref = here.spawn(Part(on_end=busy(0.5)), restart=Restart.TEMPORARY)
        await ref.tell(Do(work_and_crash))
        await trio.sleep(3.25)
        view = here.system.actor("root/child")
        assert view is not None
        assert view.busy == 3
