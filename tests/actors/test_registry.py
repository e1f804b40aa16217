"""Names and groups: found while their actors live, and by a registry that crashed as well."""

from __future__ import annotations

import logging
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from actors import (
    ActorDied,
    ActorRef,
    Join,
    Leave,
    Members,
    NameTaken,
    RecipientStopped,
    Register,
    Registry,
    Restart,
    Unregister,
    WhereIs,
)
from actors.testing import run_seeded

from .puppets import Do, Part, Stage, answer, busy, crash, settle, stage


def open_registry(here: Stage, name: str = "registry") -> ActorRef[Any]:
    return here.root.spawn(Registry, name=name)


async def break_registry(registry: ActorRef[Any]) -> None:
    """A key that can't be one crashes it."""
    with pytest.raises(ActorDied):
        await registry.ask(Register([], registry), timeout=60)  # type: ignore[arg-type]


async def who(registry: ActorRef[Any], name: str) -> str | None:
    ref = await registry.ask(WhereIs(name), timeout=60)
    return None if ref is None else ref.address.rpartition("/")[2]


async def members(registry: ActorRef[Any], group: str) -> list[str]:
    return [ref.address.rpartition("/")[2] for ref in await registry.ask(Members(group), timeout=60)]


async def test_a_name_leads_to_its_bearer() -> None:
    """Actors find each other that nobody has introduced."""
    async with stage() as here:
        registry, ref = open_registry(here), here.spawn(Part())
        assert await who(registry, "n") is None
        await registry.ask(Register("n", ref), timeout=1)
        assert await registry.ask(WhereIs("n"), timeout=1) == ref
        await registry.ask(Unregister("n"), timeout=1)
        await registry.ask(Unregister("n"), timeout=1)
        assert await who(registry, "n") is None


async def test_a_name_is_one_actors_at_a_time(autojump_clock: MockClock) -> None:
    """Two would each get half of what is meant for one; its bearer may take it again."""
    async with stage() as here:
        registry, ref, other = open_registry(here), here.spawn(Part(), "a"), here.spawn(Part(), "b")
        await registry.ask(Register("n", ref), timeout=1)
        await registry.ask(Register("n", ref), timeout=1)
        with pytest.raises(NameTaken, match="the name 'n' is taken by root/a") as taken:
            await registry.ask(Register("n", other), timeout=1)
        assert (taken.value.name, taken.value.address) == ("n", "root/a")
        ref.stop()
        await registry.ask(Register("n", other), timeout=1)
        await settle()
        assert await who(registry, "n") == "b"


async def test_a_group_lists_its_members_in_the_order_they_joined() -> None:
    """Each once, however often it joined."""
    async with stage() as here:
        registry = open_registry(here)
        refs = {name: here.spawn(Part(), name) for name in "abc"}
        for name in "cabca":
            await registry.ask(Join("g", refs[name]), timeout=1)
        assert await members(registry, "g") == ["c", "a", "b"]
        await registry.ask(Leave("g", refs["a"]), timeout=1)
        await registry.ask(Leave("g", refs["a"]), timeout=1)
        assert await members(registry, "g") == ["c", "b"]
        assert await members(registry, "another") == []


async def test_names_and_memberships_go_with_their_actor(autojump_clock: MockClock) -> None:
    """A registry never names one that takes no more messages, not even before it has had word of its end."""
    async with stage() as here:
        registry, ref = open_registry(here), here.spawn(Part())
        await ref.tell(Do(busy(0.5)))
        await registry.ask(Register("n", ref), timeout=1)
        await registry.ask(Join("g", ref), timeout=1)
        ref.stop()
        assert await who(registry, "n") is None
        assert await members(registry, "g") == []
        await ref.wait_gone()
        await settle()
        assert here.system.get_state("root/registry") == {
            "_names": "dict of 0",
            "_groups": "dict of 0",
            "_known": "dict of 0",
        }


async def test_the_gone_are_refused_a_name() -> None:
    """It would never be free again."""
    async with stage() as here:
        registry, ref = open_registry(here), here.spawn(Part())
        ref.stop()
        for question in (Register("n", ref), Join("g", ref)):
            with pytest.raises(RecipientStopped):
                await registry.ask(question, timeout=1)


