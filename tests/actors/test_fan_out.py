"""A message told to many comes to each of them as if it had been told to it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from actors import (
    ActorRef,
    Envelope,
    FanOut,
    Later,
    Observer,
    Restart,
    current,
    fan_out,
    fan_out_nowait,
    origin,
)
from actors.fanout import LONGEST, MANY
from actors.front import RECENT, Front, Shared
from actors.tracing import Ledger

from .puppets import Ask, Do, Eager, Now, Part, Puppet, Stage, busy, crash, settle, stage

Watched = pytest.mark.parametrize("observed", [False, True])
"""While an observer looks on, each message has an envelope of its own."""


class Full(Puppet):
    capacity = 1


async def spawn(here: Stage, *kinds: type[Puppet], observed: bool = False) -> list[Part]:
    """A part for each, whose actor waits for a message."""
    parts = [Part(kind) for kind in kinds]
    for number, part in enumerate(parts):
        here.spawn(part, str(number), restart=Restart.TRANSIENT)
    await settle()
    if observed:
        here.system.attach(Observer())
    return parts


def refs_of(parts: list[Part]) -> list[ActorRef[Any]]:
    return [part.now.ref for part in parts]


@Watched
async def test_each_is_told_once_whether_it_takes_it_at_once_or_not(observed: bool) -> None:
    """Who has no consumer, is busy, or declines, finds it in its mailbox."""
    async with stage() as here:
        parts = await spawn(here, Eager, Puppet, Eager, Eager, observed=observed)
        refs, gate = refs_of(parts), trio.Event()
        refs[2].tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        message = Now()
        assert fan_out_nowait(refs, message) == []
        assert [part.taken.count(message) for part in parts] == [1, 0, 0, 1]
        assert fan_out_nowait(refs, "declined") == []
        gate.set()
        await settle()

    seen = [[each for each in part.seen if not isinstance(each, Do)] for part in parts]
    assert seen == [["declined"], [message, "declined"], [message, "declined"], ["declined"]]


@Watched
async def test_those_that_could_not_be_told_are_returned(observed: bool) -> None:
    """The full and the gone; the others are told nevertheless."""
    async with stage() as here:
        parts = await spawn(here, Eager, Full, Eager, Eager, observed=observed)
        refs = refs_of(parts)
        refs[1].tell_nowait("one too many")
        refs[2].stop()
        assert fan_out_nowait(refs, message := Now()) == [refs[1], refs[2]]

        assert parts[0].taken == parts[3].taken == [message]
        assert here.system.dead_letters.total == 1
        assert fan_out_nowait([], message) == []
        assert fan_out_nowait([refs[2]], message) == [refs[2]]


@Watched
async def test_several_messages_are_told_to_each_in_order(observed: bool) -> None:
    """And who can't be told one is told none after it: it would miss something, and not know."""
    async with stage() as here:
        parts = await spawn(here, Eager, Puppet, Full, Eager, observed=observed)
        refs = refs_of(parts)
        refs[2].tell_nowait("one too many")
        first, second, leaves, last = Now(), Now(), Now(lambda me: "left"), Now()
        assert tell_all(refs, first, second) == [refs[2]]
        assert tell_all(refs, leaves, last) == [refs[2]]
        await settle()

    assert [parts[0].taken, parts[0].seen] == [[first, second, leaves], ["left", last]]
    assert parts[1].seen == [first, second, leaves, last]
    assert parts[2].seen == ["one too many"]


