"""What an idle actor takes at once, in its sender's task, breaks no law of what is handled in its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from actors import (
    ActorDied,
    ActorRef,
    Crashed,
    Down,
    Envelope,
    Observer,
    RecipientStopped,
    Restart,
    current,
    origin,
)

from .puppets import Ask, Boom, Do, Eager, Now, Part, Puppet, Stage, answer, crash, settle, stage


@define
class Idle:
    """A system with one eager puppet in it that waits for a message."""

    stage: Stage
    part: Part
    ref: ActorRef[Any]

    async def another(self, name: str, **options: Any) -> Idle:
        part = Part(Eager)
        ref = self.stage.spawn(part, name, **options)
        await settle()
        return Idle(self.stage, part, ref)


@asynccontextmanager
async def idle(**options: Any) -> AsyncIterator[Idle]:
    async with stage() as here:
        part = Part(Eager)
        ref = here.spawn(part, **options)
        await settle()
        yield Idle(here, part, ref)


# -- what is offered


async def test_an_idle_actor_takes_a_message_in_its_senders_task() -> None:
    """A task switch costs more than most messages do."""
    tasks: list[Any] = []
    note = Now(lambda me: tasks.append(trio.lowlevel.current_task()))
    async with idle() as one:
        one.ref.tell_nowait(note)
        await one.ref.tell(note)

        assert tasks == [trio.lowlevel.current_task()] * 2
        await settle()
    assert one.part.seen == []


async def test_one_whose_work_took_long_is_idle_as_soon_as_it_is_done(autojump_clock: MockClock) -> None:
    """Others had their turn while it waited; and who answers it often goes on to tell it more."""
    tasks: list[Any] = []
    done = trio.Event()

    async def work(me: Puppet) -> None:
        await trio.sleep(1.0)
        done.set()

    async with idle() as one:
        one.ref.tell_nowait(Do(work))
        await done.wait()
        one.ref.tell_nowait(Now(lambda me: tasks.append(trio.lowlevel.current_task())))

        assert tasks == [trio.lowlevel.current_task()]


async def test_what_is_declined_is_handled_like_any_other_message() -> None:
    """Once, and without having been noticed."""
    async with idle() as one:
        one.ref.tell_nowait("first")
        await settle()
        await one.ref.tell("second")
        await settle()

        assert one.part.taken == one.part.seen == ["first", "second"]
        view = one.stage.system.actor("root/child")
        assert view is not None
        assert view.counts == {"str": 2}


async def test_what_is_left_is_handled_in_its_place() -> None:
    """Before all that its sender says later, though that could be taken at once."""
    async with idle() as one:
        one.ref.tell_nowait(Now(lambda me: "what is left"))
        later = Now(lambda me: None)
        one.ref.tell_nowait(later)
        await settle()

    assert later not in one.part.taken
    assert one.part.seen == ["what is left", later]


async def test_who_is_at_work_is_offered_nothing() -> None:
    """Messages are handled one at a time: in `started`, in a handler that waits, and in `stopped`."""
    on_start, on_end, gate = trio.Event(), trio.Event(), trio.Event()
    async with stage() as here:
        part = Part(Eager, lambda me: on_start.wait(), lambda me, reason: on_end.wait())
        ref = here.spawn(part, restart=Restart.TRANSIENT)
        await settle()
        ref.tell_nowait(Now())
        assert part.taken == []
        on_start.set()
        await settle()
        ref.tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        ref.tell_nowait(Now())
        await settle()
        assert len(part.taken) == 1
        gate.set()
        await settle()
        assert len(part.seen) == 3

        ref.tell_nowait(Do(crash))
        await settle()
        ref.tell_nowait(Now())
        assert len(part.taken) == 2
        on_end.set()
        await settle()


async def test_nothing_is_offered_in_the_moment_of_a_stop_or_a_crash(autojump_clock: MockClock) -> None:
    """The task has not run since, but the actor takes no more messages in this life."""

    def fail(answer: object) -> str:
        raise Boom

    async with idle() as one:
        other = await one.another("other")
        other.ref.stop()
        with pytest.raises(RecipientStopped):
            other.ref.tell_nowait(Now())

        question, message = Ask(lambda me, question: None), Now()
        one.part.now.request(one.stage.root.ref, question, fail, timeout=60)
        await settle()
        question.answer(1)  # `fail` is called in this moment
        one.ref.tell_nowait(message)
        assert one.part.taken == []
        await trio.sleep(5)
        assert (len(one.part.lives), one.part.seen) == (2, [message])
    assert other.part.taken == []


async def test_a_question_is_never_offered() -> None:
    """Neither asked nor passed on: who gets it owes its answer, and its asker hears of the owner's end."""

    def pass_on(me: Puppet, question: Ask) -> None:
        if me.ref == one.ref:
            other.ref.tell_nowait(question)

    async with idle() as one:
        other, question = await one.another("other", restart=Restart.TEMPORARY), Ask(pass_on)
        assert await one.ref.ask(answer(1), timeout=1) == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fails_by, "root/other", one.ref, question)
            await settle()
            other.ref.stop()
    assert other.part.taken == one.part.taken == []
    assert other.part.seen == [question]


