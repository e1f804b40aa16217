"""The server in numbers, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from actors import Hold, KindTotals, Restart
from server.rest.admin.measures import Held, Snapshot
from server.rest.admin.metrics import Exposition

from .asking import House, Poke, house, until


def totals(kind: str = "Puppet", **more: Any) -> KindTotals:
    given: dict[str, Any] = {
        "living": 1,
        "started": 1,
        "handled": {},
        "busy": 0.0,
        "queued": 0,
        "longest_queue": 0,
        "dropped": 0,
        "conflated": 0,
        "rejected": 0,
        "expired": 0,
        "restarts": 0,
        "crashes": 0,
    }
    return KindTotals(kind=kind, **{**given, **more})


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """By name and labels; each once."""
    found: list[Sample] = [s for family in text_string_to_metric_families(text) for s in family.samples]
    values = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in found}
    assert len(values) == len(found)
    return values


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, tuple(sorted(labels.items()))]


def test_every_number_has_its_name() -> None:
    """What dashboards and alarms are built on: to be changed with care."""
    one = totals(
        living=2,
        started=3,
        handled={"Poke": 4, "Peek": 5},
        busy=6.5,
        queued=7,
        longest_queue=8,
        dropped=9,
        conflated=10,
        rejected=11,
        expired=12,
        restarts=13,
        crashes=14,
    )
    text = Exposition().write(Snapshot([one], connections=15, dead_letters=16, holds=17, held=18.5)).decode()

    for name, number in {
        "triologue_actors": 2,
        "triologue_actors_started_total": 3,
        "triologue_actor_busy_seconds_total": 6.5,
        "triologue_mailbox_messages": 7,
        "triologue_mailbox_messages_max": 8,
        "triologue_messages_dropped_total": 9,
        "triologue_messages_conflated_total": 10,
        "triologue_messages_rejected_total": 11,
        "triologue_messages_expired_total": 12,
        "triologue_actor_restarts_total": 13,
        "triologue_actor_crashes_total": 14,
    }.items():
        assert value(text, name, actor="Puppet") == number
    assert value(text, "triologue_messages_handled_total", actor="Puppet", message="Poke") == 4
    assert value(text, "triologue_messages_handled_total", actor="Puppet", message="Peek") == 5
    assert value(text, "triologue_connections") == 15
    assert value(text, "triologue_dead_letters_total") == 16
    assert value(text, "triologue_loop_holds_total") == 17
    assert value(text, "triologue_loop_held_seconds_total") == 18.5
    for name in (
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "python_threads",
    ):
        assert value(text, name) > 0


def test_two_classes_of_one_name_are_one_series() -> None:
    """Prometheus refuses a text that has a series twice, all of it."""
    first = totals(living=1, handled={"Poke": 1}, longest_queue=5, busy=0.5)
    second = totals(living=2, handled={"Poke": 2}, longest_queue=3, busy=0.25)
    text = Exposition().write(Snapshot([first, second])).decode()

    assert value(text, "triologue_actors", actor="Puppet") == 3
    assert value(text, "triologue_messages_handled_total", actor="Puppet", message="Poke") == 3
    assert value(text, "triologue_actor_busy_seconds_total", actor="Puppet") == 0.75
    assert value(text, "triologue_mailbox_messages_max", actor="Puppet") == 5


@pytest.mark.parametrize("kind", ['a "quoted" class', "back\\slash", "line\nend", "ünï ☃", "}{,=", ""])
def test_any_name_can_be_a_label(kind: str) -> None:
    """`type()` takes any text for a name."""
    text = Exposition().write(Snapshot([totals(kind)])).decode()
    assert value(text, "triologue_actors", actor=kind) == 1


def test_an_empty_system_has_numbers_too() -> None:
    """The process's, at least."""
    assert value(Exposition().write(Snapshot()).decode(), "triologue_connections") == 0


def test_held_seconds_only_grow() -> None:
    """The watchdog keeps the newest holds, and corrects one that was told of while it went on."""

    def hold(began: float, seconds: float) -> Hold:
        return Hold(began, seconds, (), None, "")

    held = Held()
    assert held.add_up([]) == 0.0
    assert held.add_up([hold(1.0, 0.5), hold(2.0, 1.0)]) == 1.5
    assert held.add_up([hold(1.0, 0.5), hold(2.0, 4.0)]) == 4.5
    assert held.add_up([hold(2.0, 4.0), hold(9.0, 0.25)]) == 4.75
    assert held.add_up([]) == 4.75


def test_the_registry_of_the_library_is_left_alone() -> None:
    """It is one for the whole process, and whoever embeds the server may use it."""
    before = set(prometheus_client.REGISTRY._names_to_collectors)
    Exposition().write(Snapshot([totals()]))
    assert set(prometheus_client.REGISTRY._names_to_collectors) == before


async def scrape(home: House, headers: Mapping[str, str] | None = None) -> str:
    answer = await home.ask("/metrics", headers={"host": "localhost", **(headers or {})})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return answer.body.decode()


async def test_a_counter_never_goes_down() -> None:
    """What an actor did stays done when it is gone."""
    async with house() as home:
        before = samples(await scrape(home))
        for number in range(3):
            ref = home.spawn(f"p{number}", restart=Restart.TEMPORARY)
            ref.tell_nowait(Poke())
            ref.tell_nowait(Poke("crash"))
        await until(lambda: home.system.addresses() == ["top"])
        after = samples(await scrape(home))

    counters = [key for key in before if key[0].endswith("_total")]
    assert counters
    assert all(after[key] >= before[key] for key in counters)
    puppet = (("actor", "Puppet"),)
    assert after["triologue_actors", puppet] == 0
    assert after["triologue_actors_started_total", puppet] == 3
    assert after["triologue_actor_crashes_total", puppet] == 3
    assert after["triologue_messages_handled_total", (("actor", "Puppet"), ("message", "Poke"))] == 6


async def test_no_label_tells_who_or_where() -> None:
    """An address or an id is a time series of its own, for ever: the number of series stays the same."""
    async with house() as home:
        home.spawn("connections")
        first = samples(await scrape(home))
        for number in range(50):
            home.spawn(f"connections-{number}")
        second = samples(await scrape(home))

    assert set(first) == set(second)
    assert not any("connections" in label for _, labels in second for _, label in labels)


async def test_whoever_asks_gets_the_plain_format() -> None:
    """A header of theirs, however odd, changes nothing."""
    async with house() as home:
        for accept in (
            "application/openmetrics-text; version=1.0.0",
            "text/plain; version=x.y;;",
            ",;=,",
            "*/*",
        ):
            assert samples(await scrape(home, {"accept": accept, "accept-encoding": "gzip"}))
