"""Recording a trace over REST: one at a time, as long as somebody wants it, and gone without a trace."""

from __future__ import annotations

import json

import pytest
import trio
from trio._core._run import GLOBAL_RUN_CONTEXT
from trio.testing import MockClock

from server.rest.admin.traces import parse_seconds

from .asking import API, Answer, House, Poke, house, until


def attached(home: House) -> bool:
    """Whether the actors or trio's scheduler are still being recorded."""
    observers: list[object] = [*home.system._world.observers]
    instruments = GLOBAL_RUN_CONTEXT.runner.instruments["_all"]
    return any("Recorder" in type(one).__name__ for one in [*observers, *instruments])


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["0.1"], 0.1),
        (["5"], 5.0),
        (["60"], 60.0),
        (["60.0"], 60.0),
        (["007"], 7.0),
        ([], None),
        ([""], None),
        (["5", "5"], None),
        (["5", "6"], None),
        (["0"], None),
        (["0.09"], None),
        (["60.1"], None),
        (["-1"], None),
        (["+1"], None),
        (["nan"], None),
        (["inf"], None),
        (["-inf"], None),
        (["1e9"], None),
        (["1e1"], None),
        (["1e999"], None),
        (["1_0"], None),
        ([" 1"], None),
        (["1 "], None),
        (["1\n"], None),
        (["1."], None),
        ([".5"], None),
        (["1,5"], None),
        (["0x10"], None),
        (["٣"], None),
        (["5s"], None),
        (["five"], None),
        (["9" * 5000], None),
    ],
)
def test_seconds_are_a_plain_number_within_bounds(values: list[str], seconds: float | None) -> None:
    """Once, and nothing that only Python takes for a number."""
    assert parse_seconds(values) == seconds


@pytest.mark.parametrize("query", ["", "?seconds=", "?seconds=nan", "?seconds=1e9", "?seconds=1&seconds=2"])
async def test_a_bad_number_records_nothing(query: str) -> None:
    """The text tells what would be good."""
    async with house() as home:
        answer = await home.ask(f"{API}/traces{query}", "POST")
        assert not attached(home)

    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert "0.1 to 60" in answer.json["msg"]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_trace_opens_in_a_viewer(autojump_clock: MockClock) -> None:
    """Chrome's format, with what happened meanwhile, and nothing attached any more."""
    async with house() as home:
        puppet = home.spawn("puppet")
        async with trio.open_nursery() as nursery:

            async def poke() -> None:
                await until(lambda: attached(home))
                puppet.tell_nowait(Poke())

            nursery.start_soon(poke)
            answer = await home.ask(f"{API}/traces?seconds=0.5", "POST")
        assert not attached(home)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    events = answer.json["traceEvents"]
    assert "Poke" in {event["name"] for event in events if event["ph"] == "X"}


async def test_one_trace_is_recorded_at_a_time(autojump_clock: MockClock) -> None:
    """Two would record each other; the second may come when the first has been told."""
    async with house() as home:
        first: list[Answer] = []

        async def record() -> None:
            first.append(await home.ask(f"{API}/traces?seconds=60", "POST"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(record)
            await until(lambda: attached(home))
            second = await home.ask(f"{API}/traces?seconds=0.1", "POST")
        third = await home.ask(f"{API}/traces?seconds=0.1", "POST")

    assert (second.status, second.json["error"]) == (409, "conflict")
    assert [first[0].status, third.status] == [200, 200]


async def test_a_trace_that_nobody_waits_for_ends() -> None:
    """The client goes; what was attached for it is detached at once, and the next one may record."""
    async with house() as home:
        gone = trio.Event()
        async with trio.open_nursery() as nursery:

            async def record() -> None:
                await home.ask(f"{API}/traces?seconds=60", "POST", gone=gone)

            nursery.start_soon(record)
            await until(lambda: attached(home))
            gone.set()
        assert not attached(home)
        assert (await home.ask(f"{API}/traces?seconds=0.1", "POST")).status == 200


async def test_traces_end_under_another_root_too(autojump_clock: MockClock) -> None:
    """hypercorn's `--root-path`: the path is longer there, and the second trace must not be refused."""
    async with house() as home:
        for _ in range(2):
            answer = await home.ask(f"{API}/traces?seconds=0.1", "POST", root_path="/chat")
            assert answer.status == 200


async def test_a_server_that_ends_waits_for_no_trace() -> None:
    """It says so to whoever wanted one."""
    async with house() as home:
        answers: list[Answer] = []

        async def record() -> None:
            answers.append(await home.ask(f"{API}/traces?seconds=60", "POST"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(record)
            await until(lambda: attached(home))
            home.draining.set()
        assert not attached(home)
        answers.append(await home.ask(f"{API}/traces?seconds=1", "POST"))

    for answer in answers:
        assert (answer.status, answer.json["error"]) == (503, "restarting")
        assert answer.headers["cache-control"] == "no-store"


async def test_a_trace_that_is_being_sent_ends_with_the_server_too() -> None:
    """Even to a client that takes it slowly; it gets no proper end, and so knows that some is missing."""
    async with house() as home:
        sending, events = trio.Event(), []

        async def receive() -> object:
            await trio.sleep_forever()

        async def send(event: dict[str, object]) -> None:
            events.append(event)
            if event["type"] == "http.response.body":
                sending.set()
                await trio.sleep_forever()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": f"{API}/traces",
            "raw_path": f"{API}/traces".encode(),
            "query_string": b"seconds=0.1",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "extensions": {"triologue.listener": home.listener},
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(home.app, scope, receive, send)
            await sending.wait()
            busy = await home.ask(f"{API}/traces?seconds=0.1", "POST")
            home.draining.set()

    assert busy.status == 409
    assert [event["type"] for event in events] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_a_post_records(method: str) -> None:
    """A link, a picture or a prefetch begins nothing."""
    async with house() as home:
        answer = await home.ask(f"{API}/traces?seconds=60", method)
    assert (answer.status, answer.json["error"]) == (405, "method_not_allowed")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_trace_shows_no_contents(autojump_clock: MockClock) -> None:
    """Kinds and ids, never what a message says."""
    async with house() as home:
        puppet = home.spawn("puppet")
        async with trio.open_nursery() as nursery:

            async def poke() -> None:
                await until(lambda: attached(home))
                puppet.tell_nowait(Poke("a private word"))

            nursery.start_soon(poke)
            answer = await home.ask(f"{API}/traces?seconds=0.5", "POST")

    assert b"Poke" in answer.body
    assert b"private" not in answer.body
    assert json.loads(answer.body)