async def test_a_question_that_is_left_is_owed_by_the_actor() -> None:
    """As if it had been told it."""

    def wrap(me: Puppet, question: Ask) -> None:
        if me.ref == one.ref:
            other.ref.tell_nowait(Now(lambda me: question))

    async with idle() as one:
        other = await one.another("other", restart=Restart.TEMPORARY)
        question = Ask(wrap)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fails_by, "root/other", one.ref, question)
            await settle()
            assert other.part.seen == [question]
            one.ref.stop()  # it owes nothing any more
            await one.ref.wait_gone()
            other.ref.stop()


async def _fails_by(address: str, ref: ActorRef[Any], question: Ask) -> None:
    with pytest.raises(ActorDied) as caught:
        await ref.ask(question, timeout=60)
    assert caught.value.address == address


async def test_none_is_never_offered() -> None:
    """Left, it means that nothing is: it would be lost, or taken twice."""
    async with idle() as one:
        one.ref.tell_nowait(None)
        await settle()

    assert (one.part.taken, one.part.seen) == ([], [None])


async def test_a_sender_that_is_cancelled_already_offers_nothing() -> None:
    """It has sent nothing."""
    async with idle() as one:
        with trio.CancelScope() as scope:
            scope.cancel()
            await one.ref.tell(Now())

    assert one.part.taken == []


# -- consumers that send


async def test_what_a_consumer_tells_its_own_actor_waits_for_its_turn() -> None:
    """One message is handled at a time, and not within another."""
    steps: list[str] = []
    inner = Now(lambda me: steps.append("inner"))

    def outer(me: Eager) -> str:
        steps.append("begin")
        me.ref.tell_nowait(inner)
        steps.append("end")
        return "left"

    async with idle() as one:
        one.ref.tell_nowait(Now(outer))
        assert steps == ["begin", "end"]
        await settle()

    assert steps == ["begin", "end", "inner"]
    assert one.part.seen == [inner, "left"]


async def test_a_consumer_is_not_entered_again_by_way_of_others() -> None:
    """Whatever it called the others with: also with a cause of its own."""
    depth, steps = [0], list[int]()

    def enter(then: ActorRef[Any] | None, message: Any) -> Now:
        def step(me: Eager) -> None:
            depth[0] += 1
            steps.append(depth[0])
            if then is not None:
                with origin("something else"):
                    then.tell_nowait(message)
            depth[0] -= 1

        return Now(step)

    async with idle() as a:
        b, c = await a.another("b"), await a.another("c")
        back = enter(None, None)
        a.ref.tell_nowait(enter(b.ref, enter(c.ref, enter(a.ref, back))))
        assert steps == [1, 2, 3]
        await settle()

    assert steps == [1, 2, 3, 1]
    assert a.part.seen == [back]


async def test_a_long_chain_of_consumers_is_cut_before_it_overflows() -> None:
    """A RecursionError would be the crash of one that did nothing wrong."""
    count, refs = 0, list[ActorRef[Any]]()

    def pass_on(me: Eager) -> None:
        nonlocal count
        count += 1
        if count < len(refs):
            refs[count].tell_nowait(Now(pass_on))

    async with stage() as here:
        part = Part(Eager)
        refs += [here.spawn(part, str(number)) for number in range(1_000)]
        await settle()
        refs[0].tell_nowait(Now(pass_on))
        assert 1 < count < 100
        await settle()

    assert (count, len(part.lives)) == (1_000, 1_000)


async def test_two_that_tell_each_other_for_ever_let_others_run() -> None:
    """Neither is entered again before it has returned, so every second message is handled by a task."""
    told = 0

    async with idle() as a:
        b = await a.another("b")

        def hit(other: ActorRef[Any], me: Eager) -> None:
            nonlocal told
            told += 1
            other.tell_nowait(Now(partial(hit, me.ref)))

        a.ref.tell_nowait(Now(partial(hit, b.ref)))
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert told > 20


