"""The queue by itself: order, bounds, conflation, and what happens to whoever waits."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.envelope import Envelope
from actors.errors import MailboxClosed
from actors.mailbox import Mailbox, Overflow


def first_letter(message: Any) -> Hashable | None:
    """Lower-case messages replace each other by their first letter."""
    return message[0] if message[0].islower() else None


def letter(message: Any, deadline: float = math.inf) -> Envelope:
    return Envelope(message, 0.0, deadline)


async def post(mailbox: Mailbox, envelope: Envelope) -> None:
    """Wait for room if need be, as `ActorRef.tell` does."""
    await trio.lowlevel.checkpoint()
    if not mailbox.offer(envelope):
        await mailbox.wait_for_room(envelope)


async def fetch(mailbox: Mailbox) -> Envelope:
    """Wait for a message, as an actor's task does."""
    while True:
        await trio.lowlevel.checkpoint_if_cancelled()
        envelope = mailbox.take()
        if envelope is not None:
            return envelope
        if mailbox.closed:
            raise MailboxClosed
        await mailbox.wait()


def filled(*messages: str, capacity: int = 3, **options: Any) -> Mailbox:
    mailbox = Mailbox(capacity, **options)
    for message in messages:
        assert mailbox.put_nowait(letter(message))
    return mailbox


async def rest_of(mailbox: Mailbox) -> list[Any]:
    return [(await fetch(mailbox)).message for _ in range(len(mailbox))]


async def test_messages_leave_in_the_order_they_came() -> None:
    """A mailbox is a queue."""
    mailbox = filled("A", "B", "C")

    assert await rest_of(mailbox) == ["A", "B", "C"]
    assert mailbox.peak == 3


async def test_a_full_mailbox_refuses_by_default() -> None:
    """The sender has to know, and nothing that waits is lost for it."""
    mailbox = filled("A", "B", "C")

    assert not mailbox.put_nowait(letter("D"))
    assert await rest_of(mailbox) == ["A", "B", "C"]
    assert mailbox.dropped == 0


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [(Overflow.DROP_NEWEST, ["A", "B", "C"]), (Overflow.DROP_OLDEST, ["C", "D", "E"])],
)
async def test_drops_are_counted(overflow: Overflow, kept: list[str]) -> None:
    """Silent loss can't be told from a bug."""
    mailbox = filled("A", "B", "C", "D", "E", overflow=overflow)

    assert mailbox.dropped == 2
    assert await rest_of(mailbox) == kept


async def test_the_oldest_can_be_dropped_before_its_reader_has_run() -> None:
    """A trio channel gives an item to the reader's task at once: then there is nothing left to drop."""
    mailbox = Mailbox(1, Overflow.DROP_OLDEST)
    got: list[Any] = []

    async def read() -> None:
        got.append((await fetch(mailbox)).message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        mailbox.put_nowait(letter("A"))
        mailbox.put_nowait(letter("B"))

    assert (got, mailbox.dropped) == (["B"], 1)


async def test_closing_hands_back_what_its_reader_has_not_seen() -> None:
    """A message is either read or handed back, also between the bell and the reader's next step."""
    mailbox = Mailbox(3)

    async def read() -> None:
        with pytest.raises(MailboxClosed):
            await fetch(mailbox)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        mailbox.put_nowait(letter("A"))
        mailbox.put_nowait(letter("B"))
        assert [envelope.message for envelope in mailbox.close()] == ["A", "B"]


async def test_a_cancelled_reader_has_taken_nothing() -> None:
    """Its successor, the next life of the actor, must find the message."""
    mailbox = Mailbox(3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, mailbox)
        await wait_all_tasks_blocked()
        mailbox.put_nowait(letter("A"))
        nursery.cancel_scope.cancel()

    assert await rest_of(mailbox) == ["A"]
    assert len(mailbox) == 0


async def test_a_reader_finds_what_came_after_another_was_cancelled() -> None:
    """A bell rung for somebody who left must not be missing for the next message."""
    mailbox = Mailbox(3)
    with trio.CancelScope() as scope:
        scope.cancel()
        await fetch(mailbox)
    for message in ("A", "B"):
        mailbox.put_nowait(letter(message))
        assert (await fetch(mailbox)).message == message

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch, mailbox)
        await wait_all_tasks_blocked()
        assert mailbox.put_nowait(letter("C"))