@Watched
async def test_who_is_in_it_twice_is_told_twice_in_order(observed: bool) -> None:
    """What it left of the first waits before the second."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager, observed=observed)
        a, b = refs_of(parts)
        fan_out_nowait([a, b, a], takes := Now())
        assert [parts[0].taken, parts[1].taken] == [[takes, takes], [takes]]
        fan_out_nowait([a, a, b], leaves := Now(lambda me: "left"))
        await settle()

    assert parts[0].taken == [takes, takes, leaves]
    assert [parts[0].seen, parts[1].seen] == [["left", leaves], ["left"]]


@Watched
async def test_who_is_in_it_twice_is_told_in_each_of_its_turns(observed: bool) -> None:
    """Of 32 at a time; also if it could not be told before."""
    async with stage() as here:
        full, *parts = await spawn(here, Full, *[Eager] * 40, observed=observed)
        gate = trio.Event()
        first, *refs = refs_of([full, *parts])
        first.tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        first.tell_nowait("one too many")
        # It comes to the message that fills it while others have their turns.
        message = Now(lambda me: gate.set())
        assert await fan_out([first, *refs * 5, first], message) == [first]
        await settle()

    assert [type(one) for one in full.seen] == [Do, str, Now]


@Watched
async def test_the_crash_of_one_is_no_trouble_of_the_others(
    observed: bool, autojump_clock: MockClock
) -> None:
    """Nor of the sender's: it was told."""
    victims: list[str] = []

    def fail_if_first(me: Eager) -> None:
        if me.ref.address == "root/0" and not victims:
            victims.append(me.ref.address)
            crash(me)

    async with stage() as here:
        parts = await spawn(here, Eager, Eager, observed=observed)
        a, b = refs_of(parts)
        message = Now(fail_if_first)
        assert fan_out_nowait([a, b, a], message) == []
        assert [len(part.taken) for part in parts] == [1, 1]
        await trio.sleep(5)
        view = here.system.actor("root/0")

    assert (len(parts[0].lives), parts[0].seen) == (2, [message])
    assert view is not None
    assert [crash.kind for crash in view.crashes] == ["Now"]
    assert view.counts == {"Now": 2}


@Watched
async def test_a_consumer_that_ends_another_is_noticed(observed: bool) -> None:
    """Whoever is stopped before its turn is not told; it took no message since."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager, Eager, observed=observed)
        refs = refs_of(parts)
        message = Now(lambda me: refs[1].stop())
        assert fan_out_nowait(refs, message) == [refs[1]]

    assert [len(part.taken) for part in parts] == [1, 0, 1]


@Watched
async def test_a_question_is_told_as_always(observed: bool) -> None:
    """It is never offered: see `test_consuming`."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager, observed=observed)
        fan_out_nowait(refs_of(parts), question := Ask(lambda me, question: None))
        await settle()
        fan_out_nowait(refs_of(parts), None)
        await settle()

    assert [part.taken for part in parts] == [[], []]
    assert [part.seen for part in parts] == [[question, None]] * 2


@Watched
async def test_consumers_may_fan_out_themselves(observed: bool) -> None:
    """Those at work already find it in their mailboxes."""
    order: list[str] = []

    async with stage() as here:
        parts = await spawn(here, Eager, Eager, Eager, observed=observed)
        refs = refs_of(parts)
        inner = Now(lambda me: order.append(f"inner of {me.ref.address}"))

        def tell_all(me: Eager) -> None:
            order.append("begin")
            assert fan_out_nowait(refs, inner) == []
            order.append("end")

        outer = Now(lambda me: tell_all(me) if me.ref == refs[1] else order.append("outer"))
        assert fan_out_nowait(refs, outer) == []
        at_once = ["outer", "begin", "inner of root/0", "inner of root/2", "end", "outer"]
        assert order == at_once
        await settle()

    assert order == [*at_once, "inner of root/1"]


@define(eq=False)
class Sendings(Observer):
    """Who sent which message because of what, by what is in it."""

    seen: dict[Any, Envelope] = field(factory=dict)

    def sent(self, envelope: Envelope, address: str, queued: int) -> None:
        self.seen[envelope.message] = envelope


async def test_what_each_does_is_its_own_doing_because_of_the_one_message() -> None:
    """And what waits in a mailbox is sent by the sender, whoever took it before in the same fan-out."""
    sendings = Sendings()

    async with stage() as here:
        parts = await spawn(here, Eager, Puppet, Eager, Puppet)
        refs = refs_of(parts)

        def act(me: Eager) -> str | None:
            me.start_task(tell_later, me, name="later")
            return "left" if me.ref == refs[2] else None

        async def tell_later(me: Puppet) -> None:
            refs[3].tell_nowait(me.ref.address)

        message = Now(act)
        with origin("a frame") as began:
            assert fan_out_nowait(refs[:3], message) == []
            here.system.attach(sendings)
            queued = refs[1]._recipient.mailbox.oldest
            left = refs[2]._recipient.mailbox.oldest
        await settle()

    assert queued is not None
    assert left is not None
    assert (queued.message, left.message) == (None, None)  # handled since
    assert [(one.sender, one.cause, one.origin) for one in (queued, left)] == [("", 0, began)] * 2
    first, third = sendings.seen["root/0"], sendings.seen["root/2"]
    assert (first.sender, third.sender) == ("root/0", "root/2")
    assert first.cause == third.cause != 0
    assert first.origin == third.origin == began


