"""How a socket gets in, and what it is told first."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from server.messages import Announced, CaughtUp, Deliver, Join, ReadFacts, Say

from .happenings import FACT_KINDS, NOON, added, some_fact
from .house import Client, Opens, Script

SECRET = "a-secret-of-16-and-more"
SECRET_ID = "guest-" + blake2b(SECRET.encode()).hexdigest()[:16]


def history(upto: int, *, trimmed: int = 0) -> Script:
    """A store that has the facts after *trimmed*, and a conversation that knows all of them."""
    facts = [some_fact(FACT_KINDS[seq % len(FACT_KINDS)], seq) for seq in range(1, upto + 1)]
    return Script(facts=facts[trimmed:], published=upto)


def seqs(frames: list[dict[str, Any]]) -> list[int]:
    return [frame.get("seq") or frame["data"]["seq"] for frame in frames]


# -- which level


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ([], None),
        (["triologue.v1"], "triologue.v1"),
        (["chat", "triologue.v1", "x"], "triologue.v1"),
        (["triologue.v2"], None),
        (["Triologue.v1"], None),
    ],
)
async def test_level_2_is_for_those_who_offer_it(house: Opens, offers: list[str], chosen: str | None) -> None:
    """Nobody else is told of it: a browser ends a socket that got a subprotocol it did not offer."""
    async with house() as here:
        client = await here.open(offers=offers)
        assert (await client.receive())["type"] == "connected"

        assert client.subprotocol == chosen


async def test_a_server_that_knows_nothing_of_subprotocols_serves_level_1(house: Opens) -> None:
    """The key is optional in ASGI's scope."""
    async with house() as here:
        client = await here.open(level=1)
        del client._scope["subprotocols"]
        assert (await client.receive())["type"] == "connected"

        assert client.subprotocol is None


@pytest.mark.parametrize(
    "query", ["cursor=e1.2", f"guest={SECRET}", "guest=x", "stream=delta", "stream=x&cursor=%00"]
)
async def test_what_is_of_level_2_is_ignored_without_it(house: Opens, query: str) -> None:
    """It may be somebody else's parameter."""
    async with house(history(4)) as here:
        client = await here.open(query, level=1)
        connected = await client.receive()

        assert connected["resumed"] is False
        assert connected["user"]["id"] == "guest-00000001"
        assert (await here.script.until_told(Join)).cursor is None
        assert here.script.members[0].scope == ""


@pytest.mark.parametrize("query", ["stream=", "stream=Delta", "guest=", "guest=short", "guest=" + "x" * 65])
async def test_what_can_t_be_meant_is_refused(house: Opens, query: str) -> None:
    """A client that is told so at once is soon repaired."""
    async with house() as here:
        client = await here.open(query)
        error = await client.receive()
        assert (error["type"], error["code"]) == ("error", "bad_request")

        assert await client.receive() == {"closed": (4400, error["message"])}
        assert here.script.told == []


@pytest.mark.parametrize("cursor", ["", "x", "e1.-1", "e1.99", "e2.1", "%F0%9F%99%82", "e1.1.1"])
async def test_a_cursor_is_passed_on_as_it_came(house: Opens, cursor: str) -> None:
    """Which leads nowhere only the conversation can tell, and that is no reason to be refused."""
    async with house(history(2)) as here:
        client = await here.open(f"cursor={cursor}")

        assert (await client.receive())["type"] == "connected"
        assert isinstance((await here.script.until_told(Join)).cursor, str)


# -- guests


async def test_a_guest_with_a_secret_is_the_same_each_time(house: Opens) -> None:
    """What it said stays its own; its ids are its own, too."""
    async with house() as here:
        for _ in range(2):
            client = await here.open(f"guest={SECRET}")
            assert (await client.receive())["user"] == {"id": SECRET_ID, "name": "Guest"}
            assert [(m.user.id, m.scope) for m in here.script.members[-1:]] == [(SECRET_ID, SECRET_ID)]