async def test_put_waits_for_room() -> None:
    """Waiting is how a fast sender feels a slow receiver."""
    mailbox = filled("A", capacity=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(post, mailbox, letter("B"))
        await wait_all_tasks_blocked()
        assert len(mailbox) == 1
        assert (await fetch(mailbox)).message == "A"
        assert (await fetch(mailbox)).message == "B"

    assert mailbox.peak == 1


async def test_senders_get_in_in_the_order_they_came() -> None:
    """Who waits longest is next, and nobody can slip past by not waiting: else a patient sender starves."""
    mailbox = filled("A", capacity=1)

    async with trio.open_nursery() as nursery:
        for message in ("B", "C", "D"):
            nursery.start_soon(post, mailbox, letter(message))
            await wait_all_tasks_blocked()
        seen = [(await fetch(mailbox)).message]
        assert not mailbox.put_nowait(letter("E"))
        nursery.start_soon(post, mailbox, letter("F"))
        await wait_all_tasks_blocked()
        seen += [(await fetch(mailbox)).message for _ in range(4)]

    assert seen == ["A", "B", "C", "D", "F"]


async def test_a_sender_that_is_cancelled_already_sends_nothing() -> None:
    """Even if there is room: cancelled means not delivered."""
    mailbox = Mailbox(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await post(mailbox, letter("A"))

    assert scope.cancelled_caught
    assert len(mailbox) == 0


async def test_a_sender_that_gives_up_has_sent_nothing() -> None:
    """Cancelled means not delivered; anything else would make a retry a duplicate."""
    mailbox = filled("A", capacity=1)
    with trio.move_on_after(0) as scope:
        await post(mailbox, letter("B"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post, mailbox, letter("C"))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert scope.cancelled_caught
    assert await rest_of(mailbox) == ["A"]


async def test_a_sender_already_let_in_has_sent_though_it_is_cancelled() -> None:
    """Whether a message was sent is decided once, when it gets in."""
    mailbox = filled("A", capacity=1)
    sent: list[str] = []

    async def send() -> None:
        await post(mailbox, letter("B"))
        sent.append("B")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked()
        await fetch(mailbox)
        nursery.cancel_scope.cancel()

    assert sent == ["B"]
    assert await rest_of(mailbox) == ["B"]


async def test_closing_turns_waiting_senders_away() -> None:
    """They would wait for ever."""
    mailbox = filled("A", capacity=1)

    async def refused() -> None:
        with pytest.raises(MailboxClosed):
            await post(mailbox, letter("B"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(refused)
        await wait_all_tasks_blocked()
        assert [envelope.message for envelope in mailbox.close()] == ["A"]

    assert mailbox.close() == []


async def test_a_closed_mailbox_takes_and_gives_nothing() -> None:
    """Every way in and out says so."""
    mailbox = Mailbox(1)
    mailbox.close()

    with pytest.raises(MailboxClosed):
        mailbox.put_nowait(letter("A"))
    with pytest.raises(MailboxClosed):
        mailbox.put_urgent(letter("A"))
    with pytest.raises(MailboxClosed):
        await post(mailbox, letter("A"))
    with pytest.raises(MailboxClosed):
        await fetch(mailbox)


async def test_a_bell_rung_for_a_reader_that_was_just_cancelled_rings_once() -> None:
    """Left behind, it must not be in the way of the next, which would fail at whoever sends."""
    mailbox = Mailbox(5)

    async def late_sender() -> None:
        mailbox.put_nowait(letter("B"))

    for _ in range(20):  # who of the two is first is trio's choice
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox.wait)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            mailbox.put_nowait(letter("A"))
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.cancel()
            nursery.start_soon(mailbox.wait)
            nursery.start_soon(late_sender)
        assert await rest_of(mailbox) == ["A", "B"]


async def test_who_gives_up_waiting_lets_in_those_behind(autojump_clock: MockClock) -> None:
    """A large message keeps small ones back, lest it starve; not longer than it waits itself."""
    mailbox = Mailbox(9, weigh=len, bearing=5)
    mailbox.put_nowait(letter("AAA"))
    with trio.move_on_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, mailbox, letter("BBBBB"))
            await wait_all_tasks_blocked()
            nursery.start_soon(post_shielded, mailbox, letter("CC"))
            await wait_all_tasks_blocked()
            assert len(mailbox) == 1

    assert await rest_of(mailbox) == ["AAA", "CC"]


async def post_shielded(mailbox: Mailbox, envelope: Envelope) -> None:
    with trio.CancelScope(shield=True):
        await post(mailbox, envelope)


async def test_what_the_waiting_messages_weigh_together_is_bounded() -> None:
    """One may be a million times another; and a single one may always wait."""
    mailbox = Mailbox(9, weigh=len, bearing=5)
    assert mailbox.put_nowait(letter("AAAAAAAA"))
    assert not mailbox.put_nowait(letter("B"))
    await fetch(mailbox)
    assert [mailbox.put_nowait(letter(message)) for message in ("CCC", "DDD", "EE", "F")] == [1, 0, 1, 0]
    assert mailbox.weight == 5


async def test_urgent_messages_always_get_in() -> None:
    """Word of an actor's end comes once; a full mailbox must not lose it."""
    mailbox = filled("A", capacity=1)
    mailbox.put_urgent(letter("B"))

    assert not mailbox.put_nowait(letter("C"))
    assert await rest_of(mailbox) == ["A", "B"]


async def test_the_newest_of_a_key_takes_the_place_of_the_waiting_one() -> None:
    """Only the newest state matters, and it must not lose its turn for being new."""
    mailbox = filled("a1", "B", "a2", conflate=first_letter)

    assert (len(mailbox), mailbox.conflated) == (2, 1)
    assert await rest_of(mailbox) == ["a2", "B"]
    assert mailbox.put_nowait(letter("a3"))
    assert await rest_of(mailbox) == ["a3"]
    assert mailbox.conflated == 1


async def test_a_replacement_brings_its_own_deadline() -> None:
    """Else fresh work would be skipped for the age of what it replaced."""
    mailbox = Mailbox(1, conflate=first_letter)
    mailbox.put_nowait(letter("a1", deadline=1))
    mailbox.put_nowait(letter("a2", deadline=5))

    assert (await fetch(mailbox)).deadline == 5


async def test_a_full_mailbox_still_takes_what_replaces_something() -> None:
    """It grows nothing, so there is no reason to refuse it, to drop for it, or to wait."""
    for overflow in Overflow:
        mailbox = filled("a1", "B", "C", overflow=overflow, conflate=first_letter)
        assert mailbox.put_nowait(letter("a2"))
        await post(mailbox, letter("a3"))
        assert mailbox.dropped == 0
        assert await rest_of(mailbox) == ["a3", "B", "C"]


async def test_senders_that_wait_for_room_are_conflated_when_they_get_in() -> None:
    """Else a burst of them would fill the mailbox with what is out of date."""
    mailbox = filled("A", capacity=1, conflate=first_letter)

    async with trio.open_nursery() as nursery:
        for message in ("a1", "a2"):
            nursery.start_soon(post, mailbox, letter(message))
            await wait_all_tasks_blocked()
        assert (await fetch(mailbox)).message == "A"
        await wait_all_tasks_blocked()
        assert await rest_of(mailbox) == ["a2"]

    assert mailbox.conflated == 1


async def test_what_is_dropped_can_not_be_replaced() -> None:
    """A replacement into a dropped envelope would vanish."""
    mailbox = filled("a1", "B", "C", "D", overflow=Overflow.DROP_OLDEST, conflate=first_letter)

    assert mailbox.put_nowait(letter("a2"))
    assert await rest_of(mailbox) == ["C", "D", "a2"]


@given(
    st.sampled_from(Overflow),
    st.integers(1, 3),
    st.lists(st.sampled_from(["get", "nowait", "nowait a", "nowait b", "put", "put a", "urgent", "cancel"])),
)
@settings(deadline=None)
def test_every_message_is_read_dropped_replaced_refused_or_cancelled(
    overflow: Overflow, capacity: int, steps: list[str]
) -> None:
    """Nothing vanishes or doubles, whatever the order of events, and readers get one sender's in order."""
    trio.run(partial(_walk, overflow, capacity, steps), clock=MockClock(autojump_threshold=0))


async def _walk(overflow: Overflow, capacity: int, steps: list[str]) -> None:
    mailbox = Mailbox(capacity, overflow, lambda message: message[1])
    accepted = refused = cancelled = urgent = 0
    read: list[int] = []
    scopes: list[trio.CancelScope] = []

    async def put(message: tuple[int, str | None]) -> None:
        nonlocal accepted, cancelled
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await post(mailbox, letter(message))
            accepted += 1
        cancelled += scope.cancelled_caught

    puts = 0
    async with trio.open_nursery() as nursery:
        for number, step in enumerate(steps):
            action, _, key = step.partition(" ")
            match action:
                case "get" if len(mailbox):
                    read.append((await fetch(mailbox)).message[0])
                case "nowait":
                    taken = mailbox.put_nowait(letter((number, key or None)))
                    accepted, refused = accepted + taken, refused + (not taken)
                case "put":
                    puts += 1
                    nursery.start_soon(put, (number, key or None))
                    await wait_all_tasks_blocked()
                case "urgent":
                    mailbox.put_urgent(letter((number, None)))
                    accepted, urgent = accepted + 1, urgent + 1
                case "cancel" if scopes:
                    scopes.pop().cancel()
                    await wait_all_tasks_blocked()
            assert len(mailbox) <= capacity + urgent
        while len(mailbox):
            read.append((await fetch(mailbox)).message[0])
            await wait_all_tasks_blocked()

    assert len(read) == len(set(read))
    assert accepted == len(read) + mailbox.dropped + mailbox.conflated
    assert accepted + refused + cancelled == sum(s != "get" and s != "cancel" for s in steps)
    if not mailbox.conflated and "put" not in " ".join(steps):
        assert read == sorted(read)