async def test_an_error_that_is_the_senders_leaves_everything_as_it_was() -> None:
    """A message whose conflation key can't be told is no crash of anybody's; the next is told as ever."""

    class Keyed(Eager):
        @staticmethod
        def conflation_key(message: Any) -> None:
            if message == "no key":
                raise LookupError

    async with stage() as here:
        refs = refs_of(parts := await spawn(here, Eager, Keyed, Eager))
        with pytest.raises(LookupError):
            fan_out_nowait(refs, "no key")
        assert fan_out_nowait(refs, message := Now()) == []

    assert [part.taken.count(message) for part in parts] == [0, 1, 1]  # the first has something to do


# -- finished later


@define
class Calls(Later):
    """Calls *what* when all have begun; what that returns is left."""

    what: Any

    def finish(self) -> Any:
        return self.what()


async def test_what_is_for_later_is_done_when_all_have_begun() -> None:
    """So a system call for each follows the one before without other work in between."""
    log: list[str] = []

    def begin(me: Eager) -> Calls:
        name = me.ref.address
        log.append(f"begin {name}")
        return Calls(lambda: log.append(f"finish {name}"))

    async with stage() as here:
        refs = refs_of(await spawn(here, Eager, Eager))
        assert fan_out_nowait(refs, Now(begin)) == []
        assert log == ["begin root/0", "begin root/1", "finish root/0", "finish root/1"]
        refs[0].tell_nowait(Now(begin))
        assert log[4:] == ["begin root/0", "finish root/0"]


async def test_what_is_for_later_is_done_when_all_was_told() -> None:
    """Whoever gathers what to do does it once for several messages, as his own doing because of the first."""
    done: list[str] = []

    def begin(me: Eager) -> Any:
        name = me.ref.address
        if name in begun:
            begun[name] += 1
            return None
        begun[name] = 1
        return Calls(lambda: done.append(f"{name}: {begun[name]}, {doer()}"))

    begun: dict[str, int] = {}
    async with stage() as here:
        refs = refs_of(await spawn(here, Eager, Eager))
        assert tell_all(refs, Now(begin), Now(begin), Now(begin)) == []

    assert done == ["root/0: 3, root/0", "root/1: 3, root/1"]


async def test_what_is_left_later_is_before_a_question() -> None:
    """Which is not offered to anybody, and so goes to the mailbox at once."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager)
        with FanOut(refs_of(parts)) as out:
            out.tell(Now(lambda me: Calls(lambda: "the rest of the first")))
            out.tell(question := Ask(lambda me, question: None))
        await settle()

    assert [part.seen for part in parts] == [["the rest of the first", question]] * 2


@Watched
async def test_what_is_left_later_is_before_what_comes_next(observed: bool) -> None:
    """Though the next is declined, and so goes to the mailbox at once."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager, observed=observed)
        first = Now(lambda me: Calls(lambda: "the rest of the first"))
        assert tell_all(refs_of(parts), first, "declined", Now()) == []
        await settle()

    assert [part.seen[:2] for part in parts] == [["the rest of the first", "declined"]] * 2


@Watched
async def test_what_is_left_later_is_handled_in_its_place(observed: bool) -> None:
    """As what a consumer leaves at once; so full mailboxes hand it back."""
    async with stage() as here:
        parts = await spawn(here, Eager, Full, Eager, observed=observed)
        refs = refs_of(parts)
        refs[1].tell_nowait("fills it")
        message = Now(lambda me: Calls(lambda: "left"))
        assert fan_out_nowait(refs, message) == [refs[1]]
        refs[0].tell_nowait("later")
        await settle()

    assert [part.seen for part in parts] == [["left", "later"], ["fills it"], ["left"]]