async def test_names_and_memberships_outlast_their_actors_restarts(autojump_clock: MockClock) -> None:
    """The ref is as good as before."""
    async with stage() as here:
        registry, ref = open_registry(here), here.spawn(Part())
        await registry.ask(Register("n", ref), timeout=1)
        await ref.tell(Do(crash))
        assert await who(registry, "n") == "child"
        assert await ref.ask(answer(1), timeout=60) == 1
        assert await who(registry, "n") == "child"


async def test_a_registry_that_restarts_asks_the_living(autojump_clock: MockClock) -> None:
    """Its state is fresh, like that of every life; what it knew is noted with whom it is about."""
    async with stage() as here:
        registry, other = open_registry(here), open_registry(here, "another")
        refs = {name: here.spawn(Part(), name) for name in "abcd"}
        for name in "dbca":
            await registry.ask(Join("g", refs[name]), timeout=1)
        await registry.ask(Register("n", refs["c"]), timeout=1)
        await other.ask(Register("n", refs["a"]), timeout=1)
        await registry.ask(Leave("g", refs["b"]), timeout=1)
        await break_registry(registry)
        refs["d"].stop()
        assert await members(registry, "g") == ["c", "a"]
        assert await who(registry, "n") == "c"
        assert await who(other, "n") == "a"
        refs["c"].stop()
        await settle()
        assert await who(registry, "n") is None


async def test_a_registry_watches_each_of_its_own_once(autojump_clock: MockClock) -> None:
    """A name that is given and taken a million times must leave nothing behind."""
    async with stage() as here:
        registry, ref = open_registry(here), here.spawn(Part())
        for _ in range(100):
            await registry.ask(Register("n", ref), timeout=1)
            await registry.ask(Unregister("n"), timeout=1)
        (tells,) = ref._recipient.watchers.values()
        assert len(tells) == 1


@define(eq=False)
class Model:
    """What a registry should know."""

    names: dict[str, str] = field(factory=dict)
    groups: dict[str, list[str]] = field(factory=lambda: {"g": [], "h": []})

    def forget(self, actor: str) -> None:
        self.names = {name: bearer for name, bearer in self.names.items() if bearer != actor}
        for group in self.groups.values():
            if actor in group:
                group.remove(actor)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "join", "leave", "stop", "restart", "break", "wait"]),
        st.sampled_from("abc"),
        st.sampled_from("gh"),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 2**32))
@settings(deadline=None)
def test_a_registry_agrees_with_the_living_whatever_happens(
    steps: list[tuple[str, str, str]], seed: int
) -> None:
    """Names, groups, restarts of the registry and of its actors, in any order."""
    logging.getLogger("actors").disabled = True
    try:
        run_seeded(walk, steps, seed=seed)
    finally:
        logging.getLogger("actors").disabled = False


async def walk(steps: list[tuple[str, str, str]]) -> None:
    model, random = Model(), Random(0)
    async with stage() as here:
        registry = open_registry(here)
        refs = {name: here.spawn(Part(), name, restart=Restart.TRANSIENT) for name in "abc"}
        for step, name, key in steps:
            match step:
                case "register" if key in model.names and model.names[key] != name:
                    with pytest.raises(NameTaken):
                        await registry.ask(Register(key, refs[name]), timeout=60)
                case "register":
                    await registry.ask(Register(key, refs[name]), timeout=60)
                    model.names[key] = name
                case "unregister":
                    await registry.ask(Unregister(key), timeout=60)
                    model.names.pop(key, None)
                case "join":
                    await registry.ask(Join(key, refs[name]), timeout=60)
                    if name not in model.groups[key]:
                        model.groups[key].append(name)
                case "leave":
                    await registry.ask(Leave(key, refs[name]), timeout=60)
                    if name in model.groups[key]:
                        model.groups[key].remove(name)
                case "stop":
                    refs[name].stop()
                    model.forget(name)
                    await refs[name].wait_gone()
                    refs[name] = here.spawn(Part(), name, restart=Restart.TRANSIENT)
                case "restart":
                    refs[name].tell_nowait(Do(crash))
                case "break":
                    await break_registry(registry)
                case "wait":
                    await trio.sleep(random.choice([0, 0.01, 30]))
            for group, names in model.groups.items():
                assert await members(registry, group) == names
                assert await who(registry, group) == model.names.get(group)
            await trio.sleep(5)  # lest the budget be spent
