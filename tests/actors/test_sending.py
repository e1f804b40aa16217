"""What a sender can rely on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import MailboxFull, Overflow, RecipientStopped, State

from .puppets import Ask, Do, Part, Puppet, busy, settle, stage


class Small(Puppet):
    capacity = 2


class Forgetful(Small):
    overflow = Overflow.DROP_OLDEST


class Conflating(Small):
    @staticmethod
    def conflation_key(message: Any) -> Hashable | None:
        return message[0] if isinstance(message, tuple) else None


async def test_messages_of_one_sender_are_handled_in_order() -> None:
    """Whoever says two things may rely on the second being heard after the first."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)

        async def send(sender: int) -> None:
            for number in range(50):
                await ref.tell((sender, number))

        async with trio.open_nursery() as nursery:
            for sender in range(4):
                nursery.start_soon(send, sender)
        await settle()

    for sender in range(4):
        assert [n for s, n in part.seen if s == sender] == list(range(50))


async def test_one_message_is_handled_at_a_time() -> None:
    """An actor's state needs no lock."""
    part = Part()
    inside: list[str] = []

    async def visit(me: Puppet) -> None:
        inside.append("in")
        await trio.lowlevel.checkpoint()
        inside.append("out")

    async with stage() as here:
        ref = here.spawn(part)
        for _ in range(3):
            ref.tell_nowait(Do(visit))
        await settle()

    assert inside == ["in", "out"] * 3


async def test_tell_waits_while_the_mailbox_is_full() -> None:
    """Backpressure reaches the sender."""
    part, gate = Part(Small), trio.Event()
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(lambda me: gate.wait()))
        await settle()
        for message in ("A", "B"):
            ref.tell_nowait(message)
        with trio.move_on_after(0) as patience:
            await ref.tell("C")
        assert patience.cancelled_caught
        gate.set()
        await ref.tell("D")
        await settle()

    assert part.seen[1:] == ["A", "B", "D"]


async def test_tell_nowait_hands_the_message_back_when_there_is_no_room() -> None:
    """The sender decides what becomes of it."""
    part, gate = Part(Small), trio.Event()
    async with stage() as here:
        ref = here.spawn(part)
        ref.tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        for message in ("A", "B"):
            ref.tell_nowait(message)
        with pytest.raises(MailboxFull, match="the mailbox of root/child is full") as refused:
            ref.tell_nowait("C")
        gate.set()

    assert (refused.value.address, refused.value.message) == ("root/child", "C")


async def test_a_dropping_mailbox_counts_where_everybody_can_see() -> None:
    """The sender is not told, so the operator must be able to find out."""
    part = Part(Forgetful)
    async with stage() as here:
        ref = here.spawn(part)
        for number in range(5):
            ref.tell_nowait(number)
        view = here.system.actors()[-1]
        assert (view.queued, view.capacity, view.dropped, view.peak) == (2, 2, 3, 2)
        await settle()

    assert part.seen == [3, 4]


async def test_conflation_does_not_grow_the_mailbox() -> None:
    """A slow reader costs one message for each key, however many are sent."""
    part, gate = Part(Conflating), trio.Event()
    async with stage() as here:
        ref = here.spawn(part)
        ref.tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        for number in range(100):
            ref.tell_nowait(("a", number))
            await ref.tell(("b", number))
        view = here.system.actors()[-1]
        assert (view.queued, view.conflated) == (2, 198)
        gate.set()
        await settle()

    assert part.seen[1:] == [("a", 99), ("b", 99)]


async def test_a_message_to_the_dead_comes_back() -> None:
    """Nobody will ever read it, so it is not swallowed."""
    async with stage() as here:
        ref = here.spawn(Part())
        ref.stop()
        await ref.wait_gone()
        with pytest.raises(RecipientStopped, match="root/child is gone") as now:
            ref.tell_nowait("A")
        with pytest.raises(RecipientStopped) as later:
            await ref.tell("B")

    assert (now.value.address, now.value.message, later.value.message) == ("root/child", "A", "B")
    assert here.system.dead_letters.total == 2
    assert [(d.address, d.message_type, d.why) for d in here.system.dead_letters.recent] == [
        ("root/child", "str", "recipient gone")
    ] * 2


async def test_a_sender_waiting_for_room_gets_its_message_back_when_the_actor_stops() -> None:
    """It would wait for ever."""
    part, gate = Part(Small), trio.Event()
    async with stage() as here:
        ref = here.spawn(part)
        ref.tell_nowait(Do(lambda me: gate.wait()))
        await settle()

        async def send() -> None:
            with pytest.raises(RecipientStopped) as back:
                await ref.tell("C")
            assert back.value.message == "C"

        async with trio.open_nursery() as nursery:
            for message in ("A", "B"):
                ref.tell_nowait(message)
            nursery.start_soon(send)
            await settle()
            ref.stop()
        gate.set()

    assert len(part.seen) == 1
    assert here.system.dead_letters.total == 3


async def test_a_ref_knows_its_address_and_whether_it_is_any_use(autojump_clock: MockClock) -> None:
    """It is all that others hold of an actor."""
    async with stage() as here:
        ref = here.spawn(Part())
        assert (repr(ref), ref.alive) == ("<ActorRef root/child>", True)
        assert here.root.now() == trio.current_time()
        assert here.system.find("root/child") == ref
        assert here.system.find("root/nobody") is None
        ref.stop()
        assert not ref.alive


async def test_the_view_shows_what_an_actor_is_doing(autojump_clock: MockClock) -> None:
    """A stuck actor is found by looking, without a debugger."""
    async with stage() as here:
        ref = here.spawn(Part())
        await ref.tell("A")
        await ref.tell(Ask(busy(5)))
        await trio.sleep(2)
        parent, view = here.system.actors()
        assert (parent.address, parent.state, parent.handling) == ("root", State.IDLE, None)
        assert (view.state, view.since, view.handled) == (State.HANDLING, 2, 1)
        assert view.handling is not None
        assert (view.handling.kind, view.handling.seconds) == ("Ask", 2)
        await trio.sleep(5)
        view = here.system.actors()[-1]
        assert (view.state, view.handling, view.handled) == (State.IDLE, None, 2)


@pytest.mark.parametrize(
    "go_on",
    [
        lambda me, message: me.ref.tell_nowait(message),
        lambda me, message: me.after(0, message),
    ],
    ids=["a message", "a timer"],
)
async def test_an_actor_that_always_has_work_lets_others_run(go_on: Callable[[Puppet, Do], object]) -> None:
    """Its handler need not wait for anything: the runtime sees to it that the rest is not frozen."""
    part = Part()
    async with stage() as here:
        ref = here.spawn(part)

        def again(me: Puppet) -> None:
            go_on(me, Do(again))

        ref.tell_nowait(Do(again))
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        turns = len(part.seen)
        for _ in range(3):  # who of two is first in a turn of the loop is trio's choice
            await trio.lowlevel.checkpoint()
        assert len(part.seen) > turns
        ref.stop()
        await ref.wait_gone()