@Watched
async def test_a_crash_later_is_no_trouble_of_the_others(observed: bool, autojump_clock: MockClock) -> None:
    """Nor of the sender's: it is the actor's that began."""

    def begin(me: Eager) -> Calls:
        return Calls((lambda: crash(me)) if me.ref.address == "root/1" else lambda: None)

    async with stage() as here:
        parts = await spawn(here, Eager, Eager, Eager, observed=observed)
        assert fan_out_nowait(refs_of(parts), Now(begin)) == []
        await trio.sleep(5)

    assert [len(part.lives) for part in parts] == [1, 2, 1]


async def test_what_one_does_later_is_its_own_doing() -> None:
    """Not that of whoever began last."""
    async with stage() as here:
        parts = await spawn(here, Eager, Eager, Puppet)
        a, b, other = refs_of(parts)

        def begin(me: Eager) -> Calls:
            return Calls(lambda: other.tell_nowait(Do(lambda _: None)))

        fan_out_nowait([a, b], Now(begin))
        await settle()
        assert [message.sender for message in here.system.recent("root/2")] == ["root/0", "root/1"]


async def test_what_one_leaves_later_is_the_senders_message() -> None:
    """Who told it something put it into the mailbox, and not who was there before."""
    async with stage() as here:
        refs = refs_of(await spawn(here, Eager, Eager))
        with origin("a frame") as began:
            fan_out_nowait(refs, Now(lambda me: Calls(lambda: "left")))
            left = [ref._recipient.mailbox.oldest for ref in refs]

    assert [one and (one.sender, one.cause, one.origin) for one in left] == [("", 0, began)] * 2


@pytest.mark.parametrize("interrupt", [LookupError, KeyboardInterrupt])
async def test_what_was_begun_is_finished_though_the_sender_fails(interrupt: type[BaseException]) -> None:
    """It was told; and half a frame that nobody goes on with would spoil all that follow."""

    def begin(me: Eager) -> Any:
        match me.ref.address:
            case "root/0":
                return Calls(lambda: "left")
            case "root/1" if interrupt is KeyboardInterrupt:
                return Calls(_interrupt)
            case "root/2":
                return Calls(lambda: "left, too")
        return Unweighable() if interrupt is LookupError else None

    async with stage() as here:
        parts = await spawn(here, Eager, Eager if interrupt is KeyboardInterrupt else Weighing, Eager)
        refs = refs_of(parts)
        with pytest.raises(interrupt):
            fan_out_nowait([refs[0], refs[2], refs[1]], Now(begin))
        assert refs[0]._recipient.deliveries == []
        await settle()
        assert [part.seen for part in parts] == [["left"], [], ["left, too"]]
        fan_out_nowait(refs[::2], again := Now())
        assert [part.taken[-1] for part in parts[::2]] == [again, again]


class Unweighable:
    """A message of which its receiver can't say what it weighs: its sender's error."""


class Weighing(Eager):
    @staticmethod
    def weight(message: Any) -> int:
        if isinstance(message, Unweighable):
            raise LookupError("no weight")
        return 0


def tell_all(refs: list[ActorRef[Any]], *messages: Any) -> list[ActorRef[Any]]:
    with FanOut(refs) as out:
        for message in messages:
            out.tell(message)
    return out.untold


def doer() -> str:
    activity = current()
    return "" if activity is None else activity.address


def _interrupt() -> None:
    raise KeyboardInterrupt


# -- the books


@given(st.lists(st.tuples(st.sets(st.integers(0, 3), min_size=1), st.booleans()), max_size=80))
def test_shared_entries_are_in_the_books_of_each(told: list[tuple[set[int], bool]]) -> None:
    """Whoever shares which of them, and whenever somebody looks: as if each had written all of its own."""
    fronts = [Front() for _ in range(4)]
    ledgers = [Ledger(front) for front in fronts]
    plain: list[list[Envelope]] = [[], [], [], []]
    for among, together in told:
        envelope = Envelope(together if len(plain[0]) % 2 else str(together), 0.0)
        before = fronts[min(among)].shared
        entry = Shared(envelope, before)
        for number in among:
            plain[number].append(envelope)
            if together:
                ledgers[number].note_shared(entry, before)
            else:
                ledgers[number].note_consumed(envelope)
        if len(told) % 3 == 0:  # looking changes nothing
            assert sum(ledgers[0].counts.values()) == len(plain[0])

    assert [ledger.counts for ledger in ledgers] == [Counter(e.type for e in each) for each in plain]
    assert [list(ledger.recent) for ledger in ledgers] == [each[-RECENT:] for each in plain]


