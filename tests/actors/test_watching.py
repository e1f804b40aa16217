"""Word of an actor's end: once, with its reason, to whoever asked for it."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors import Crashed, Down, Restart, Stopped

from .puppets import Boom, Do, Part, Puppet, answer, crash, settle, stage


class Small(Puppet):
    capacity = 1


def downs(part: Part) -> list[Down]:
    return [message for message in part.seen if isinstance(message, Down)]


async def test_a_watcher_hears_once_how_the_watched_ended() -> None:
    """It decides by the reason what to do."""
    watcher = Part()
    async with stage() as here:
        here.spawn(watcher, "watcher")
        crashing = here.spawn(Part(), "crashing", restart=Restart.TEMPORARY)
        stopping = here.spawn(Part(), "stopping")
        await settle()
        for ref in (crashing, stopping):
            watcher.now.watch(ref, lambda down: down)
        await crashing.tell(Do(crash))
        stopping.stop("enough")
        await settle()

    first, second = sorted(downs(watcher), key=lambda down: down.address)
    assert isinstance(first.reason, Crashed)
    assert isinstance(first.reason.error, Boom)
    assert second == Down("root/stopping", Stopped("enough"))


async def test_word_of_one_long_gone_comes_at_once() -> None:
    """Watching has no race: whoever watches hears, however late."""
    watcher = Part()
    async with stage() as here:
        here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        ref.stop("enough")
        await ref.wait_gone()
        watcher.now.watch(ref, lambda down: down)
        await settle()

    assert downs(watcher) == [Down("root/child", Stopped("enough"))]


async def test_who_watches_no_more_hears_nothing(autojump_clock: MockClock) -> None:
    """A word that changes nothing any more is a turn for nothing; other watchers hear as before."""
    watcher, other = Part(), Part()
    async with stage() as here:
        for part, name in ((watcher, "watcher"), (other, "other")):
            here.spawn(part, name)
        ref, stays = here.spawn(Part(), "watched"), here.spawn(Part(), "stays")
        await settle()
        for part in (watcher, other):
            part.now.watch(ref, lambda down: down)
        watcher.now.watch(ref, lambda down: down)
        watcher.now.unwatch(ref)
        watcher.now.unwatch(stays)  # it was not watched
        ref.stop()
        await settle()

    assert (len(downs(watcher)), len(downs(other))) == (0, 1)


async def test_a_full_mailbox_does_not_lose_the_word() -> None:
    """It will not be said again."""
    watcher, gate = Part(Small), trio.Event()
    async with stage() as here:
        watching = here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: down)
        watching.tell_nowait(Do(lambda me: gate.wait()))
        await settle()
        watching.tell_nowait("fills it")
        ref.stop()
        await ref.wait_gone()
        gate.set()
        await settle()

    assert len(downs(watcher)) == 1


async def test_a_restart_of_the_watched_is_not_its_end(autojump_clock: MockClock) -> None:
    """Its ref is as good as before."""
    watcher = Part()
    async with stage() as here:
        here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: down)
        await ref.tell(Do(crash))
        await ref.ask(answer(1), timeout=60)
        assert downs(watcher) == []


async def test_a_watch_ends_with_the_life_that_set_it(autojump_clock: MockClock) -> None:
    """A life that watches again would hear twice; and what went in between is heard of when it does."""
    watcher = Part()
    async with stage() as here:
        watching = here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: down)
        watcher.on_start = lambda me: me.watch(ref, lambda down: down)
        await watching.tell(Do(crash))
        await settle()
        ref.stop()
        await watching.ask(answer(1), timeout=60)
        await settle()

    assert len(downs(watcher)) == 1
    assert len(watcher.lives) == 2


async def test_word_that_comes_while_a_life_ends_is_not_for_the_next(autojump_clock: MockClock) -> None:
    """A parent that watches its children starts new ones of the same names, and would take them for dead."""
    part = Part()
    part.on_start = lambda me: me.watch(me.spawn(Part(), name="below"), lambda down: down)
    async with stage() as here:
        ref = here.spawn(part)
        await ref.tell(Do(crash))
        await ref.ask(answer(1), timeout=60)
        await settle()

    assert downs(part) == []
    assert len(part.lives) == 2


async def test_a_life_that_is_over_watches_nobody() -> None:
    """The word would come to the next, or to none."""
    refused: list[str] = []

    async with stage() as here:
        other = here.spawn(Part(), "other")

        def say_goodbye(me: Puppet, reason: object) -> None:
            with pytest.raises(RuntimeError, match="it can't watch root/other") as error:
                me.watch(other, lambda down: down)
            refused.append(str(error.value))

        ref = here.spawn(Part(on_end=say_goodbye))
        ref.stop()
        await ref.wait_gone()

    assert len(refused) == 1


async def test_the_watched_forgets_a_watcher_that_is_gone() -> None:
    """A conversation outlives thousands of sockets that watched it; each would stay in memory."""
    async with stage() as here:
        ref = here.spawn(Part(), "watched")
        watcher = Part()
        watching = here.spawn(watcher, "watcher")
        await settle()
        watcher.now.watch(ref, lambda down: down)
        memory = weakref.ref(watcher.now)
        watching.stop()
        await watching.wait_gone()
        watcher.lives.clear()
        del watching
        gc.collect()
        assert memory() is None
        ref.stop()
        await ref.wait_gone()
        assert here.system.dead_letters.total == 0


async def test_a_watcher_forgets_the_watched_that_are_gone() -> None:
    """A registry outlives all its connections; each would stay in memory."""
    watcher, watched = Part(), Part()
    async with stage() as here:
        here.spawn(watcher, "watcher")
        ref = here.spawn(watched, "watched")
        await settle()
        watcher.now.watch(ref, lambda down: down)
        memory = weakref.ref(watched.now)
        ref.stop()
        await ref.wait_gone()
        await settle()
        watched.lives.clear()
        del ref
        gc.collect()
        assert memory() is None


async def test_a_watcher_whose_own_words_fail_crashes_alone() -> None:
    """The function that makes the message is the watcher's, though it is called when another ends."""
    watcher, other = Part(), Part()
    async with stage() as here:
        here.spawn(watcher, "watcher")
        here.spawn(other, "other")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: 1 / 0)
        other.now.watch(ref, lambda down: down)
        ref.stop()
        await ref.wait_gone()
        await settle()

    assert len(downs(other)) == 1
    (end, *_) = watcher.ends
    assert isinstance(end, Crashed)
    assert isinstance(end.error, ZeroDivisionError)