# -- crashes and ends


async def test_a_crash_in_a_consumer_is_its_actors_and_not_its_senders(autojump_clock: MockClock) -> None:
    """The message is not handled again, and those that come meanwhile are for the next life."""
    async with idle() as one:
        one.ref.tell_nowait(Now(crash))
        next_ = Now()
        one.ref.tell_nowait(next_)
        await trio.sleep(5)

        assert len(one.part.lives) == 2
        assert [type(end) for end in one.part.ends] == [Crashed]
        assert (len(one.part.taken), one.part.seen) == (1, [next_])
        view = one.stage.system.actor("root/child")
        assert view is not None
        assert [(crash.error, crash.kind) for crash in view.crashes] == [("Boom()", "Now")]
        assert (view.restarts, view.counts, view.handling) == (1, {"Now": 2}, None)


async def test_an_interrupt_in_a_consumer_goes_the_senders_way() -> None:
    """It is meant for the whole program, and it is in the sender's task."""

    def interrupt(me: Eager) -> None:
        raise KeyboardInterrupt

    async with idle() as one:
        with pytest.raises(KeyboardInterrupt):
            one.ref.tell_nowait(Now(interrupt))
        assert current() is None
        one.ref.tell_nowait(Now())

    assert len(one.part.taken) == 2


async def test_a_consumer_may_stop_its_actor() -> None:
    """What it leaves then comes back to the sender, as from anybody who was told to go."""

    def stop(me: Eager) -> str:
        me.stop()
        return "left"

    async with idle(restart=Restart.TRANSIENT) as one:
        with pytest.raises(RecipientStopped) as caught:
            one.ref.tell_nowait(Now(stop))
        assert caught.value.message == "left"
        await one.ref.wait_gone()

        assert one.stage.system.dead_letters.total == 1
    assert one.part.seen == []


async def test_what_is_left_by_one_that_stops_and_comes_back_is_for_its_next_life(
    autojump_clock: MockClock,
) -> None:
    """Like everything in its mailbox."""

    def stop(me: Eager) -> str:
        me.stop()
        return "left"

    async with idle(restart=Restart.PERMANENT) as one:
        one.ref.tell_nowait(Now(stop))
        await trio.sleep(5)

    assert (len(one.part.lives), one.part.seen) == (2, ["left"])


# -- what a consumer may do


async def test_a_timer_set_by_a_consumer_is_kept(autojump_clock: MockClock) -> None:
    """The reader waits already, for a later one or for none."""
    async with idle() as one:
        began = trio.current_time()
        times: list[float] = []
        note = Do(lambda me: times.append(me.now() - began))
        one.ref.tell_nowait(Now(lambda me: me.after(5, note) and None))
        await settle()
        one.ref.tell_nowait(Now(lambda me: me.after(2, note) and None))
        await settle()
        one.ref.tell_nowait(Now(lambda me: me.after(9, note).cancel()))
        await trio.sleep(20)

    assert times == [2, 5]


@define(eq=False)
class Journal(Observer):
    """All that was told of messages, in order; and the envelopes of what was sent."""

    events: list[tuple[str, Any]] = field(factory=list)
    envelopes: dict[Any, Envelope] = field(factory=dict)

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        self.envelopes[envelope.message] = envelope
        self.events.append(("sent", envelope.message))

    def began(self, envelope: Envelope, address: str, queued: int) -> None:
        self.events.append(("began", envelope.message))

    def declined(self, envelope: Envelope, address: str) -> None:
        self.events.append(("declined", envelope.message))

    def ended(self, envelope: Envelope, address: str, error: BaseException | None) -> None:
        self.events.append(("ended", type(error).__name__))


