"""Whether the server lives, and whether it is to be sent to."""

from __future__ import annotations

import trio

from actors import Actor, ActorSystem
from server.rest.admin.health import unready

from .asking import Poke, Puppet, house, until


class Late(Actor[Poke]):
    """Starts when told."""

    def __init__(self, begin: trio.Event) -> None:
        self._begin = begin

    async def started(self) -> None:
        await self._begin.wait()

    async def handle(self, message: Poke) -> None: ...


async def test_a_server_that_turns_is_alive() -> None:
    """Somebody answers; that is all there is to it."""
    async with house() as home:
        home.draining.set()
        answer = await home.ask("/healthz")

    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_server_is_ready_when_all_of_it_runs() -> None:
    """Whatever state the actors further down are in: those are one conversation's business."""
    begin = trio.Event()
    async with house() as home:
        assert (await home.ask("/readyz")).body == b"ok"
        home.spawn("late", lambda: Late(begin))
        answer = await home.ask("/readyz")
        assert (answer.status, answer.json["error"]) == (503, "starting")
        assert answer.json["msg"] == "top/late is starting"
        assert answer.headers["cache-control"] == "no-store"
        begin.set()
        await until(lambda: unready(home.system, home.draining) is None)
        assert (await home.ask("/readyz")).status == 200


async def test_a_server_that_ends_is_not_ready() -> None:
    """From the first moment of the drain, so that nobody sends it anything new."""
    async with house() as home:
        home.draining.set()
        answer = await home.ask("/readyz")

    assert (answer.status, answer.json["error"]) == (503, "restarting")


async def test_a_server_without_actors_is_not_ready() -> None:
    """Before they start, and after their end."""
    assert unready(ActorSystem(), trio.Event()) == ("starting", "Nothing runs")
    async with house() as home:
        home.spawn("one", Puppet)
        home.system.stop()
        await until(lambda: not home.system.addresses())
        assert unready(home.system, home.draining) == ("starting", "Nothing runs")