async def test_words_that_fail_between_two_lives_of_the_watcher_crash_nothing(
    autojump_clock: MockClock,
) -> None:
    """There is no life to crash, and the next one has not seen them."""
    watcher = Part()
    async with stage() as here:
        watching = here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: 1 / 0)
        await watching.tell(Do(crash))
        await settle()
        ref.stop()
        await ref.wait_gone()
        assert await watching.ask(answer(1), timeout=60) == 1

    assert len(watcher.lives) == 2


async def test_mutual_watchers_end_in_peace() -> None:
    """The one that goes first tells the other, and no more."""
    one, two = Part(), Part()
    async with stage() as here:
        refs = [here.spawn(one, "one"), here.spawn(two, "two")]
        await settle()
        one.now.watch(refs[1], lambda down: down)
        two.now.watch(refs[0], lambda down: down)
        one.now.watch(refs[0], lambda down: down)
        refs[0].stop()
        await settle()

    assert (len(downs(one)), len(downs(two))) == (0, 1)


async def test_the_name_is_free_when_the_word_comes() -> None:
    """A watcher's usual answer is to start a successor."""
    watcher = Part()
    seen: list[object] = []

    async with stage() as here:
        here.spawn(watcher, "watcher")
        ref = here.spawn(Part())
        await settle()
        watcher.now.watch(ref, lambda down: Do(partial(_note, seen, here.root)))
        ref.stop()
        await settle()

    assert seen == [True]


def _note(seen: list[object], root: Puppet, me: Puppet) -> None:
    seen.append(root.spawn(Part(), name="child").alive)