async def test_what_a_consumer_does_is_its_actors_doing_because_of_the_message(
    autojump_clock: MockClock,
) -> None:
    """Not the sender's, in whose task it is done: told, set as a timer, asked, watched, begun beside."""
    journal = Journal()

    async def helper(me: Puppet) -> None:
        await trio.lowlevel.checkpoint()
        me.ref.tell_nowait("helper")

    async with idle() as one:
        one.stage.system.attach(journal)
        other, doomed = await one.another("other"), await one.another("doomed", restart=Restart.TEMPORARY)
        child = Part(Eager, lambda me: other.ref.tell_nowait("child"))

        def do(me: Eager) -> None:
            other.ref.tell_nowait("told")
            me.after(1, "timer")
            me.request(other.ref, answer(1), lambda answer: "answer", timeout=1)
            me.start_task(helper, me, name="helper")
            me.spawn(child, name="child")
            me.watch(doomed.ref, lambda down: "word")

        message = Now(do)
        sender = Do(lambda me: one.ref.tell_nowait(message))
        other.ref.tell_nowait(sender)
        await trio.sleep(2)
        doomed.ref.stop()
        await settle()

    cause = journal.envelopes[message]
    assert (cause.cause, cause.sender) == (journal.envelopes[sender].id, "root/other")
    senders = {"told": "root/child", "timer": "root/child", "helper": "root/child"}
    for text, who in {**senders, "answer": "root/child", "child": "root/child/child"}.items():
        assert (journal.envelopes[text].cause, journal.envelopes[text].sender) == (cause.id, who)
        assert journal.envelopes[text].origin == cause.origin
    assert "word" in journal.envelopes


@pytest.mark.parametrize("end", ["crash", "stop", "stop by ref"])
async def test_word_of_an_end_by_a_consumer_comes_of_the_message_that_led_to_it(end: str) -> None:
    """And so does the goodbye, though the actor's own task was idle all the while."""
    journal = Journal()
    does = {"crash": crash, "stop": lambda me: me.stop(), "stop by ref": lambda me: me.ref.stop()}
    async with idle() as other:
        part = Part(Eager, on_end=lambda me, reason: other.ref.tell_nowait("goodbye"))
        ref: ActorRef[Any] = other.stage.spawn(part, "doomed", restart=Restart.TEMPORARY)
        words: list[Down] = []

        def tell(down: Down) -> Down:
            words.append(down)
            return down

        other.part.now.watch(ref, tell)
        await settle()
        other.stage.system.attach(journal)
        message = Now(does[end])
        ref.tell_nowait(message)
        await ref.wait_gone()
        await settle()

    for what in ("goodbye", words[0]):
        assert journal.envelopes[what].cause == journal.envelopes[message].id
        assert journal.envelopes[what].sender == "root/doomed"


async def test_what_is_left_is_sent_by_the_sender() -> None:
    """It is the rest of what the sender said."""
    journal = Journal()
    async with idle() as one:
        one.stage.system.attach(journal)
        with origin("a frame") as began:
            one.ref.tell_nowait(Now(lambda me: "left"))
        await settle()

    left = journal.envelopes["left"]
    assert (left.sender, left.cause, left.origin) == ("", 0, began)


# -- what is written down


async def test_what_is_taken_at_once_is_counted_and_remembered() -> None:
    """Like all that an actor handles; the time is its sender's."""
    async with idle() as one:
        for _ in range(20):
            one.ref.tell_nowait(Now())

        view = one.stage.system.actor("root/child")
        assert view is not None
        assert (view.handled, view.counts, view.busy, view.peak) == (20, {"Now": 20}, 0.0, 0)
        assert {message.kind for message in one.stage.system.recent("root/child")} == {"Now"}
        assert len(one.stage.system.recent("root/child")) == 16


async def test_observers_hear_of_what_is_taken_at_once_in_the_order_of_events() -> None:
    """What comes of a message never before it; and what is declined is sent once, and begun again."""
    journal = Journal()
    async with idle() as one:
        one.stage.system.attach(journal)
        other = await one.another("other")
        inner = Now()
        outer = Now(lambda me: other.ref.tell_nowait(inner))
        one.ref.tell_nowait(outer)
        one.ref.tell_nowait(bad := Now(crash))
        other.ref.tell_nowait("declined")
        await settle()

    assert journal.events == [
        ("sent", outer),
        ("began", outer),
        ("sent", inner),
        ("began", inner),
        ("ended", "NoneType"),
        ("ended", "NoneType"),
        ("sent", bad),
        ("began", bad),
        ("ended", "Boom"),
        ("sent", "declined"),
        ("began", "declined"),
        ("declined", "declined"),
        ("began", "declined"),
        ("ended", "NoneType"),
    ]


async def test_an_observer_that_comes_or_goes_in_the_midst_harms_nobody() -> None:
    """A consumer may attach one, though it will hear of this message's end alone."""
    journal = Journal()
    async with idle() as one:
        one.ref.tell_nowait(Now(lambda me: one.stage.system.attach(journal)))
        one.ref.tell_nowait(last := Now(lambda me: one.stage.system.detach(journal)))
        one.ref.tell_nowait(Now())
        await settle()

    assert journal.events == [("ended", "NoneType"), ("sent", last), ("began", last)]
