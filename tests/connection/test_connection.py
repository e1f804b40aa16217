"""The actor that writes to one socket, however slowly that takes what is written."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors import MailboxFull
from server.messages import (
    TOO_SLOW,
    Announced,
    Close,
    ConnectionMessage,
    Declined,
    Deliver,
    Dialect,
    Flush,
    Ponged,
    tell_each,
)

from .happenings import NOON, Client, added, ended, grew, happened, some_fact, welcomed
from .sockets import GatedTransport, running

RESTARTING = re.compile(r"the server is restarting, reconnect_ms=([0-9]+)")


def types(transport: GatedTransport) -> list[Any]:
    return [json.loads(text)["type"] for text in transport.frames]


async def test_each_event_becomes_a_frame_in_order() -> None:
    """What is written passes through one mailbox."""
    transport = GatedTransport()
    async with running() as world:
        ref = await world.adopt(transport, "cumulative")
        for event in (welcomed(), added(1), happened(some_fact("read", 2)), Ponged(NOON)):
            await ref.tell(Deliver(event))
        await ref.ask(Flush(), timeout=10)

        assert types(transport) == ["connected", "user_message", "read", "pong"]


async def test_what_a_client_has_no_frame_for_is_not_written() -> None:
    """And what comes after it is."""
    transport = GatedTransport()
    async with running() as world:
        ref = await world.adopt(transport, "document")
        for event in (welcomed(), happened(some_fact("read", 1)), added(2)):
            await ref.tell(Deliver(event))
        await ref.ask(Flush(), timeout=10)

        assert types(transport) == ["connected", "user_message"]


@pytest.mark.parametrize("dialect", ["document", "cumulative", "delta"])
async def test_a_hole_closes_the_socket_for_its_client_to_resume(dialect: Dialect) -> None:
    """Our fault, and so it is logged; what comes after it is not written."""
    transport = GatedTransport()
    with structlog.testing.capture_logs() as logged:
        async with running() as world:
            ref = await world.adopt(transport, dialect)
            for event in (welcomed(), added(1), added(3), added(4)):
                await ref.tell(Deliver(event))
            await ref.wait_gone()

    assert types(transport) == ["connected", "user_message"]
    assert transport.closed == (1011, "something was missed, resume")
    assert [(line["log_level"], line["after"], line["came"]) for line in logged] == [("error", 1, 3)]


async def test_a_restart_tells_when_to_come_again() -> None:
    """From the drain's word, and when the server just ends; not all at the same moment."""
    transports = [GatedTransport() for _ in range(40)]
    async with running(random=Random(7)) as world:
        refs = [await world.adopt(transport, "document") for transport in transports]
        for ref in refs[:20]:
            await ref.tell(Close(1012, "the server is restarting"))
        await refs[0].wait_gone()

    hints = set()
    for transport in transports:
        assert transport.closed is not None
        code, reason = transport.closed
        assert code == 1012
        found = RESTARTING.fullmatch(reason)
        assert found is not None, reason
        hints.add(int(found[1]))
    assert all(100 <= hint <= 3000 for hint in hints)
    assert len(hints) > 30


async def test_other_closes_say_what_they_were_told_to() -> None:
    """A hint would be a lie there."""
    transport = GatedTransport()
    async with running() as world:
        ref = await world.adopt(transport, "delta")
        await ref.tell(Close(1013, "The server is full"))
        await ref.wait_gone()

    assert transport.closed == (1013, "The server is full")


async def test_nothing_is_written_after_the_close() -> None:
    """The socket is the server's no more."""
    transport = GatedTransport(is_open=False)
    async with running() as world:
        ref = await world.adopt(transport, "delta")
        for message in (Deliver(welcomed()), Close(1000, "goodbye"), Deliver(added(1))):
            await ref.tell(message)
        transport.open()
        await ref.wait_gone()

    assert (types(transport), transport.closed) == (["connected"], (1000, "goodbye"))