# -- with others


@asynccontextmanager
async def another(at_each_turn: Callable[[], object]) -> AsyncIterator[None]:
    """Beside the block a task that is always ready to run, and calls this whenever it has run."""

    async def run() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            at_each_turn()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_large_fan_out_lets_others_run() -> None:
    """After every 32, for some do their work at once; those who run meanwhile may change the list."""
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, *[Eager] * 300))
        turn, message = Mock(side_effect=lambda: refs.pop()), Now()
        async with another(turn):
            assert await fan_out(refs, message) == []

    assert turn.call_count >= 8
    assert all(part.taken == [message] for part in parts)


@pytest.mark.parametrize("done", [True, False])
async def test_a_pump_stands_for_the_turns_of_others_if_it_wakes_nobody(
    done: bool, autojump_clock: MockClock
) -> None:
    """It is called as often; and now and then the others run whatever it says."""
    happened: list[str] = []

    def pump() -> bool:
        happened.append("pumped")
        return done

    async with stage() as here:
        refs = refs_of(parts := await spawn(here, *[Eager] * 600))
        here.system.pump = pump
        async with another(lambda: happened.append("turn")):
            assert await fan_out(refs, message := Now()) == []

    assert happened.count("pumped") == 16
    turns = happened[happened.index("pumped") :].count("turn")
    assert abs(turns - (2 if done else 18)) <= 1  # the first or the last may be outside
    assert all(part.taken == [message] for part in parts)


async def test_receivers_that_take_their_time_let_others_run_sooner(autojump_clock: MockClock) -> None:
    """The others wait for so many, but only as long as those are quick."""
    turn, pump = Mock(), Mock(return_value=True)
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 300))
        here.system.pump = pump
        async with another(turn):
            await fan_out(refs, Now(lambda me: autojump_clock.jump(2 * LONGEST / MANY)))

    assert pump.call_count == 0
    assert turn.call_count >= 8


async def test_large_fan_outs_in_a_row_let_others_run_each_time() -> None:
    """Whatever the pump says."""
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 100))
        here.system.pump = lambda: True
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(20):
                await fan_out(refs, Now())
            nursery.cancel_scope.cancel()

    assert turns >= 19


async def test_who_does_nothing_but_fan_out_lets_others_run() -> None:
    """Though each is small, or to nobody."""
    async with stage() as here:
        refs = refs_of(await spawn(here, Eager, Eager))
        for some in (refs, []):
            over = False

            async def end() -> None:
                nonlocal over
                over = True

            async with trio.open_nursery() as nursery:
                nursery.start_soon(end)
                while not over:
                    await fan_out(some, Now())


async def test_a_fan_out_that_is_cancelled_already_tells_nobody() -> None:
    """Like any `tell`."""
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, Eager, Eager))
        for some in (refs, refs * 100, []):
            with trio.CancelScope() as scope:
                scope.cancel()
                await fan_out(some, Now())
            assert scope.cancelled_caught

    assert [part.taken for part in parts] == [[], []]


async def test_a_large_fan_out_finishes_what_each_begins_once() -> None:
    """With the others of its turn; though the sender is interrupted in that."""
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 100))
        finished: list[ActorRef[Any]] = []

        def begin(me: Eager) -> Any:
            if len(finished) >= 132 and me.ref == refs[40]:
                _interrupt()
            return Calls(lambda: finished.append(me.ref))

        assert await fan_out(refs, Now(begin)) == []
        assert finished == refs
        with pytest.raises(KeyboardInterrupt):
            await fan_out(refs, Now(begin))
        assert finished == refs + refs[:40]


async def test_a_large_fan_out_hands_back_the_full_of_all_turns(autojump_clock: MockClock) -> None:
    """Of each 32, and in their order."""
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Full] * 200))
        for ref in refs[::2]:
            ref.tell_nowait(Do(busy()))
        await settle()
        fan_out_nowait(refs[::2], "fills it")

        assert await fan_out(refs, "one too many") == refs[::2]


async def test_one_that_fans_out_to_itself_among_others_finds_it_in_its_mailbox() -> None:
    """It is at work, as a handler or as a consumer."""
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, Eager, Eager))
        message = Now()
        for tell in (Do, Now):
            refs[0].tell_nowait(tell(lambda me: fan_out_nowait(refs, message) and None))
            await settle()

    assert parts[0].seen.count(message) == 2
    assert parts[1].taken == [message, message]