async def test_a_guest_without_one_is_another_each_time(house: Opens) -> None:
    """And shares its ids with all such."""
    async with house() as here:
        users = [(await (await here.open()).receive())["user"]["id"] for _ in range(2)]

        assert users == ["guest-00000001", "guest-00000002"]
        assert [member.scope for member in here.script.members] == ["", ""]


async def test_a_guest_s_secret_is_told_to_nobody(house: Opens) -> None:
    """Whoever knows it can edit what that guest said."""
    script = history(2, trimmed=2)
    script.store_fails = True
    with structlog.testing.capture_logs() as logged:
        async with house(script) as here:
            client = await here.open(f"guest={SECRET}&cursor=e1.0")
            frames = [await client.receive() for _ in range(3)]

    assert SECRET not in repr((frames, logged, script.told, script.members))


# -- what was missed


@pytest.mark.parametrize("known", [0, 1, 199, 399, 449, 450])
async def test_who_comes_again_is_told_what_it_missed(house: Opens, known: int) -> None:
    """All of it, in order, and then the conversation goes on."""
    async with house(history(450)) as here:
        client = await here.open(f"cursor=e1.{known}")
        connected = await client.receive()
        assert (connected["resumed"], connected["cursor"]) == (True, f"e1.{known}")
        frames = [await client.receive() for _ in range(450 - known)]
        assert seqs(frames) == list(range(known + 1, 451))

        if known < 450:
            await here.script.until_told(CaughtUp)
        reads = [message.limit for message in here.script.told if isinstance(message, ReadFacts)]
        assert reads == [200] * -(-(450 - known) // 200)


async def test_a_client_is_served_while_it_is_told(house: Opens) -> None:
    """A slow store is no reason not to hear a ping, nor to take a message."""
    script = history(3)
    script.gate = trio.Event()
    async with house(script) as here:
        client = await here.connect("cursor=e1.0")
        client.send({"type": "message", "message": [{"type": "AtAll"}], "client_msg_id": "x"})
        client.send({"type": "ping"})
        assert [(await client.receive())["type"] for _ in range(2)] == ["ack", "pong"]
        await script.until_told(Say)
        script.gate.set()

        assert seqs([await client.receive() for _ in range(3)]) == [1, 2, 3]


async def test_a_client_may_leave_while_it_is_told(house: Opens) -> None:
    """Nobody goes on reading for it."""
    script = history(3)
    script.gate = trio.Event()
    async with house(script) as here:
        client = await here.connect("cursor=e1.0")
        await script.until_told(ReadFacts)
        client.leave()

        await client.served.wait()
        script.gate.set()
        await wait_all_tasks_blocked()
        assert not [message for message in script.told if isinstance(message, CaughtUp)]


async def test_a_slow_reader_is_told_at_its_own_pace(house: Opens) -> None:
    """A thousand facts don't fill its mailbox: a broadcast finds room, and is told among them."""
    async with house(history(1000), mailbox=32) as here:
        client = await here.open("cursor=e1.0", room=0)
        (member,) = here.script.members
        for number in range(12):
            member.ref.tell_nowait(Deliver(Announced(str(number), NOON)))
        assert (await client.receive())["type"] == "connected"
        frames = [await client.receive() for _ in range(1012)]

        assert seqs([frame for frame in frames if frame["type"] != "broadcast"]) == list(range(1, 1001))
        await here.script.until_told(CaughtUp)


async def test_a_reader_has_caught_up_when_all_is_written(house: Opens) -> None:
    """What was kept meanwhile comes all at once, and finds its mailbox empty."""
    async with house(history(5)) as here:
        client = await here.open("cursor=e1.0", room=0)
        for _ in range(5):
            await client.receive()
            await wait_all_tasks_blocked()
            assert not [message for message in here.script.told if isinstance(message, CaughtUp)]
        await client.receive()

        await here.script.until_told(CaughtUp)


@pytest.mark.parametrize("trimmed", [3, 250, 450])
async def test_what_was_trimmed_meanwhile_is_a_gap(house: Opens, trimmed: int) -> None:
    """The client is told before anything newer, and fetches the history."""
    async with house(history(450, trimmed=trimmed)) as here:
        client = await here.connect("cursor=e1.0")
        assert await client.receive() == {"type": "gap", "cursor": "e1.450", "reason": "trimmed"}
        await here.script.until_told(CaughtUp)
        await here.tell(added(451))

        assert seqs([await client.receive()]) == [451]


async def test_a_hole_in_the_middle_is_a_gap_after_what_came_before_it(house: Opens) -> None:
    """Trimming takes from the beginning; but nothing is taken for granted here."""
    script = history(300)
    del script.facts[250]
    async with house(script) as here:
        client = await here.connect("cursor=e1.0")
        frames = [await client.receive() for _ in range(251)]

        assert seqs(frames[:-1]) == list(range(1, 251))
        assert frames[-1] == {"type": "gap", "cursor": "e1.300", "reason": "trimmed"}


async def test_a_store_that_fails_sends_the_client_away_for_a_while(house: Opens) -> None:
    """It may come again with the same cursor; nothing was told in between."""
    script = history(3)
    script.store_fails = True
    async with house(script) as here:
        client = await here.connect("cursor=e1.1")
        error = await client.receive()
        assert (error["code"], error["retry"]) == ("store_failing", True)
        assert await client.receive() == {"closed": (1013, error["message"])}

        await client.served.wait()
        assert not [message for message in script.told if isinstance(message, CaughtUp)]


async def test_a_fault_of_ours_is_told_before_the_client_is_cut_off(house: Opens) -> None:
    """It closes the socket with 1011, and is left to whoever logs the faults of applications."""
    script = history(0)

    def broken() -> datetime:
        raise ZeroDivisionError

    async def go_wrong() -> None:
        async with house(script) as here:
            client = await here.connect()
            script.now = broken
            client.send({"type": "ping"})
            assert await client.receive() == {"closed": (1011, "internal error")}
            client.leave()
            await client.served.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await go_wrong()
    assert caught.group_contains(ZeroDivisionError)


# -- crashes meanwhile


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("who", ["registry", "conversation", "storage"])
async def test_crashes_on_the_way_in_are_mended(
    house: Opens, who: str, times: int, autojump_clock: MockClock
) -> None:
    """The client notices nothing, and is welcomed once: what others bring about must not keep it out."""
    script = history(5)
    script.crashes = {who: times}
    async with house(script) as here:
        client = await here.connect("cursor=e1.2")

        assert seqs([await client.receive() for _ in range(3)]) == [3, 4, 5]
        assert await client.answers({"type": "typing", "active": True}) == []


@pytest.mark.parametrize(
    ("who", "code", "error"),
    [("registry", 1011, "internal"), ("conversation", 1011, "internal"), ("storage", 1013, "store_failing")],
)
async def test_one_that_goes_on_crashing_is_given_up(
    house: Opens, who: str, code: int, error: str, autojump_clock: MockClock
) -> None:
    """The client is told to come again, instead of waiting for ever; and before the supervisor gives up, for
    it may be this question that makes it crash."""
    script = history(5)
    script.crashes = {who: 1000}
    async with house(script) as here:
        client = await here.open("cursor=e1.2")
        frame: dict[str, Any] = {}
        while "closed" not in frame:
            before, frame = frame, await client.receive()

        assert (before["type"], before["code"], before["retry"]) == ("error", error, True)
        assert frame["closed"][0] == code


async def test_clients_in_the_house_are_not_mixed_up(house: Opens) -> None:
    """Each has its own place."""
    async with house(history(6)) as here:
        clients: list[Client] = [await here.connect(f"cursor=e1.{known}") for known in (1, 4, 6)]
        await here.script.until_told(CaughtUp)
        await here.tell(added(7))

        told = [seqs([await c.receive() for _ in range(n)]) for c, n in zip(clients, (6, 3, 1), strict=True)]
        assert told == [[2, 3, 4, 5, 6, 7], [5, 6, 7], [7]]
