"""Looking at actors: all of them, and one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

from actors import Restart

from .asking import API, Poke, Puppet, house, until

MESSAGE = {"kind", "id", "cause", "origin", "sender", "age", "waited", "seconds"}
ACTOR = {
    "address",
    "kind",
    "state",
    "since",
    "handling",
    "queued",
    "capacity",
    "peak",
    "oldest",
    "dropped",
    "conflated",
    "rejected",
    "expired",
    "handled",
    "busy",
    "counts",
    "restarts",
    "crashes",
    "waits",
}


async def test_a_system_shows_who_lives_and_who_did() -> None:
    """Parents before their children, everything that the runtime writes down, and no contents."""
    async with house() as home:
        home.spawn("idle").tell_nowait(Poke("a private word"))
        stopping = home.spawn("leaves", restart=Restart.TRANSIENT)
        stopping.tell_nowait(Poke("stop"))
        await stopping.wait_gone()
        answer = await home.ask(f"{API}/actors")

    data = answer.data
    assert set(data) == {"actors", "gone", "dead_letters", "holds"}
    top, idle = data["actors"]
    assert set(top) == set(idle) == ACTOR
    assert (top["address"], top["kind"], top["state"]) == ("top", "Top", "idle")
    assert (idle["address"], idle["kind"], idle["state"]) == ("top/idle", "Puppet", "idle")
    assert (idle["counts"], idle["handled"], idle["capacity"]) == ({"Poke": 1}, 1, 4)
    assert idle["handling"] is None
    (gone,) = data["gone"]
    assert set(gone) == {"address", "kind", "ago", "reason", "handled", "restarts", "lived"}
    assert (gone["address"], gone["reason"]) == ("top/leaves", "stopped: as told")
    assert data["holds"] == {"total": 0, "recent": []}
    assert b"private" not in answer.body
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["x-total-count"] == "2"


async def test_what_an_actor_does_and_waits_for_is_told() -> None:
    """The whole point: who waits for whom, since when, because of which message."""
    async with house() as home:
        slow = home.spawn("slow", grace=0.0)
        slow.tell_nowait(Poke("sleep"))
        await until(lambda: (view := home.system.actor("top/slow")) and view.handling)
        for _ in range(4):
            slow.tell_nowait(Poke())
        eager = home.spawn("eager", partial(Puppet, slow), grace=0.0)
        eager.tell_nowait(Poke("tell"))
        await until(home.system.waits)
        data = (await home.ask(f"{API}/actors?prefix=top/")).data

    blocked, waiting = data["actors"]
    assert (blocked["state"], blocked["queued"], blocked["peak"]) == ("handling", 4, 4)
    assert set(blocked["handling"]) == MESSAGE
    assert set(blocked["handling"]["origin"]) == {"id", "name", "labels"}
    assert blocked["handling"]["kind"] == "Poke"
    assert blocked["oldest"] >= 0
    (wait,) = waiting["waits"]
    assert set(wait) == {"waiter", "address", "what", "kind", "seconds"}
    assert (wait["waiter"], wait["address"], wait["what"], wait["kind"]) == (
        "top/eager",
        "top/slow",
        "room",
        "Poke",
    )


async def test_one_actor_tells_its_past_and_the_shape_of_its_state() -> None:
    """The recent messages and the attributes, described: what it holds may be private."""
    async with house() as home:
        home.spawn("one").tell_nowait(Poke("crash"))
        await until(
            lambda: (view := home.system.actor("top/one")) and view.restarts and view.state.value == "idle"
        )
        answer = await home.ask(f"{API}/actors/top/one")

    data = answer.data
    assert set(data) == ACTOR | {"recent", "attributes"}
    (message,) = data["recent"]
    assert set(message) == MESSAGE
    (crash,) = data["crashes"]
    assert set(crash) == {"ago", "error", "kind", "cause"}
    assert (crash["error"], crash["kind"], crash["cause"]) == ("ValueError('as told')", "Poke", message["id"])
    assert data["attributes"] == {"friend": "None", "secret": "str of 7"}
    assert b"hunter2" not in answer.body


async def test_an_actor_that_is_gone_tells_how_it_went() -> None:
    """One comes to look when it is over; of several of one name the last one counts."""
    async with house() as home:
        for reason in ("stop", "crash"):
            ref = home.spawn("brief", restart=Restart.TEMPORARY)
            ref.tell_nowait(Poke(reason))
            await until(lambda ref=ref: not ref.alive)  # type: ignore[misc]
            await until(lambda: home.system.actor("top/brief") is None)
        data = (await home.ask(f"{API}/actors/top/brief")).data

    assert set(data) == {"gone"}
    assert data["gone"]["reason"] == "crashed: ValueError('as told')"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("two words", "two%20words"),
        ("hash#1", "hash%231"),
        ("what?", "what%3F"),
        ("ünïcödé ☃", "%C3%BCn%C3%AFc%C3%B6d%C3%A9%20%E2%98%83"),
        ("100%", "100%25"),
        ("a:b~c.d", "a:b~c.d"),
        ("..", "%2E%2E"),
        ("x//y", "x//y"),
        ("/x/", "/x/"),
        ("<script>&'\"", "%3Cscript%3E%26%27%22"),
        ("zero\0", "zero%00"),
    ],
)
async def test_any_address_can_be_asked_for(name: str, path: str) -> None:
    """Names are made of ids that clients chose."""
    async with house() as home:
        home.spawn(name)
        assert (await home.ask(f"{API}/actors/top/{path}")).data["address"] == f"top/{name}"
        listed = (await home.ask(f"{API}/actors")).data["actors"]

    assert listed[1]["address"] == f"top/{name}"


@pytest.mark.parametrize(
    "path", ["nobody", "top/", "top%2F", "TOP", "top/%FF", "top/" + "x" * 5000, "%00", "."]
)
async def test_an_unknown_address_is_not_found(path: str) -> None:
    """In the envelope of all failures."""
    async with house() as home:
        answer = await home.ask(f"{API}/actors/{path}")

    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_text_that_has_no_utf8_harms_nobody() -> None:
    """An error may say anything; orjson refuses halves of surrogate pairs."""
    async with house() as home:
        home.spawn("half \ud83d")
        answer = await home.ask(f"{API}/actors")

    assert [actor["address"] for actor in answer.data["actors"]] == ["top", "top/half ?"]


async def test_the_list_can_be_cut_and_chosen_from() -> None:
    """Ten thousand by default; how many there are is told besides."""
    async with house() as home:
        for number in range(250):
            home.spawn(f"a{number}")
        whole = await home.ask(f"{API}/actors")
        few = await home.ask(f"{API}/actors?limit=3")
        none = await home.ask(f"{API}/actors?limit=0")
        chosen = await home.ask(f"{API}/actors?prefix=top/a24")
        other = await home.ask(f"{API}/actors?prefix=nowhere")

    assert [len(answer.data["actors"]) for answer in (whole, few, none, chosen, other)] == [251, 3, 0, 11, 0]
    assert few.headers["x-total-count"] == "251"
    assert chosen.headers["x-total-count"] == "11"


@pytest.mark.parametrize(
    "query", ["limit=", "limit=-1", "limit=1e3", "limit=x", "limit=1&limit=2", "limit=9999999"]
)
async def test_a_bad_limit_is_refused(query: str) -> None:
    """Before anything is looked at."""
    async with house() as home:
        answer = await home.ask(f"{API}/actors?{query}")

    assert (answer.status, answer.json["error"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["actors", "tasks", "tasks?stacks=1", "stacks"])
async def test_a_large_answer_lets_others_run(path: str) -> None:
    """Ten thousand actors are megabytes of JSON, and the server has other things to do."""
    async with house() as home:
        for number in range(2000):
            home.spawn(f"a{number}")
        turns = 0
        over = trio.Event()

        async def count_turns() -> None:
            nonlocal turns
            while not over.is_set():
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            answer = await home.ask(f"{API}/{path}")
            over.set()

    assert answer.data
    assert turns >= 2000 // 100


async def test_actors_may_come_and_go_while_they_are_told() -> None:
    """The answer is no picture of one moment; whoever went meanwhile is left out."""
    async with house() as home:
        for number in range(1000):
            home.spawn(f"a{number}", restart=Restart.TEMPORARY)

        async def upset() -> None:
            for number in range(1000):
                ref: Any = home.system.find(f"top/a{number}")
                ref.stop()
                home.spawn(f"b{number}")
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upset)
            addresses = [actor["address"] for actor in (await home.ask(f"{API}/actors")).data["actors"]]
            nursery.cancel_scope.cancel()

    assert addresses[0] == "top"
    assert len(addresses) == len(set(addresses))