async def test_many_that_are_full_cost_no_more_each_than_few(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the others would wait for them, when very many are slow at once."""
    compared = Mock(side_effect=ActorRef.__eq__)
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Full] * 300))
        fan_out_nowait(refs, Do(busy()))
        await settle()
        fan_out_nowait(refs, "one too many")
        monkeypatch.setattr(ActorRef, "__eq__", lambda ref, other: compared(ref, other))
        assert len(await fan_out(refs, Now())) == 300

    assert compared.call_count <= MANY * 300


async def test_what_is_left_is_before_what_comes_next_in_a_large_fan_out() -> None:
    """As in a small one."""
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, *[Eager] * 40))
        answers = iter([Calls(lambda: "left"), message := Now()])
        await fan_out([refs[0], *refs], Now(lambda me: next(answers) if me.ref == refs[0] else None))
        await settle()

    assert parts[0].seen == ["left", message]


class Everybody(Now):
    """What many are told."""


async def test_between_the_turns_of_a_large_fan_out_nobody_seems_to_be_at_work(
    autojump_clock: MockClock,
) -> None:
    """Who was told is done with it; and who could not take it at once waits since its own turn."""
    views: list[float | None] = []
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 100))
        refs[-1].tell_nowait(Do(busy()))
        await settle()

        def look() -> None:
            autojump_clock.jump(1.0)
            views.extend(one.seconds for one in here.system.recent("root/0") if one.kind == "Everybody")

        async with another(look):
            await fan_out(refs, Everybody())
            view = here.system.actor("root/99")

    assert views
    assert set(views) == {0.0}
    assert view is not None
    assert view.oldest == 0.0


async def test_a_large_fan_out_is_one_message_in_the_books_of_each() -> None:
    """As often as it came, whatever others tell them between its turns."""
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 300))
        beside: Counter[int] = Counter()

        def tell_some() -> None:
            for number in (5, 64, 70, 200):
                refs[number].tell_nowait(Now())
                beside[number] += 1

        async with another(tell_some):
            for _ in range(3):
                await fan_out(refs, Everybody())

        ledgers = [ref._recipient.ledger for ref in refs]
        assert [ledger.counts[Everybody] for ledger in ledgers] == [3] * 300
        assert [ledger.counts.get(Now, 0) for ledger in ledgers] == [beside[n] for n in range(300)]
        assert len({one.id for one in ledgers[299].recent}) == 3
        assert {one.id for one in ledgers[299].recent} == {one.id for one in ledgers[0].recent}


async def test_an_observer_that_comes_during_a_large_fan_out_sees_the_rest() -> None:
    """From then on each is told by itself; and once, as always."""
    observer = Mock(spec=Observer)
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, *[Eager] * 100))

        def attach_once(me: Eager) -> None:
            if me.ref == refs[40]:
                here.system.attach(observer)

        await fan_out(refs, message := Now(attach_once))

    assert all(part.taken == [message] for part in parts)
    assert [call.args[1] for call in observer.began.call_args_list] == [f"root/{n}" for n in range(64, 100)]


async def test_a_large_fan_out_that_is_cut_short_keeps_nothing_either() -> None:
    """It is cut between two turns."""
    async with stage() as here:
        refs = refs_of(parts := await spawn(here, *[Eager] * 100))
        with trio.CancelScope() as scope:
            await fan_out(refs, Now(lambda me: scope.cancel() if me.ref == refs[40] else None))
        assert [len(part.taken) for part in parts] == [1] * 64 + [0] * 36

        (envelope,) = {one for ref in refs for one in ref._recipient.ledger.recent}
        assert envelope.message is None


async def test_a_fan_out_keeps_nothing_of_what_was_told() -> None:
    """The latest envelopes are remembered; not what was in them, which may be large."""
    async with stage() as here:
        refs = refs_of(await spawn(here, *[Eager] * 100))
        fan_out_nowait(refs, Now(partial(lambda me: None)))

        (envelope,) = {one for ref in refs for one in ref._recipient.ledger.recent or ()}
        assert envelope.message is None
        view = here.system.actor("root/7")
        assert view is not None
        assert view.counts == {"Now": 1}