async def test_a_slow_reader_alone_is_given_up() -> None:
    """Its client knows that it may resume; the other did not notice."""
    slow, quick = GatedTransport(is_open=False), GatedTransport()
    async with running(mailbox=16) as world:
        refs = [await world.adopt(transport, "cumulative") for transport in (slow, quick)]
        for event in (welcomed(), *(added(seq) for seq in range(1, 31))):
            for ref in refs:
                await tell_each([ref], Deliver(event))
            await wait_all_tasks_blocked()
        slow.open()
        await refs[0].wait_gone()
        assert refs[1].alive

    assert types(slow)[-1] == "error"
    assert json.loads(slow.frames[-1])["code"] == "too_slow"
    assert slow.closed == (4408, TOO_SLOW)
    assert types(quick) == ["connected", *["user_message"] * 30]


async def test_what_a_slow_reader_is_kept_is_bounded_in_bytes() -> None:
    """A few large texts are as much as many words; those of one reply count once."""
    transport = GatedTransport(is_open=False)
    async with running(mailbox_bytes=10_000) as world:
        ref = await world.adopt(transport, "delta")
        ref.tell_nowait(Deliver(welcomed()))
        await wait_all_tasks_blocked()
        text = ""
        for _ in range(40):
            ref.tell_nowait(Deliver(grew(text + "x" * 200, len(text))))
            text += "x" * 200
        with pytest.raises(MailboxFull):
            ref.tell_nowait(Deliver(added(1, "y" * 4000)))
        transport.open()
        ref.tell_nowait(Deliver(grew(text, len(text))))
        await ref.ask(Flush(), timeout=10)

        assert [json.loads(frame)["data"]["offset"] for frame in transport.frames[1:]] == [0]


async def test_a_broadcast_takes_no_seq() -> None:
    """Nor does an answer to the client's own frame."""
    transport = GatedTransport()
    async with running() as world:
        ref = await world.adopt(transport, "cumulative")
        for event in (
            welcomed(),
            Announced("All", NOON),
            added(1),
            Declined("busy", "Later", True),
            added(2),
        ):
            await ref.tell(Deliver(event))
        await ref.ask(Flush(), timeout=10)

        assert len(transport.frames) == 5


Step = tuple[str, Any]
pieces = st.text("ab é🙂\n", min_size=1, max_size=4)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("grows"), pieces),
    st.tuples(st.just("takes"), st.integers(1, 4)),
    st.tuples(st.just("ends"), pieces),
    st.tuples(st.just("is said"), st.none()),
)


async def stream(script: Sequence[Step], dialects: Sequence[Dialect]) -> list[Client]:
    """Tell one conversation to sockets of all *dialects*, each of which takes frames as the script says."""
    transports = [GatedTransport(is_open=False) for _ in dialects]
    text, told, id_, seq = "", 0, 2, 0
    async with running() as world:
        refs = [
            await world.adopt(transport, dialect)
            for transport, dialect in zip(transports, dialects, strict=True)
        ]

        def tell(message: ConnectionMessage) -> None:
            for ref in refs:
                ref.tell_nowait(message)

        tell(Deliver(welcomed()))
        for what, value in [*script, ("ends", ".")]:
            match what:
                case "grows":
                    text += value
                    tell(Deliver(grew(text, told, id_)))
                    told = len(text)
                case "ends":
                    text, seq = text + value, seq + 1
                    tell(Deliver(ended(seq, text, told, id_)))
                    text, told, id_ = "", 0, id_ + 2
                case "is said":
                    seq += 1
                    tell(Deliver(added(seq)))
                case _:
                    # Each at a pace of its own.
                    for number, transport in enumerate(transports):
                        transport.let(value * (number + 1))
                    await wait_all_tasks_blocked()
        for transport in transports:
            transport.open()
        for ref in refs:
            await ref.ask(Flush(), timeout=10)
    clients = [Client(dialect) for dialect in dialects]
    for client, transport in zip(clients, transports, strict=True):
        for frame in transport.frames:
            client.hear(frame)
    return clients


@given(st.lists(steps, max_size=25))
@settings(deadline=None, max_examples=120)
def test_every_dialect_tells_the_same_however_slow_its_reader(script: list[Step]) -> None:
    """Chunks are left out for some and not for others, and share encodings; the replies are one."""
    dialects: list[Dialect] = ["delta", "cumulative", "delta", "document", "delta"]
    clients = trio.run(stream, script, dialects)

    (finals,) = {tuple(client.finals.items()) for client in clients}
    assert len(finals) == 1 + sum(what == "ends" for what, _ in script)
    assert {client.last for client in clients} == {len(finals) + sum(what == "is said" for what, _ in script)}
