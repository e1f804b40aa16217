"""Every message knows which other it comes of, and what all began with."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
from attrs import define, field
from trio.testing import MockClock

from actors import (
    ActorRef,
    Cause,
    Down,
    Envelope,
    Observer,
    Origin,
    Restart,
    cause,
    current,
    origin,
    resume,
)

from .puppets import Ask, Do, Part, Puppet, answer, busy, crash, settle, stage


@define(eq=False)
class Journal(Observer):
    """The envelopes of all that was sent, by what was in them."""

    sent_envelopes: dict[Any, Envelope] = field(factory=dict)

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        self.sent_envelopes[envelope.message] = envelope

    def __getitem__(self, message: object) -> Envelope:
        return self.sent_envelopes[message]

    def comes_of(self, message: object, cause: object) -> None:
        """Check that *message* was sent because of *cause*."""
        assert (self[message].cause, self[message].origin) == (self[cause].id, self[cause].origin)


async def test_a_message_names_the_one_whose_handling_sent_it() -> None:
    """And its sender; so that a client's frame can be followed to all it led to."""
    journal = Journal()
    async with stage() as here:
        here.system.attach(journal)
        a, b = here.spawn(Part(), "a"), here.spawn(Part(), "b")
        third = Do(lambda me: None)
        second = Do(lambda me: a.tell_nowait(third))
        first = Do(lambda me: b.tell_nowait(second))
        await a.tell(first)
        await settle()

    assert (journal[first].cause, journal[first].sender) == (0, "")
    journal.comes_of(second, first)
    journal.comes_of(third, second)
    assert (journal[second].sender, journal[third].sender) == ("root/a", "root/b")
    assert journal[third].origin == Origin(journal[first].id, "Do")


async def test_an_origin_marks_all_that_comes_of_a_block() -> None:
    """With a name and labels, like a connection's and its frame's; from outside and within an actor."""
    journal = Journal()
    async with stage() as here:
        here.system.attach(journal)
        ref = here.spawn(Part())

        def begin_anew(me: Puppet) -> None:
            with origin("inner", connection="7"):
                me.ref.tell_nowait("second")
            me.ref.tell_nowait("third")

        first = Do(begin_anew)
        with origin("outer") as outer:
            await ref.tell(first)
            activity = current()
            assert activity is not None
            assert (activity.address, activity.origin) == ("", outer)
        assert current() is None
        await settle()

    assert journal[first].origin == outer
    second = journal["second"]
    assert (second.cause, second.sender) == (0, "root/child")
    assert (second.origin.name, second.origin.labels) == ("inner", {"connection": "7"})
    journal.comes_of("third", first)


async def test_questions_carry_their_cause_like_all_messages() -> None:
    """Through every hand they pass."""
    journal = Journal()
    async with stage() as here:
        here.system.attach(journal)
        a, b = here.spawn(Part(), "a"), here.spawn(Part(), "b")
        inner = answer(1)

        async def ask(me: Puppet, question: Ask) -> None:
            question.answer(await b.ask(inner, timeout=1))

        outer = Ask(ask)
        assert await a.ask(outer, timeout=1) == 1

    journal.comes_of(inner, outer)


async def test_helpers_and_timers_act_for_the_message_that_set_them(autojump_clock: MockClock) -> None:
    """However many others are handled meanwhile."""
    journal = Journal()

    async def helper(me: Puppet) -> None:
        await trio.sleep(1)
        me.ref.tell_nowait("from the helper")
        me.after(1, "from the helper's timer")

    def begin(me: Puppet) -> None:
        me.after(1, "from the timer")
        me.start_task(helper, me, name="helper")

    async with stage() as here:
        here.system.attach(journal)
        ref = here.spawn(Part())
        first = Do(begin)
        await ref.tell(first)
        await trio.sleep(0.5)
        await ref.tell("another")
        await trio.sleep(5)

    for message in ("from the helper", "from the timer", "from the helper's timer"):
        journal.comes_of(message, first)
        assert journal[message].sender == "root/child"


async def test_a_timer_set_because_of_nothing_begins_something_new(autojump_clock: MockClock) -> None:
    """And is not taken for a part of what is being handled when it is due."""
    journal = Journal()
    part = Part(on_start=lambda me: me.after(1, "tick"))
    async with stage() as here:
        here.system.attach(journal)
        ref = here.spawn(part)
        await settle()
        await ref.tell(Do(busy(5)))
        await trio.sleep(10)

    tick = journal["tick"]
    assert (tick.cause, tick.origin) == (0, Origin(tick.id, "str"))


async def test_the_first_life_acts_for_the_message_that_spawned_it(autojump_clock: MockClock) -> None:
    """A later one acts for none: what it is restarted for is not what it was spawned for."""
    journal = Journal()
    part = Part(on_start=lambda me: me.ref.tell_nowait(f"life {len(part.lives)}"))
    async with stage() as here:
        here.system.attach(journal)
        ref = here.spawn(Part())
        first = Do(lambda me: me.spawn(part, name="below"))
        await ref.tell(first)
        await settle()
        part.now.ref.tell_nowait(Do(crash))
        await trio.sleep(5)

    journal.comes_of("life 1", first)
    assert journal["life 2"].cause == 0
    assert journal["life 2"].origin.id == journal["life 2"].id


async def test_work_that_was_put_off_is_resumed_with_its_cause() -> None:
    """What waits for its turn has nothing to do with the message that makes room for it."""
    journal, kept = Journal(), list[Cause]()
    async with stage() as here:
        here.system.attach(journal)
        ref = here.spawn(Part())

        def go_on(me: Puppet) -> None:
            with resume(kept[0]):
                me.ref.tell_nowait("at last")
            me.ref.tell_nowait("by the way")

        puts_off, makes_room = Do(lambda me: kept.append(cause())), Do(go_on)
        await ref.tell(puts_off)
        await ref.tell(makes_room)
        await settle()

    journal.comes_of("at last", puts_off)
    journal.comes_of("by the way", makes_room)


async def test_word_of_an_end_comes_of_the_message_that_led_to_it(autojump_clock: MockClock) -> None:
    """A crash or a stop of its own is found in the trace of what caused it."""
    journal, watcher = Journal(), Part()
    words: dict[str, Down] = {}

    def note(name: str, down: Down) -> Down:
        words[name] = down
        return down

    async with stage() as here:
        here.system.attach(journal)
        here.spawn(watcher, "watcher")
        await settle()
        ends = {"crash": Do(crash), "stop": Do(lambda me: me.stop())}
        for name, end in ends.items():
            ref: ActorRef[Any] = here.spawn(Part(), name, restart=Restart.TEMPORARY)
            watcher.now.watch(ref, partial(note, name))
            await ref.tell(end)
            await ref.wait_gone()
            journal.comes_of(words[name], end)
            assert journal[words[name]].sender == f"root/{name}"


async def test_a_goodbye_acts_for_the_message_that_was_the_last() -> None:
    """What `stopped` sends after a crash belongs to it."""
    journal, other = Journal(), Part()
    async with stage() as here:
        here.system.attach(journal)
        to = here.spawn(other, "other")
        part = Part(on_end=lambda me, reason: to.tell_nowait("goodbye"))
        ref, poison = here.spawn(part, restart=Restart.TEMPORARY), Do(crash)
        await ref.tell(poison)
        await ref.wait_gone()

    journal.comes_of("goodbye", poison)
